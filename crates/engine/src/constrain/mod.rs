//! Makes replies follow a JSON schema, a regular expression or a tool call's form.
//!
//! A form comes from a client, and compiling one may take any time and any memory. So one that is not plainly cheap is
//! compiled on trial first, by a process of its own that has bounds and may be killed ([`trial`]); what passes is compiled
//! here, by a bounded number of jobs, on a thread with a deep stack.

mod compiler;
mod form;
mod grammar;
mod plain;
pub mod trial;

pub use compiler::Compiler;
pub use form::{Form, FormError, Part, compact};
pub use grammar::Grammar;
