//! Parts of a reply, put together as they come.

use crate::calls::Fragment;

/// A part of a reply.
#[derive(Debug, PartialEq, Eq)]
pub enum ReplyFragment {
    /// What the model thought.
    Thought(String),
    /// Answer text or a call.
    Answer(Fragment),
}

pub(super) fn put_thought(text: &str, out: &mut Vec<ReplyFragment>) {
    match out.last_mut() {
        Some(ReplyFragment::Thought(before)) => before.push_str(text),
        Some(ReplyFragment::Answer(_)) | None => out.push(ReplyFragment::Thought(text.to_owned())),
    }
}

pub(super) fn put_text(text: &str, out: &mut Vec<ReplyFragment>) {
    match out.last_mut() {
        Some(ReplyFragment::Answer(Fragment::Text(before))) => before.push_str(text),
        Some(ReplyFragment::Answer(_) | ReplyFragment::Thought(_)) | None => {
            out.push(ReplyFragment::Answer(Fragment::Text(text.to_owned())))
        }
    }
}

pub(super) fn put_fragments(fragments: Vec<Fragment>, out: &mut Vec<ReplyFragment>) {
    for fragment in fragments {
        match (fragment, out.last_mut()) {
            (Fragment::Text(text), _) => put_text(&text, out),
            (Fragment::Call(more), Some(ReplyFragment::Answer(Fragment::Call(call))))
                if more.id.is_empty() && more.index == call.index =>
            {
                call.function.arguments.push_str(&more.function.arguments);
            }
            (fragment @ (Fragment::Call(_) | Fragment::Called), _) => {
                out.push(ReplyFragment::Answer(fragment))
            }
        }
    }
}
