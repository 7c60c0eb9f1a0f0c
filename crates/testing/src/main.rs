//! `dedi-fake-engine`: an engine without a model, which misbehaves on request.

mod dialect;
mod escape;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use dedi_testing::{Behaviour, Mode};
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{SignalKind, signal};

use crate::dialect::Engine;

/// The flags of `dedi-engine serve`, or, after the word `foreign`, those of an engine that is none of dedi's; those
/// without meaning here are read and forgotten.
struct Args {
    model: PathBuf,
    listen: Listen,
    model_name: String,
}

/// Where it listens.
enum Listen {
    Socket(PathBuf),
    Tcp(SocketAddr),
}

fn main() -> ExitCode {
    let args_given: Vec<String> = std::env::args().skip(1).collect();
    if args_given.first().is_some_and(|it| it == "child") {
        return child();
    }
    let Some(args) = parse(&args_given) else {
        eprintln!("usage: dedi-fake-engine serve --model PATH --socket PATH --model-name NAME …");
        eprintln!("       dedi-fake-engine foreign --weights PATH --listen ADDRESS --served-as NAME …");
        return ExitCode::from(2);
    };
    let behaviour = Behaviour::parse(&args.model_name);
    note_start();
    eprintln!("fake engine: {behaviour:?}");
    if let Some(code) = before(behaviour, &args.model) {
        return code;
    }
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return ExitCode::FAILURE;
    };
    runtime.block_on(serve(args, behaviour))
}

/// Adds the launch's mark and this process's id to the file that `DEDI_FAKE_STARTS` names: how a test counts
/// starts without having to poll at the right moment.
fn note_start() {
    use std::io::Write;
    let (Ok(file), Ok(mark)) = (std::env::var("DEDI_FAKE_STARTS"), std::env::var("DEDI_NONCE")) else {
        return;
    };
    let line = format!("{mark} {}\n", std::process::id());
    let noted = std::fs::OpenOptions::new().append(true).create(true).open(file);
    if let Err(err) = noted.and_then(|mut it| it.write_all(line.as_bytes())) {
        eprintln!("the start could not be noted: {err}");
    }
}

fn parse(args_given: &[String]) -> Option<Args> {
    let value =
        |flag: &str| args_given.iter().position(|it| it == flag).and_then(|at| args_given.get(at + 1));
    if args_given.first().is_some_and(|it| it == "foreign") {
        return Some(Args {
            model: value("--weights")?.into(),
            listen: Listen::Tcp(value("--listen")?.parse().ok()?),
            model_name: value("--served-as")?.clone(),
        });
    }
    Some(Args {
        model: value("--model")?.into(),
        listen: Listen::Socket(value("--socket")?.into()),
        model_name: value("--model-name")?.clone(),
    })
}

/// What goes wrong before it listens; an exit code if that was all.
fn before(behaviour: Behaviour, model: &Path) -> Option<ExitCode> {
    let number = behaviour.number;
    match behaviour.mode {
        Mode::CrashAtStart => {
            for n in 1..=150 {
                eprintln!("line {n} before the crash");
            }
            return Some(ExitCode::from(u8::try_from(number).unwrap_or(1)));
        }
        Mode::DeviceFull => {
            eprintln!("CUDA error: out of memory");
            std::process::abort();
        }
        Mode::Fork => {
            for _ in 0..number.max(1) {
                let Ok(program) = std::env::current_exe() else { return Some(ExitCode::FAILURE) };
                if let Err(err) = spawn_child(&program) {
                    eprintln!("no child: {err}");
                    return Some(ExitCode::FAILURE);
                }
            }
        }
        Mode::FloodLog => {
            let line = "x".repeat(1023);
            for _ in 0..number * 1024 {
                eprintln!("{line}");
            }
            eprintln!("flood is over");
        }
        Mode::EatMemory => {
            let mut eaten: Vec<Vec<u8>> = Vec::new();
            for _ in 0..number {
                eaten.push(vec![1; 1 << 20]);
            }
            eprintln!("{} MiB eaten", eaten.len());
            std::mem::forget(eaten);
        }
        Mode::FillDisk => {
            std::thread::spawn(move || fill_disk(number));
        }
        Mode::Escape => {
            if let Err(err) = escape::run(model) {
                eprintln!("no report: {err}");
                return Some(ExitCode::FAILURE);
            }
        }
        Mode::Ok
        | Mode::SlowLoad
        | Mode::Hang
        | Mode::HangHealth
        | Mode::NeverReady
        | Mode::Deaf
        | Mode::CrashAtToken
        | Mode::Garbage
        | Mode::IgnoreTerm
        | Mode::WrongNonce
        | Mode::Error500
        | Mode::Busy
        | Mode::SplitUtf8
        | Mode::SlowTokens => {}
    }
    None
}

/// Writes files into the folder it works in, so many MiB a second; not for ever, should nobody mind.
fn fill_disk(mib_per_sec: u64) {
    const FILE_BYTES: usize = 256 << 10;
    const FILES_MAX: usize = 1024;
    for n in 0..FILES_MAX {
        if std::fs::write(format!("junk-{n}"), vec![1; FILE_BYTES]).is_err() {
            return;
        }
        std::thread::sleep(Duration::from_millis(250 / mib_per_sec.max(1)));
    }
}

fn spawn_child(program: &std::path::Path) -> std::io::Result<()> {
    use std::os::unix::process::CommandExt;
    // Its parent is a shell-less double: this child starts the one that stays, and ends.
    std::process::Command::new(program)
        .args(["child", "parent"])
        .env_remove("DEDI_NONCE")
        .process_group(0)
        .spawn()
        .map(drop)
}

/// A process that gets out of its parent's sight as far as it can.
fn child() -> ExitCode {
    if std::env::args().nth(2).is_some_and(|it| it == "parent") {
        if let Ok(program) = std::env::current_exe() {
            let _ = std::process::Command::new(program).args(["child", "stay"]).spawn();
        }
        return ExitCode::SUCCESS;
    }
    let _ = rustix::process::setsid();
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return ExitCode::FAILURE;
    };
    runtime.block_on(async {
        let _ignored = signal(SignalKind::terminate());
        loop {
            tokio::time::sleep(Duration::from_secs(3600)).await;
        }
    })
}

async fn serve(args: Args, behaviour: Behaviour) -> ExitCode {
    let Ok(mut term) = signal(SignalKind::terminate()) else { return ExitCode::FAILURE };
    // An engine that is none of dedi's is interrupted.
    let Ok(mut interrupt) = signal(SignalKind::interrupt()) else { return ExitCode::FAILURE };
    let ended = async {
        loop {
            tokio::select! {
                _ = term.recv() => eprintln!("asked to end"),
                _ = interrupt.recv() => eprintln!("interrupted"),
            }
            if !behaviour.is(Mode::IgnoreTerm) {
                return;
            }
        }
    };
    let listen = async {
        if behaviour.is(Mode::Deaf) {
            std::future::pending::<()>().await;
        }
        let router = dialect::router(Arc::new(Engine::new(behaviour, args.model_name.clone())));
        let served = match &args.listen {
            Listen::Socket(path) => match UnixListener::bind(path) {
                Ok(listener) => axum::serve(listener, router).await,
                Err(err) => Err(err),
            },
            Listen::Tcp(address) => match TcpListener::bind(address).await {
                Ok(listener) => axum::serve(listener, router).await,
                Err(err) => Err(err),
            },
        };
        if let Err(err) = served {
            eprintln!("it can't listen: {err}");
        }
    };
    tokio::select! {
        () = ended => ExitCode::SUCCESS,
        () = listen => ExitCode::FAILURE,
    }
}
