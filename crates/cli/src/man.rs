//! `dedi man`: the program's help as man pages.

use std::path::PathBuf;

use clap::Args;

use crate::console::Console;
use crate::error::{CliError, Result};

/// Where the pages go.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Folder to write a page per command to; it is created if needed [default: print the main page]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(crate) fn run(args: ManArgs, program: &clap::Command, console: &mut Console) -> Result {
    let Some(dir) = args.dir else {
        let mut page = Vec::new();
        clap_mangen::Man::new(program.clone())
            .render(&mut page)
            .map_err(|err| CliError::failed(format!("could not render the man page: {err}"), None))?;
        return console.data(&String::from_utf8_lossy(&page));
    };
    std::fs::create_dir_all(&dir).and_then(|()| clap_mangen::generate_to(program.clone(), &dir)).map_err(
        |err| CliError::failed(format!("could not write man pages to {}: {err}", dir.display()), None),
    )?;
    console.say(&format!(
        "Wrote man pages to {}. Read one with `man -l {}/dedi.1`.",
        dir.display(),
        dir.display()
    ));
    Ok(())
}
