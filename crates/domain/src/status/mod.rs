//! Why an endpoint is in its state: a code for programs, a sentence with the numbers for people, and the
//! next step.

mod code;
mod count;
mod explain;
mod explainer;
mod reason;
mod report;
mod say;
mod waiting;

pub use self::code::ReasonCode;
pub use self::explainer::Explainer;
pub use self::report::{Progress, Reason, Status};
use crate::world::{EndpointView, World};

/// Explains the endpoint `view` of `world`. For many endpoints of one world, [`Explainer`] looks at it once.
pub fn explain(view: &EndpointView, world: &World) -> Status {
    Explainer::new(world).explain(view)
}
