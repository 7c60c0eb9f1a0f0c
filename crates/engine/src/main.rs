//! `dedi-engine`: reads the command line and serves.

use std::env;
use std::os::unix::process::CommandExt;
use std::process::{Command as Process, ExitCode};

use clap::Parser;

use dedi_engine::cli::{Cli, Command};
use dedi_engine::constrain::trial;
use dedi_engine::{logging, render, serve};

// How often a thread looks again before it sleeps, while others finish their part. The OpenMP library's own value
// is milliseconds: on a busy machine every one of them is taken from the thread that is waited for, and a token
// takes a hundred times as long. This is some microseconds.
const SPIN_COUNT: &str = "30000";
const SPIN_SETTINGS: [&str; 2] = ["GOMP_SPINCOUNT", "OMP_WAIT_POLICY"];

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Serve(args) => {
            wait_politely();
            let complaints = logging::init();
            serve::serve(&args, &complaints).into()
        }
        Command::TryForm => match trial::run() {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Command::Render(args) => {
            let _complaints = logging::init();
            render::render(&args).into()
        }
    }
}

/// Sets the OpenMP library's waiting, unless the starter did. It reads the environment before `main`, so the
/// program starts itself again in its own place: same process, same id.
fn wait_politely() {
    if SPIN_SETTINGS.iter().any(|it| env::var_os(it).is_some()) {
        return;
    }
    if let Ok(program) = env::current_exe() {
        // Returns only on failure, and then the library's own value does.
        let _error =
            Process::new(program).args(env::args_os().skip(1)).env(SPIN_SETTINGS[0], SPIN_COUNT).exec();
    }
}
