//! The terminal, or what stands in for it: the only place of this crate that writes or reads one.

use std::io::{self, BufRead, IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use dedi_api::{ErrorBody, ErrorDetail};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::Notify;

use crate::error::{CliError, Exit, Result};
use crate::output::Output;

/// Where a command writes, reads, and hears Ctrl-C.
pub struct Console {
    out: Box<dyn Write + Send>,
    err: Box<dyn Write + Send>,
    input: Option<Box<dyn BufRead + Send>>,
    terminals: Terminals,
    colours: bool,
    interrupt: Option<Arc<Notify>>,
    now: Option<Timestamp>,
}

/// Columns of a terminal that does not say how many it has.
const COLUMNS: usize = 80;

/// Which of the three streams a person sits at.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terminals {
    /// Stdin.
    pub input: bool,
    /// Stdout.
    pub out: bool,
    /// Stderr.
    pub err: bool,
    /// Columns of stdout, where they are known.
    pub columns: Option<usize>,
}

impl Console {
    /// The process's own streams. Colours only on terminals, and not under `NO_COLOR` or `TERM=dumb`.
    pub fn standard() -> Self {
        let is_set = |name: &str| std::env::var_os(name).is_some_and(|it| !it.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|it| it == "dumb");
        Self {
            out: Box::new(io::stdout()),
            err: Box::new(io::stderr()),
            input: Some(Box::new(io::BufReader::new(io::stdin()))),
            terminals: Terminals {
                input: io::stdin().is_terminal(),
                out: io::stdout().is_terminal(),
                err: io::stderr().is_terminal(),
                columns: columns(),
            },
            colours: !is_set("NO_COLOR") && !dumb,
            interrupt: None,
            now: None,
        }
    }

    /// Given streams without colours. A notification of `interrupt` stands for Ctrl-C.
    pub fn scripted(
        input: Box<dyn BufRead + Send>,
        out: Box<dyn Write + Send>,
        err: Box<dyn Write + Send>,
        terminals: Terminals,
        interrupt: Arc<Notify>,
    ) -> Self {
        Self {
            out,
            err,
            input: Some(input),
            terminals,
            colours: false,
            interrupt: Some(interrupt),
            now: None,
        }
    }

    /// The same at a time that stands still.
    pub fn at(self, now: Timestamp) -> Self {
        Self { now: Some(now), ..self }
    }

    pub(crate) fn terminals(&self) -> Terminals {
        self.terminals
    }

    /// Writes data to stdout and ends the line if it has no end. The text is ours: cells are made harmless
    /// when they are rendered.
    pub(crate) fn data(&mut self, text: &str) -> Result {
        let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        self.write(&format!("{text}{end}"))
    }

    /// Writes a piece of other people's text to stdout at once. On a terminal its control characters are
    /// shown, not obeyed.
    pub(crate) fn foreign(&mut self, text: &str) -> Result {
        if self.terminals.out { self.write(&harmless(text)) } else { self.write(text) }
    }

    fn write(&mut self, text: &str) -> Result {
        match self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()) {
            Ok(()) => Ok(()),
            // The reader of stdout has gone, as in `| head`.
            Err(err) if err.kind() == io::ErrorKind::BrokenPipe => Err(CliError::silent(Exit::Done)),
            Err(err) => Err(CliError::failed(format!("stdout can't be written: {err}"), None)),
        }
    }

    /// Writes a value as indented JSON to stdout.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result {
        match serde_json::to_string_pretty(value) {
            Ok(text) => self.data(&text),
            Err(err) => Err(CliError::failed(format!("the answer can't be written as JSON: {err}"), None)),
        }
    }

    /// Says why a command did not do what it was told: on stderr for people, and as the API's error object on stdout where
    /// that carries JSON or YAML.
    pub(crate) fn report(&mut self, error: &CliError, output: Option<Output>) -> Exit {
        if error.message.is_empty() {
            return error.exit;
        }
        if let Some(Output::Json | Output::Yaml) = output {
            let detail = error.detail.as_deref().cloned().unwrap_or_else(|| ErrorDetail {
                message: error.message.clone(),
                kind: "client_error".to_owned(),
                param: None,
                code: None,
            });
            // A closed stdout leaves stderr, which is written next.
            let body = ErrorBody { id: None, error: detail };
            let _ = if output == Some(Output::Yaml) { self.yaml(&body) } else { self.json(&body) };
        }
        let label = if error.exit == Exit::Interrupted { "interrupted" } else { "error" };
        self.say_labelled(label, &error.message);
        if let Some(hint) = &error.hint {
            self.say_labelled("hint", hint);
        }
        error.exit
    }

    /// Writes a value as one line of JSON to stdout.
    pub(crate) fn json_line(&mut self, value: &impl Serialize) -> Result {
        match serde_json::to_string(value) {
            Ok(text) => self.data(&text),
            Err(err) => Err(CliError::failed(format!("could not write the answer as JSON: {err}"), None)),
        }
    }

    /// Writes a value as YAML to stdout.
    pub(crate) fn yaml(&mut self, value: &impl Serialize) -> Result {
        match Output::Yaml.render(value) {
            Ok(text) => self.data(&text.unwrap_or_default()),
            Err(message) => Err(CliError::failed(message, None)),
        }
    }

    /// Writes texts of others to stdout, one per line.
    pub(crate) fn lines(&mut self, texts: impl IntoIterator<Item = impl AsRef<str>>) -> Result {
        let lines: String =
            texts.into_iter().map(|it| format!("{}\n", harmless(it.as_ref()).replace('\n', " "))).collect();
        self.data(&lines)
    }

    /// Says a line on stderr. Nothing better can be done about a closed stderr than to go on.
    pub(crate) fn say(&mut self, line: &str) {
        let _ = writeln!(self.err, "{}", harmless(line));
    }

    /// Says `label: line` on stderr, the label in its colour.
    pub(crate) fn say_labelled(&mut self, label: &str, line: &str) {
        let style = match label {
            "error" => AnsiColor::Red.on_default().bold(),
            "hint" => AnsiColor::Cyan.on_default(),
            _ => AnsiColor::Yellow.on_default(),
        };
        let label = paint(label, style, self.terminals.err && self.colours);
        let _ = writeln!(self.err, "{label}: {}", harmless(line));
    }

    /// Asks for a line on stderr, without ending it.
    pub(crate) fn prompt(&mut self, text: &str) {
        let _ = write!(self.err, "{text}");
        let _ = self.err.flush();
    }

    /// Whether stdout shows colours.
    pub(crate) fn colours(&self) -> bool {
        self.terminals.out && self.colours
    }

    /// Columns of the terminal that stdout is; none where it is no terminal.
    pub fn width(&self) -> Option<usize> {
        self.terminals.out.then(|| self.terminals.columns.unwrap_or(COLUMNS))
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.now.unwrap_or_else(Timestamp::now)
    }

    /// Stdin; a second call gets none.
    pub(crate) fn take_input(&mut self) -> Option<Box<dyn BufRead + Send>> {
        self.input.take()
    }

    /// Resolves at Ctrl-C. Before the first call Ctrl-C ends the process as usual.
    pub(crate) fn interrupted(&self) -> impl Future<Output = ()> + Send + use<> {
        let scripted = self.interrupt.clone();
        async move {
            match scripted {
                Some(notify) => notify.notified().await,
                // Where no handler can be installed Ctrl-C keeps ending the process.
                None => {
                    if tokio::signal::ctrl_c().await.is_err() {
                        std::future::pending::<()>().await;
                    }
                }
            }
        }
    }
}

/// What the environment says of a terminal's width, else what the terminal itself says.
fn columns() -> Option<usize> {
    let named = std::env::var("COLUMNS").ok().and_then(|it| it.parse().ok()).filter(|it| *it > 0);
    named.or_else(|| terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| width.0.into()))
}

/// `text` in `style` where colours are wanted.
pub(crate) fn paint(text: &str, style: Style, colours: bool) -> String {
    if colours { format!("{style}{text}{style:#}") } else { text.to_owned() }
}

/// A line on stderr that is alive; for terminals.
pub(crate) fn spinner() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

/// Text with its control characters, tabs and line ends apart, made visible.
pub(crate) fn harmless(text: &str) -> String {
    text.chars()
        .map(|it| if it.is_control() && it != '\n' && it != '\t' { char::REPLACEMENT_CHARACTER } else { it })
        .collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Mutex;

    use super::*;

    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A console whose stderr is `err`, and which no person sits at.
    pub(crate) fn console_of(err: Arc<Mutex<Vec<u8>>>) -> Console {
        let (input, out) = (Box::new(io::empty()), Box::new(io::sink()));
        let interrupt = Arc::new(Notify::new());
        Console::scripted(input, out, Box::new(Shared(err)), Terminals::default(), interrupt)
    }

    #[test]
    fn console_shows_escapes_in_foreign_text() {
        assert_eq!(harmless("a\u{1b}[2Jb\tc\nd\r"), "a\u{fffd}[2Jb\tc\nd\u{fffd}");
    }

    #[test]
    fn paint_leaves_text_alone_without_colours() {
        assert_eq!(paint("STARTED", AnsiColor::Green.on_default(), false), "STARTED");
        assert_eq!(paint("STARTED", AnsiColor::Green.on_default(), true), "\u{1b}[32mSTARTED\u{1b}[0m");
    }
}
