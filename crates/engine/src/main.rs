//! `dedi-engine`: reads the command line and serves.

use std::process::ExitCode;

use clap::Parser;

use dedi_engine::cli::{Cli, Command};
use dedi_engine::{logging, serve};

fn main() -> ExitCode {
    let Cli { command: Command::Serve(args) } = Cli::parse();
    let complaints = logging::init();
    serve::serve(&args, &complaints).into()
}
