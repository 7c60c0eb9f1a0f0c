//! Replicas' logs as files: one for each launch, with older parts beside it. One process writes them, others read.

mod folder;
mod reader;
mod writer;

pub use folder::{AttemptLog, ReplicaLogs};
pub use reader::{FileChunk, FileCursor, NoCursor};
pub use writer::{LogFile, TAIL_LINE_BYTES_MAX};
