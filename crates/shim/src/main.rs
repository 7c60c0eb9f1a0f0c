//! The program that supervises one replica: what `dedi shim <replica dir>` does, without the server around it.

use std::path::PathBuf;
use std::process::ExitCode;

#[expect(clippy::print_stdout, reason = "the version is what was asked for")]
fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    match (args.next(), args.next(), args.next()) {
        // With the word that `dedi` takes, so that a shim's command line looks the same whichever program it is.
        (Some(word), Some(dir), None) if word == "shim" => dedi_shim::main(&PathBuf::from(dir)),
        (Some(word), None, None) if word == "--version" => {
            println!("dedi-shim {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        (_, _, _) => {
            eprintln!("usage: dedi-shim shim <replica dir>");
            ExitCode::from(2)
        }
    }
}
