//! Runs one command line as `dedi` would, with scripted input and what it prints kept.

use std::io::Cursor;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use clap::{CommandFactory, FromArgMatches, Parser};
use dedi_cli::console::{Console, Terminals};
use dedi_cli::{Command, Exit, Globals, run_on};
use tokio::sync::Notify;

use crate::server::Server;

/// A program with the shape of `dedi`.
#[derive(Debug, Parser)]
#[command(name = "dedi")]
pub(crate) struct Program {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) command: Commands,
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Commands {
    Down {
        #[arg(long, env = "DEDI_DATA_DIR")]
        data_dir: Option<PathBuf>,
        #[arg(long, default_value_t = 60)]
        timeout: u64,
    },
    #[command(flatten)]
    Client(Command),
}

/// The program as `dedi` finishes it.
fn whole() -> clap::Command {
    dedi_cli::finished(Program::command(), &[])
}

#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) exit: Exit,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// How a command is run.
#[derive(Default)]
pub(crate) struct Run {
    pub(crate) input: String,
    pub(crate) terminals: Terminals,
    pub(crate) interrupt: Arc<Notify>,
}

impl Run {
    pub(crate) async fn line(self, base_url: &str, line: &[&str]) -> Ended {
        let args = ["dedi", "--base-url", base_url, "--api-key", "dedi_test"];
        let matches = whole().try_get_matches_from(args.iter().chain(line)).unwrap();
        let program = Program::from_arg_matches(&matches).unwrap();
        let Commands::Client(command) = program.command else { panic!("not a client command") };
        let (out, err) = (Shared::default(), Shared::default());
        let mut console = Console::scripted(
            Box::new(Cursor::new(self.input)),
            Box::new(out.clone()),
            Box::new(err.clone()),
            self.terminals,
            self.interrupt,
        )
        .at("2026-11-21T09:30:00Z".parse().unwrap());
        let exit = run_on(command, &program.globals, &mut whole(), &mut console).await;
        drop(console);
        Ended { exit, out: out.text(), err: err.text() }
    }
}

pub(crate) async fn run(server: &Server, line: &[&str]) -> Ended {
    Run::default().line(&server.base_url(), line).await
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Shared {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl std::io::Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
