//! `dedi`: the server and its command line, and what keeps a replica's engine where `dedi-shim` is not there to do
//! it. This file only sorts out which of the three is meant.

mod admin;
mod backup;
mod config;
mod cors;
mod demo;
mod descriptors;
mod doctor;
mod down;
mod exit;
mod explain;
mod file_limit;
mod folder;
mod framing;
mod gate;
mod health;
mod hosts;
mod limits;
mod listener;
mod load_reports;
mod logging;
mod only_get;
mod openapi;
mod paths;
mod print;
mod programs;
mod replicas;
mod running;
mod runtime;
mod serve;
mod signals;
mod socket;
mod stop;
mod takeover;
mod unreadable;
mod unused;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::Resettable;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::config::{Config, Overrides};
use crate::exit::EXIT_USAGE;
use crate::paths::DataDir;
use crate::print::fail;

/// Turns your own machines into a dedicated-endpoint service with the same API as Together's.
#[derive(Debug, Parser)]
#[command(name = "dedi", version, propagate_version = true, arg_required_else_help = true)]
#[command(
    after_help = "Commands of `dedi endpoints` also work without `endpoints`: dedi list, dedi logs ENDPOINT.\n\n\
Exit codes: 0 done; 1 refused by the server, or the wait failed; 2 wrong usage or configuration; \
3 the server can't be reached, or another one holds the data folder; 130 interrupted."
)]
struct Cli {
    #[command(flatten)]
    globals: dedi_cli::Globals,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server: control plane and gateway
    Serve(ServeArgs),
    /// Stop the server of a data folder and all its replicas
    Down(DownArgs),
    /// Back up the database to a new file, also while the server runs
    #[command(long_about = BACKUP_ABOUT)]
    Backup {
        /// File to create
        file: PathBuf,
    },
    /// Print the effective configuration as TOML, with each key explained, and check it
    Config(Overrides),
    /// Check this host: engine, shim, devices, isolation, disk
    Doctor(Overrides),
    /// Supervise one replica (started by the server)
    #[command(hide = true)]
    Shim {
        /// The replica's folder.
        dir: PathBuf,
    },
    #[command(flatten)]
    Client(dedi_cli::Command),
}

const BACKUP_ABOUT: &str = "\
Back up the database to a new file, also while the server runs

The backup is consistent, verified, on disk when the command returns, and readable by you only. It contains endpoints, \
events and the hashes of keys, but not models, logs and admin.key. An existing file is never overwritten.

To restore it, stop the server, remove state.db-wal and state.db-shm from the data folder if they exist, \
copy the file to state.db, and start the server. Running replicas keep running; those started after the backup are \
stopped.";

#[derive(Debug, clap::Args)]
struct ServeArgs {
    #[command(flatten)]
    overrides: Overrides,
    /// Take over the listening socket and the replicas from the server that runs on the data folder
    #[arg(long)]
    takeover: bool,
}

#[derive(Debug, clap::Args)]
struct DownArgs {
    #[command(flatten)]
    overrides: Overrides,
    /// Maximum time for running requests and processes to end, such as 30s or 5m; a plain number is seconds
    #[arg(long, default_value = "60s", value_name = "DURATION", value_parser = dedi_cli::durations::seconds_or_none)]
    wait: u64,
    /// Stop the server only; its replicas keep running, and the next server adopts them
    #[arg(long)]
    keep_replicas: bool,
}

/// Longest wait at the very end for what still runs on the runtime's threads.
const SHUTDOWN_MAX: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    // Before anything else: the shim stays small by never building the command line or a runtime.
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|it| it == "shim")
        && let (Some(dir), None) = (args.next(), args.next())
    {
        return dedi_shim::main(&PathBuf::from(dir));
    }
    signals::outlive_file_limit();
    // Whatever this program makes is its user's alone.
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    let parsed = without_empty_variables(command())
        .try_get_matches()
        .and_then(|mut matches| Cli::from_arg_matches_mut(&mut matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(said) => return explain(&said),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(err) => return fail(EXIT_USAGE, &format!("the async runtime could not be started: {err}")),
    };
    let code = runtime.block_on(run(cli));
    // Dropped, it would wait for reads that a hanging disk never answers.
    runtime.shutdown_timeout(SHUTDOWN_MAX);
    code
}

/// The whole program.
fn command() -> clap::Command {
    dedi_cli::finished(Cli::command(), EXAMPLES)
}

const EXAMPLES: &dedi_cli::Examples = &[
    (
        "serve",
        &["dedi serve", "dedi serve --listen 127.0.0.1:8000 --data-dir ~/dedi", "dedi serve --takeover"],
    ),
    ("down", &["dedi down", "dedi down --keep-replicas", "dedi down --wait 5m"]),
    ("backup", &["dedi backup ~/dedi-backup.db"]),
    ("config", &["dedi config", "dedi config --config ./dedi.toml"]),
    ("doctor", &["dedi doctor"]),
];

/// Prints the help or the version that was asked for, or what is wrong with the arguments.
fn explain(said: &clap::Error) -> ExitCode {
    let printed = said.print();
    if said.use_stderr() {
        return ExitCode::from(EXIT_USAGE);
    }
    print::written(printed.and_then(|()| std::io::stdout().flush())).err().unwrap_or(ExitCode::SUCCESS)
}

/// A variable that is there and empty is none: that is how scripts and unit files leave one out.
fn without_empty_variables(command: clap::Command) -> clap::Command {
    command
        .mut_args(|arg| match arg.get_env().and_then(std::env::var_os) {
            Some(value) if value.is_empty() => arg.env(Resettable::Reset),
            Some(_) | None => arg,
        })
        .mut_subcommands(without_empty_variables)
}

async fn run(cli: Cli) -> ExitCode {
    file_limit::make_it_an_error();
    let prepared = |overrides: &Overrides| prepare(overrides, cli.globals.data_dir.as_deref());
    match cli.command {
        Command::Serve(args) => match checked(prepared(&args.overrides)).await {
            Ok((data, config)) => {
                let asked = args.takeover.then_some(serve::TakesOver { listen: args.overrides.listen });
                serve::serve(data, config, asked).await
            }
            Err(code) => code,
        },
        Command::Down(args) => match prepared(&args.overrides) {
            Ok((data, config)) => {
                down::down(&data, &config, args.wait, args.keep_replicas, cli.globals.output()).await
            }
            Err(code) => code,
        },
        Command::Backup { file } => match DataDir::resolve(cli.globals.data_dir.as_deref()) {
            Ok(data) => backup::backup(&data, &file, cli.globals.output()).await,
            Err(err) => fail(EXIT_USAGE, &err),
        },
        Command::Config(overrides) => match prepared(&overrides) {
            Ok((data, config)) => print_config(&data, &config, cli.globals.output()).await,
            Err(code) => code,
        },
        Command::Doctor(overrides) => match prepared(&overrides) {
            Ok((data, config)) => match config.check() {
                Ok(()) => doctor::doctor(&data, &config, cli.globals.output()).await,
                Err(err) => fail(EXIT_USAGE, &err),
            },
            Err(code) => code,
        },
        Command::Shim { dir } => dedi_shim::main(&dir),
        Command::Client(command) => dedi_cli::run(command, &cli.globals, &mut self::command()).await,
    }
}

fn prepare(overrides: &Overrides, data_dir: Option<&Path>) -> Result<(DataDir, Config), ExitCode> {
    let data = DataDir::resolve(data_dir).map_err(|err| fail(EXIT_USAGE, &err))?;
    let config = Config::load(overrides, &data).map_err(|err| fail(EXIT_USAGE, &err))?;
    Ok((data, config))
}

/// What `serve` refuses is refused before anything is made or asked for.
async fn checked(prepared: Result<(DataDir, Config), ExitCode>) -> Result<(DataDir, Config), ExitCode> {
    let (data, config) = prepared?;
    check(&config).await.map_err(|err| fail(EXIT_USAGE, &err))?;
    Ok((data, config))
}

async fn check(config: &Config) -> Result<(), String> {
    config.check()?;
    programs::check(config).await
}

/// The config, and then what `serve` would refuse of it.
async fn print_config(data: &DataDir, config: &Config, output: Option<dedi_cli::Output>) -> ExitCode {
    match config.printed() {
        Ok(text) => {
            let printed = format!(
                "# data folder: {}\n# config file read, if it exists: {}\n{text}\n",
                data.root().display(),
                data.config().display()
            );
            if let Err(code) = print::object(output, config, &printed) {
                return code;
            }
        }
        Err(err) => return fail(EXIT_USAGE, &format!("the config can't be printed: {err}")),
    }
    match check(config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => fail(EXIT_USAGE, &err),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        command().debug_assert();
    }

    #[test]
    fn every_command_has_examples_and_each_parses() {
        fn check(of: &clap::Command, path: &str, without: &mut Vec<String>) {
            for it in of.get_subcommands().filter(|it| !it.is_hide_set()) {
                let path = format!("{path} {}", it.get_name());
                let help = it.get_after_help().map(ToString::to_string).unwrap_or_default();
                if !help.contains("Examples:") {
                    without.push(path.clone());
                }
                let mut examples =
                    help.lines().skip_while(|it| *it != "Examples:").take_while(|it| !it.is_empty());
                assert!(examples.all(|it| it.len() <= 80), "{path}: {help}");
                let joined = help.replace("\\\n", " ");
                for line in joined.lines().map(str::trim).filter(|it| it.starts_with("dedi ")) {
                    let line = line.split(['#', '<', '>']).next().unwrap();
                    let words = line.split('"').enumerate().flat_map(|(n, it)| match n % 2 {
                        0 => it.split_whitespace().collect(),
                        _ => vec![it],
                    });
                    let parsed = command().try_get_matches_from(words);
                    assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
                }
                check(it, &path, without);
            }
        }
        let mut without = Vec::new();
        check(&command(), "dedi", &mut without);
        assert!(without.is_empty(), "no examples: {without:?}");
    }

    #[test]
    fn endpoint_commands_work_without_the_word_and_are_hidden() {
        for line in [
            "list",
            "ps",
            "logs x",
            "stop x",
            "start x",
            "delete x",
            "describe x",
            "create --model m --hardware h",
        ] {
            let words = ["dedi"].into_iter().chain(line.split(' '));
            assert!(command().try_get_matches_from(words).is_ok(), "{line}");
        }
        let help = command().render_help().to_string();
        assert!(!help.contains("\n  list") && help.contains("\n  endpoints"), "{help}");
        assert!(help.contains("dedi logs ENDPOINT"), "{help}");
    }

    #[test]
    fn a_mistyped_command_is_answered_with_the_right_one() {
        for (typed, meant) in
            [("lgos", "logs"), ("endpoint lst", "list"), ("model pul", "pull"), ("statr", "start")]
        {
            let words = ["dedi"].into_iter().chain(typed.split(' '));
            let said = command().try_get_matches_from(words).unwrap_err().to_string();
            assert!(said.contains("similar") && said.contains(&format!("'{meant}'")), "{said}");
        }
    }
}
