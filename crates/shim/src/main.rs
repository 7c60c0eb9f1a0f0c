//! The program that supervises one replica: what `dedi shim <replica dir>` does, without the server around it.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    match (args.next(), args.next(), args.next()) {
        // With the word that `dedi` takes, so that a shim's command line looks the same whichever program it is.
        (Some(word), Some(dir), None) if word == "shim" => dedi_shim::main(&PathBuf::from(dir)),
        (Some(word), None, None) if word == "--version" => {
            let said = writeln!(io::stdout(), "dedi-shim {}", env!("CARGO_PKG_VERSION"));
            if said.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        (_, _, _) => {
            let _unheard = writeln!(io::stderr(), "usage: dedi-shim shim <replica dir>");
            ExitCode::from(2)
        }
    }
}
