//! What all HTTP surfaces of dedi do in the same way: request ids, the contract's error body, bearer keys, bodies within
//! limits, and what becomes of a panic. It knows the wire and nothing of what is served.

mod bearer;
mod body;
mod error;
mod layer;
mod metrics;
mod peer;
mod request_id;

pub use bearer::bearer;
pub use body::{BodyError, BodyLimits, check_head, check_json, read_body};
pub use error::{ErrorResponse, ErrorType, Retry};
pub use layer::{adopt_request_id, assign_request_id};
pub use metrics::metrics;
pub use peer::peer;
pub use request_id::{REQUEST_ID, RequestId};
