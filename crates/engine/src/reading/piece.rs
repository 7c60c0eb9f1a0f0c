//! Parts of a reply, put together as they come.

use crate::calls::Part;

/// A part of a reply.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// What the model thought.
    Thought(String),
    /// What it says or calls.
    Part(Part),
}

pub(super) fn put_thought(text: &str, pieces: &mut Vec<Piece>) {
    match pieces.last_mut() {
        Some(Piece::Thought(before)) => before.push_str(text),
        Some(Piece::Part(_)) | None => pieces.push(Piece::Thought(text.to_owned())),
    }
}

pub(super) fn put_text(text: &str, pieces: &mut Vec<Piece>) {
    match pieces.last_mut() {
        Some(Piece::Part(Part::Text(before))) => before.push_str(text),
        Some(Piece::Part(_) | Piece::Thought(_)) | None => {
            pieces.push(Piece::Part(Part::Text(text.to_owned())))
        }
    }
}

pub(super) fn put_parts(parts: Vec<Part>, pieces: &mut Vec<Piece>) {
    for part in parts {
        match (part, pieces.last_mut()) {
            (Part::Text(text), _) => put_text(&text, pieces),
            (Part::Call(more), Some(Piece::Part(Part::Call(call))))
                if more.id.is_empty() && more.index == call.index =>
            {
                call.function.arguments.push_str(&more.function.arguments);
            }
            (part @ (Part::Call(_) | Part::Called), _) => pieces.push(Piece::Part(part)),
        }
    }
}
