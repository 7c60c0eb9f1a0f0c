//! The ways the fake engine can behave.

/// How the fake engine misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Behaves well.
    Ok,
    /// Answers 503 with progress for this many milliseconds.
    SlowLoad,
    /// Takes requests after this many and never answers them.
    Hang,
    /// Stops answering `/health` after this many answers.
    HangHealth,
    /// Answers 503 for ever.
    NeverReady,
    /// Keeps running without ever listening.
    Deaf,
    /// Writes a few lines and exits with this code.
    CrashAtStart,
    /// Writes CUDA's out-of-memory message and aborts.
    DeviceFull,
    /// Aborts when a response would get its token after this many.
    CrashAtToken,
    /// Answers requests with bytes that are no JSON.
    Garbage,
    /// Does not end on TERM.
    IgnoreTerm,
    /// Starts this many children that leave its process group and session, and ignore TERM.
    Fork,
    /// Writes this many MiB of log before it listens.
    FloodLog,
    /// Uses this many MiB of memory before it listens.
    EatMemory,
    /// Writes small files without end to its folder once it listens, this many MiB a second.
    FillDisk,
    /// Reports the launch id of another launch.
    WrongNonce,
    /// Answers requests with 500.
    Error500,
    /// Answers requests after this many with 503.
    Busy,
    /// Streams text whose characters are cut in the middle by the transport's chunks.
    SplitUtf8,
    /// Waits this many milliseconds before each token.
    SlowTokens,
    /// Tries to get out of its isolation before it listens, and reports; see [`crate::EscapeTargets`].
    Escape,
}

impl Mode {
    /// Every mode with its name.
    pub const ALL: [(&str, Self); 21] = [
        ("ok", Self::Ok),
        ("slow-load", Self::SlowLoad),
        ("hang", Self::Hang),
        ("hang-health", Self::HangHealth),
        ("never-ready", Self::NeverReady),
        ("deaf", Self::Deaf),
        ("crash-at-start", Self::CrashAtStart),
        ("device-full", Self::DeviceFull),
        ("crash-at-token", Self::CrashAtToken),
        ("garbage", Self::Garbage),
        ("ignore-term", Self::IgnoreTerm),
        ("fork", Self::Fork),
        ("flood-log", Self::FloodLog),
        ("eat-memory", Self::EatMemory),
        ("fill-disk", Self::FillDisk),
        ("wrong-nonce", Self::WrongNonce),
        ("error-500", Self::Error500),
        ("busy", Self::Busy),
        ("split-utf8", Self::SplitUtf8),
        ("slow-tokens", Self::SlowTokens),
        ("escape", Self::Escape),
    ];
}

/// A mode and its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behaviour {
    /// How it misbehaves.
    pub mode: Mode,
    /// The mode's number; 0 where none was given.
    pub number: u64,
}

impl Behaviour {
    /// From `fake/<mode>[.<number>]`, or the same without the part before the slash. Any other name
    /// behaves well, so that a test may use any model's name.
    pub fn parse(name: &str) -> Self {
        let base = name.rsplit_once('/').map_or(name, |(_, base)| base);
        let (word, number) = base.split_once('.').unwrap_or((base, ""));
        let mode = Mode::ALL.into_iter().find(|it| it.0 == word).map_or(Mode::Ok, |it| it.1);
        Self { mode, number: number.parse().unwrap_or(0) }
    }

    /// Whether it is this mode.
    pub fn is(self, mode: Mode) -> bool {
        self.mode == mode
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mode_is_read_from_the_models_name() {
        assert_eq!(Behaviour::parse("fake/slow-load.250"), Behaviour { mode: Mode::SlowLoad, number: 250 });
        assert_eq!(Behaviour::parse("dedi/demo"), Behaviour { mode: Mode::Ok, number: 0 });
    }
}
