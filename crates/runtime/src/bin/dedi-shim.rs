//! The shim by itself: what `dedi shim <replica dir>` does, without the server around it. For tests, and
//! for whoever wants the smallest possible supervisor.

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    match (args.next(), args.next(), args.next()) {
        (Some(word), Some(dir), None) if word == "shim" => {
            dedi_runtime::process::shim::main(&PathBuf::from(dir))
        }
        (_, _, _) => {
            eprintln!("usage: dedi-shim shim <replica dir>");
            ExitCode::from(2)
        }
    }
}
