//! `dedi-engine`: reads the command line and serves.

use std::env;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command as Process, ExitCode};

use clap::Parser;

use dedi_engine::backends::Backends;
use dedi_engine::cli::{Cli, Command, Listing};
use dedi_engine::constrain::trial;
use dedi_engine::exit::Exit;
use dedi_engine::{logging, render, serve};

// How often a thread polls before it sleeps, while others finish their part. The OpenMP library's own value
// is milliseconds: on a busy machine every one of them is taken from the thread that is waited for, and a token
// takes a hundred times as long. This is some microseconds.
const SPIN_COUNT: &str = "30000";
const SPIN_SETTINGS: [&str; 2] = ["GOMP_SPINCOUNT", "OMP_WAIT_POLICY"];

fn main() -> ExitCode {
    let command = match Cli::parse() {
        Cli { backends: Some(form), .. } => return list(form),
        Cli { command: Some(command), .. } => command,
        // Without arguments there is help, and the code of a wrong command line.
        Cli { command: None, .. } => return ExitCode::from(2),
    };
    match command {
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

/// Prints what this build can compute on.
fn list(form: Listing) -> ExitCode {
    // The library's messages go to standard error, the list alone to standard output.
    let _complaints = logging::init();
    let backends = Backends::now();
    let text = match form {
        Listing::Text => backends.to_string(),
        Listing::Json => backends.json(),
    };
    match writeln!(io::stdout(), "{text}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => Exit::Internal.into(),
    }
}

/// Sets the OpenMP library's waiting, unless the starter did. It reads the environment before `main`, so the
/// program re-executes itself: same process, same id.
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
