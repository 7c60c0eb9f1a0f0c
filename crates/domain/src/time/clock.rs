//! How the rest of dedi is given the time.

use std::fmt;
use std::sync::Arc;

use super::Timestamp;

/// Two functions that tell the time: the system's, or a test's. Clones are handles to the same.
#[derive(Clone)]
pub struct Clock {
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    wall: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl Clock {
    /// The clock that `now` reads, for waits, for people and for keys alike.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        let now: Arc<dyn Fn() -> Timestamp + Send + Sync> = Arc::new(now);
        Self { wall: now.clone(), now }
    }

    /// The same with another clock for people and for the expiry of keys, which may be set at any time.
    #[must_use]
    pub fn with_wall(self, wall: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self { wall: Arc::new(wall), ..self }
    }

    /// For waits, bills and the order of things: nobody sets it.
    pub fn now(&self) -> Timestamp {
        (self.now)()
    }

    /// What time it is for people and for keys.
    pub fn wall(&self) -> Timestamp {
        (self.wall)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now().0)
    }
}
