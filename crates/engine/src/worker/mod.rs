//! The thread that owns the model's context, and the way requests reach it.
//!
//! Promised: requests wait in a bounded queue that is shared fairly between senders, everything a request hears comes in order through its own channel,
//! and a request whose channel is dropped is forgotten within one step.

use std::sync::Arc;
use std::sync::mpsc;

use crate::metrics::Metrics;

pub mod embed;
mod job;
mod queue;
mod reply;
mod scheduler;
mod sequence;
mod slots;

pub use job::{EmbedJob, Event, Finish, GenerateJob, Job, Message, TokenEvent, TokenProbabilities};
use queue::QueuePermits;
pub use queue::{QueuePermit, Sender};
pub use scheduler::{Engine, run};

/// The queue's other end.
#[derive(Clone, Debug)]
pub struct Worker {
    jobs: mpsc::Sender<Message>,
    permits: Arc<QueuePermits>,
}

/// Why a job was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// As many requests wait as may, or as many of this sender.
    #[error("the queue is full")]
    Full,
    /// The worker has ended.
    #[error("the engine is stopping")]
    Stopped,
}

impl Worker {
    /// A queue in which `queue_max` jobs may wait, and its receiving end for [`run`] or [`embed::run`].
    #[must_use]
    pub fn new(queue_max: usize, metrics: Arc<Metrics>) -> (Self, mpsc::Receiver<Message>) {
        let (jobs, receiver) = mpsc::channel();
        (Self { jobs, permits: Arc::new(QueuePermits::new(queue_max, metrics)) }, receiver)
    }

    /// Puts a job into the queue.
    ///
    /// # Errors
    /// When the queue is full, or as full as it may be of this sender's jobs, or the worker has ended.
    pub fn submit(&self, job: Job) -> Result<(), SubmitError> {
        let permit = self.permits.enter(job.sender()).ok_or(SubmitError::Full)?;
        self.jobs.send(Message::Job(job, permit)).map_err(|_ended| SubmitError::Stopped)
    }

    /// Ends the worker after its current step. What runs or waits hears so.
    pub fn stop(&self) {
        let _may_have_ended = self.jobs.send(Message::Stop);
    }
}
