//! What every command gets, how it asks, and how it prints the objects of an answer.

use serde::Serialize;

use crate::client::Client;
use crate::console::Console;
use crate::error::Result;
use crate::output::Output;
use crate::render::View;

pub(crate) fn with_query(path: &str, query: &[String]) -> String {
    if query.is_empty() { path.to_owned() } else { format!("{path}?{}", query.join("&")) }
}

/// What every command gets.
pub(crate) struct Context {
    /// In which form stdout carries answers; none is text for people.
    pub(crate) output: Option<Output>,
    pub(crate) client: Client,
}

impl Context {
    /// Whether stdout carries text for people.
    pub(crate) fn is_text(&self) -> bool {
        matches!(self.output, None | Some(Output::Wide))
    }

    /// Whether stdout carries the answer as data, which is printed whole.
    pub(crate) fn is_data(&self) -> bool {
        matches!(self.output, Some(Output::Json | Output::Yaml))
    }

    pub(crate) fn view(&self, console: &Console) -> View {
        let is_wide = self.output == Some(Output::Wide);
        let width = if is_wide { None } else { console.width() };
        View { width, colours: console.colours(), is_wide, now: console.now() }
    }

    /// Prints `value`, or only its `ids`, in the form that was asked for.
    pub(crate) fn print<T: Serialize>(
        &self,
        console: &mut Console,
        value: &T,
        ids: impl IntoIterator<Item = impl AsRef<str>>,
        text: impl FnOnce(&T, &View) -> String,
    ) -> Result {
        match self.output {
            None | Some(Output::Wide) => console.data(&text(value, &self.view(console))),
            Some(Output::Json) => console.json(value),
            Some(Output::Yaml) => console.yaml(value),
            Some(Output::Name) => console.lines(ids),
        }
    }

    /// As [`Context::print`], for what is said on stderr where it is text.
    pub(crate) fn print_data<T: Serialize>(
        &self,
        console: &mut Console,
        value: &T,
        ids: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result {
        if self.is_text() { Ok(()) } else { self.print(console, value, ids, |_, _| String::new()) }
    }

    /// One of many values that come over time: JSON on a line of its own, YAML as a document of its own. Text is the
    /// caller's.
    pub(crate) fn print_next<T: Serialize>(&self, console: &mut Console, value: &T, id: &str) -> Result {
        match self.output {
            None | Some(Output::Wide) => Ok(()),
            Some(Output::Json) => console.json_line(value),
            Some(Output::Yaml) => {
                console.data("---\n")?;
                console.yaml(value)
            }
            Some(Output::Name) => console.lines([id]),
        }
    }
}
