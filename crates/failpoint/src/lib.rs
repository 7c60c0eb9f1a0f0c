//! Named places at which a test lets this process die, as a power cut or `kill -9` would: no destructor, no
//! last word; or holds it while another dies. Without the feature `failpoints` nothing of it is compiled and a place costs nothing.
//!
//! `DEDI_FAILPOINT=place/step:n` dies at the n-th time that this step comes to this place.
//! `DEDI_FAILPOINT=@file` reads those words from the file each time, so that processes that run already can be
//! told; whoever dies renames it to `file.hit.<pid>` first, and of several who would die only one does.
//! `hold place/step:n` in that file holds whoever comes there instead, until `file.held.<pid>` is taken away: time for
//! the death of another.
//! `DEDI_FAILPOINT_TRACE=file` adds a line to the file for each place that is passed.
//!
//! The crate `fail` would panic or return at its points, and is told when the program starts: neither is a death
//! without last words, or reaches a shim that was started long before.

#[cfg(all(feature = "failpoints", not(debug_assertions)))]
compile_error!("failpoints are for tests: a release must not be told to kill itself");

pub use self::imp::{environment, hit};

#[cfg(not(feature = "failpoints"))]
mod imp {
    /// Does nothing.
    #[inline]
    pub fn hit(_place: &'static str, _step: &'static str) {}

    /// Nothing: a shim is given none of it.
    pub fn environment() -> std::iter::Empty<(&'static str, String)> {
        std::iter::empty()
    }
}

#[cfg(feature = "failpoints")]
mod imp {
    use std::fs::{self, OpenOptions};
    use std::io::Write;
    use std::path::Path;
    use std::sync::OnceLock;
    use std::time::{Duration, Instant};

    use parking_lot::Mutex;

    const ARMED: &str = "DEDI_FAILPOINT";
    const TRACE: &str = "DEDI_FAILPOINT_TRACE";

    /// Longest that somebody is held.
    const HOLD_MAX: Duration = Duration::from_secs(5);

    /// Dies here if that is what was asked for, or is held.
    pub fn hit(place: &'static str, step: &'static str) {
        if let Some(trace) = variable(TRACE) {
            let file = OpenOptions::new().append(true).create(true).open(trace);
            let _ = file.and_then(|mut it| it.write_all(format!("{place}/{step}\n").as_bytes()));
        }
        let Some(armed) = variable(ARMED) else { return };
        let Some(file) = armed.strip_prefix('@') else {
            return if is_now(armed, place, step) {
                die()
            };
        };
        let Ok(words) = fs::read_to_string(file) else { return };
        let words = words.trim();
        let (is_hold, words) = words.strip_prefix("hold ").map_or((false, words), |it| (true, it));
        if !is_now(words, place, step) {
            return;
        }
        let pid = std::process::id();
        if is_hold {
            let held = format!("{file}.held.{pid}");
            if fs::rename(file, &held).is_ok() {
                hold(Path::new(&held));
            }
        } else if fs::rename(file, format!("{file}.hit.{pid}")).is_ok() {
            die();
        }
    }

    /// What a shim is given of it, since its environment is empty otherwise.
    pub fn environment() -> impl Iterator<Item = (&'static str, String)> {
        [ARMED, TRACE].into_iter().filter_map(|name| Some((name, variable(name)?.to_owned())))
    }

    /// Counts the hits of `place/step:n`, anew when the words change.
    fn is_now(words: &str, place: &str, step: &str) -> bool {
        static COUNTED: Mutex<(String, u64)> = Mutex::new((String::new(), 0));
        let (name, n) = words.rsplit_once(':').unwrap_or((words, "1"));
        if name.split_once('/') != Some((place, step)) {
            return false;
        }
        let mut counted = COUNTED.lock();
        if counted.0 != words {
            *counted = (words.to_owned(), 0);
        }
        counted.1 += 1;
        n.parse() == Ok(counted.1)
    }

    fn hold(until_gone: &Path) {
        let began = Instant::now();
        while until_gone.exists() && began.elapsed() < HOLD_MAX {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn die() -> ! {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        loop {
            std::thread::park();
        }
    }

    fn variable(name: &'static str) -> Option<&'static str> {
        static READ: OnceLock<[Option<String>; 2]> = OnceLock::new();
        let read = READ.get_or_init(|| [ARMED, TRACE].map(|it| std::env::var(it).ok()));
        read[usize::from(name == TRACE)].as_deref()
    }
}
