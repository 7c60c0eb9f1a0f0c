//! What is added to the program's command when it is whole: examples, and what is hidden of it.

use clap::{Command, Subcommand};

use crate::endpoints::EndpointsCommand;
use crate::examples::{EXAMPLES, Examples};

/// The program with examples in its help, this crate's and `more`, and without the short forms of endpoint commands in
/// its list of commands.
pub fn finished(program: Command, more: &Examples) -> Command {
    let short = EndpointsCommand::augment_subcommands(Command::new("short"));
    let names: Vec<String> = short.get_subcommands().map(|it| it.get_name().to_owned()).collect();
    let program = names.into_iter().fold(program, |program, name| {
        if program.find_subcommand(&name).is_none() {
            return program;
        }
        let path = format!("endpoints {name}");
        program.mut_subcommand(name, |it| with_examples(it.hide(true), &path, more))
    });
    program.mut_subcommands(|it| {
        let path = it.get_name().to_owned();
        if it.is_hide_set() { it } else { with_examples(it, &path, more) }
    })
}

fn with_examples(command: Command, path: &str, more: &Examples) -> Command {
    let command = command.mut_subcommands(|it| {
        let path = format!("{path} {}", it.get_name());
        with_examples(it, &path, more)
    });
    let Some((_, lines)) = EXAMPLES.iter().chain(more).find(|(of, _)| *of == path) else { return command };
    let mut help: String = lines.iter().fold("Examples:".to_owned(), |help, it| format!("{help}\n  {it}"));
    if let Some(after) = command.get_after_help() {
        help = format!("{help}\n\n{after}");
    }
    command.after_help(help)
}
