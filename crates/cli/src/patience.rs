//! Asking again and again, over a restart of the server.

use std::time::Duration;

use tokio::time::Instant;

use crate::client_error::ClientError;
use crate::console::Console;

/// How long the server may be away before a command gives up: several times what a restart takes.
pub(crate) const AWAY_MAX: Duration = Duration::from_secs(60);

/// Since when the server has been away.
pub(crate) struct Patience {
    answered_at: Instant,
    is_away: bool,
}

impl Patience {
    pub(crate) fn new() -> Self {
        Self { answered_at: Instant::now(), is_away: false }
    }

    pub(crate) fn answered(&mut self) {
        *self = Self::new();
    }

    /// Says once that the server is away.
    ///
    /// # Errors
    ///
    /// The error itself, where it will not pass or has lasted for too long.
    pub(crate) fn bear(&mut self, err: ClientError, console: &mut Console) -> Result<(), ClientError> {
        if !err.is_passing() || self.answered_at.elapsed() >= AWAY_MAX {
            return Err(err);
        }
        if !self.is_away {
            console.say("the server does not answer; still trying");
        }
        self.is_away = true;
        Ok(())
    }
}
