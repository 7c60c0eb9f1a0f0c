//! The command line: a client of the HTTP API like any other. It reads nothing of the server but its
//! answers, the address file and the key file. Data goes to stdout, everything said about it to stderr.

mod account;
mod chat;
mod client;
mod client_error;
pub mod console;
mod context;
pub mod durations;
mod endpoints;
mod error;
mod examples;
mod hints;
mod ids;
mod input;
mod man;
mod models;
mod output;
mod patience;
mod program;
mod pull;
mod render;
mod resolve;
mod settings;
mod usage;
mod wait;

use std::process::ExitCode;

use clap::Subcommand;
use clap_complete::Shell;

use crate::client::Client;
use crate::console::Console;
use crate::context::Context;
use crate::settings::Settings;

pub use crate::error::Exit;
pub use crate::examples::Examples;
pub use crate::output::Output;
pub use crate::program::finished;
pub use crate::settings::{ApiKey, Globals};

/// What the exit codes of every client command mean; for the program's `--help`.
pub const EXIT_CODES: &str = "Exit codes: 0 done; 1 refused by the server, or the wait failed; \
2 wrong usage or configuration; 3 no server answers; 130 interrupted.";

/// Everything that only needs a server to talk to.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create, list, inspect, change and delete endpoints
    #[command(subcommand, visible_alias = "endpoint", after_help = EXIT_CODES)]
    Endpoints(endpoints::EndpointsCommand),
    /// The same without the word `endpoints`; [`finished`] hides them.
    #[command(flatten)]
    Endpoint(endpoints::EndpointsCommand),
    /// Chat with an endpoint
    Chat(chat::ChatArgs),
    /// List, download, check and remove models
    #[command(subcommand, visible_alias = "model", after_help = EXIT_CODES)]
    Models(models::ModelsCommand),
    /// The same as `dedi models pull`
    #[command(hide = true)]
    Pull(pull::PullArgs),
    /// Create, list and revoke API keys
    #[command(subcommand, visible_alias = "key", after_help = EXIT_CODES)]
    Keys(account::KeysCommand),
    /// Show how long endpoints ran, and what that costs
    Usage(usage::UsageArgs),
    /// Show the audit log: who did what to which object
    Audit(account::AuditArgs),
    /// Show the current key, account and server
    Whoami,
    /// Print a completion script for a shell
    Completions {
        /// Name of the shell
        shell: Shell,
    },
    /// Print the man page, or write one per command
    Man(man::ManArgs),
}

/// Runs one command on the process's own terminal. `program` is the whole program's command, for completions.
pub async fn run(command: Command, globals: &Globals, program: &mut clap::Command) -> ExitCode {
    run_on(command, globals, program, &mut Console::standard()).await.into()
}

/// Runs one command on any console; what tests call.
pub async fn run_on(
    command: Command,
    globals: &Globals,
    program: &mut clap::Command,
    console: &mut Console,
) -> Exit {
    let done = match command {
        Command::Completions { shell } => {
            let name = program.get_name().to_owned();
            let mut script = Vec::new();
            clap_complete::generate(shell, program, name, &mut script);
            console.data(&String::from_utf8_lossy(&script))
        }
        Command::Man(args) => man::run(args, program, console),
        Command::Endpoints(_)
        | Command::Endpoint(_)
        | Command::Chat(_)
        | Command::Models(_)
        | Command::Pull(_)
        | Command::Keys(_)
        | Command::Usage(_)
        | Command::Audit(_)
        | Command::Whoami => ask_server(command, globals, console).await,
    };
    match done {
        Ok(()) => Exit::Done,
        Err(err) => console.report(&err, globals.output()),
    }
}

async fn ask_server(command: Command, globals: &Globals, console: &mut Console) -> error::Result {
    let settings = Settings::resolve(globals, |name| std::env::var_os(name))?;
    let context = Context { output: globals.output(), client: Client::new(settings)? };
    match command {
        Command::Endpoints(command) | Command::Endpoint(command) => {
            endpoints::run(command, &context, console).await
        }
        Command::Chat(args) => chat::run(args, &context, console).await,
        Command::Models(command) => models::run(command, &context, console).await,
        Command::Pull(args) => pull::run(args, &context, console).await,
        Command::Keys(command) => account::run(command, &context, console).await,
        Command::Usage(args) => usage::run(args, &context, console).await,
        Command::Audit(args) => account::audit(args, &context, console).await,
        Command::Whoami => account::whoami(&context, console).await,
        Command::Completions { .. } | Command::Man(_) => Ok(()),
    }
}
