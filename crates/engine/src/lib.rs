//! The embedded inference worker: one model, served over HTTP in OpenAI's dialect.
//!
//! It is a process of its own, because the inference library is C++ and may abort: that ends this process and
//! nothing else. It knows nothing of endpoints, keys or tenants, and reads nothing but the model file it is given.
//!
//! From a request to its text: `http` reads and checks it (`request`, `conversation`, `template`, `tools`), the
//! `worker`'s thread decodes all requests together (`sample`, `text`, `reading`, `calls`, `constrain`), and `http` writes the replies.

pub mod backends;
pub mod calls;
pub mod cli;
pub mod constrain;
pub mod conversation;
pub mod exit;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod gguf;
pub mod http;
pub mod logging;
pub mod memory;
pub mod metrics;
pub mod model;
pub mod reading;
pub mod render;
pub mod request;
pub mod sample;
pub mod schema;
pub mod serve;
pub mod special;
pub mod step;
pub mod template;
pub mod text;
pub mod tools;
pub mod worker;
