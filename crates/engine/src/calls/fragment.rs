//! Parts of a reply, and how it ends.

use dedi_api::engine::ToolCall;

/// A part of an answer: text or a call.
#[derive(Debug, PartialEq, Eq)]
pub enum Fragment {
    /// Text for the reader.
    Text(String),
    /// A call, or more of its arguments; then it has neither id nor name.
    Call(ToolCall),
    /// The call is whole.
    Called,
}

/// How a reply ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The model was done.
    Whole,
    /// It is as long as it may be; the model would have gone on.
    Cut,
}
