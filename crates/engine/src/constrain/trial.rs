//! A form compiled on trial, in a process of its own: this program, called with `try-form`.
//!
//! The process has bounds for memory and time, gives way to whoever decodes, and is killed when nobody waits for it any
//! more. It knows no model: letters are its tokens. It also follows the form for a while, since some are cheap to compile
//! and costly to follow.

use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use llguidance::ParserFactory;
use llguidance::toktrie::{ApproximateTokEnv, SimpleVob};
use parking_lot::Mutex;
use rustix::process::{Resource, Rlimit};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::form::{Form, FormError, STACK_BYTES, limits};

/// Longest computing. The largest schemas that are taken need a second or two.
pub const TIME_MAX: Duration = Duration::from_secs(3);
/// Longest trial in wall-clock time: on a busy machine a trial is scheduled late, which is not the form's fault.
pub const WAIT_MAX: Duration = Duration::from_secs(20);
/// What the kernel ends a process with that has computed for as long as it may.
const SIGXCPU: i32 = 24;
/// Memory that a trial may use besides its stack.
pub const MEMORY_BYTES_MAX: u64 = 512 << 20;
/// Bytes of a verdict that are read.
const VERDICT_BYTES_MAX: u64 = 64 << 10;
/// Interval at which a process that is about to exit is polled.
const REAP_DELAY: Duration = Duration::from_millis(1);
/// Letters for which a form is followed.
const STEPS: usize = 64;
/// How far it gives way to the threads that decode.
const NICE: i32 = 5;

/// What came out.
#[derive(Debug, Serialize, Deserialize)]
enum Verdict {
    Fit,
    Unfit(String),
}

/// Has `program`, which is this one, compile a form, given as JSON, on trial; returns how long that took. Whoever drops the
/// future ends the trial.
///
/// # Errors
/// When it does not compile, or not within the bounds.
pub async fn passes(program: &Path, form: Vec<u8>) -> Result<Duration, FormError> {
    let started = Instant::now();
    let failed = |error: io::Error| FormError::Internal(format!("a trial could not be made: {error}"));
    let mut command = Command::new(program);
    command.arg("try-form").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut process = command.spawn().map_err(failed)?;
    let pipes = (process.stdin.take(), process.stdout.take());
    let process = Arc::new(Mutex::new(process));
    let killed_when_dropped = Trial(Arc::clone(&process));
    let (sender, receiver) = oneshot::channel();
    let listen = move || {
        let verdict = exchange(pipes, &form);
        // Reaped here, whoever still waits. It has closed its output, so this is soon.
        let ended = loop {
            match process.lock().try_wait() {
                Ok(None) => {}
                Ok(Some(status)) => break status.signal(),
                Err(_) => break None,
            }
            std::thread::sleep(REAP_DELAY);
        };
        let _client_may_be_gone = sender.send((verdict, ended));
    };
    std::thread::Builder::new().name("trial".to_owned()).spawn(listen).map_err(failed)?;
    let outcome = tokio::time::timeout(WAIT_MAX, receiver).await;
    drop(killed_when_dropped);
    let Ok(outcome) = outcome else { return Err(FormError::Busy) };
    let (verdict, ended) = outcome.unwrap_or_default();
    match (serde_json::from_slice(&verdict), ended) {
        (Ok(Verdict::Fit), _) => Ok(started.elapsed()),
        (Ok(Verdict::Unfit(why)), _) => Err(FormError::Unfit(why)),
        (Err(_no_verdict), Some(SIGXCPU)) => {
            let most = TIME_MAX.as_secs();
            Err(FormError::Unfit(format!("it takes more than {most} s to prepare, which is the most")))
        }
        // It was ended by its own bound, or of its own stack.
        (Err(_no_verdict), _) => Err(FormError::Unfit(format!(
            "it takes more than {} MiB of memory to prepare, which is the most, or is nested too deep",
            MEMORY_BYTES_MAX >> 20
        ))),
    }
}

/// A trial's process; dropped, it is killed, if it has not ended.
struct Trial(Arc<Mutex<Child>>);

impl Drop for Trial {
    fn drop(&mut self) {
        let _may_have_ended = self.0.lock().kill();
    }
}

/// Tells the form, and hears the verdict: nothing, where the process ended without one.
fn exchange((input, output): (Option<ChildStdin>, Option<ChildStdout>), form: &[u8]) -> Vec<u8> {
    let mut verdict = Vec::new();
    // The process reads all of it before it writes. A broken pipe means that it exited early.
    let _may_have_ended = input.map(|mut it| it.write_all(form));
    let _what_came_counts = output.map(|it| it.take(VERDICT_BYTES_MAX).read_to_end(&mut verdict));
    verdict
}

/// The trial process: reads a form, compiles it and writes the verdict.
///
/// # Errors
/// When the process cannot be bounded or nobody listens.
pub fn run() -> io::Result<()> {
    let most = MEMORY_BYTES_MAX + STACK_BYTES as u64;
    rustix::process::setrlimit(Resource::Data, Rlimit { current: Some(most), maximum: Some(most) })?;
    let seconds = TIME_MAX.as_secs();
    rustix::process::setrlimit(Resource::Cpu, Rlimit { current: Some(seconds), maximum: Some(seconds + 1) })?;
    rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    let _polite_where_it_may_be = rustix::process::nice(NICE);
    // Whoever is asked by nobody any more ends: the engine may be killed without a chance to end this.
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    let mut form = Vec::new();
    io::stdin().lock().read_to_end(&mut form)?;
    let form: Form = serde_json::from_slice(&form).map_err(io::Error::other)?;
    let tried = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(move || try_form(form))?.join();
    let verdict = match tried {
        Ok(Ok(())) => Verdict::Fit,
        Ok(Err(why)) => Verdict::Unfit(why.to_string()),
        Err(_panicked) => Verdict::Unfit("it could not be prepared".to_owned()),
    };
    let mut out = io::stdout().lock();
    out.write_all(&serde_json::to_vec(&verdict).map_err(io::Error::other)?)?;
    out.flush()
}

fn try_form(form: Form) -> Result<(), FormError> {
    let mut factory = ParserFactory::new_simple(&ApproximateTokEnv::single_byte_env())
        .map_err(|it| FormError::Internal(it.to_string()))?;
    factory.quiet();
    *factory.limits_mut() = limits();
    let mut grammar = super::compiler::compile(&factory, form)?;
    // A walk that is the same each time and favours no letter.
    let mut random: usize = 7;
    for _ in 0..STEPS {
        let mask = grammar.mask()?;
        random = random.wrapping_mul(25_214_903_917).wrapping_add(11);
        let Some(token) = pick(&mask, random >> 16) else { return Ok(()) };
        if grammar.advance(token)? {
            return Ok(());
        }
    }
    Ok(())
}

fn pick(mask: &SimpleVob, random: usize) -> Option<u32> {
    let n = mask.iter().count();
    mask.iter().nth(random.checked_rem(n)?)
}
