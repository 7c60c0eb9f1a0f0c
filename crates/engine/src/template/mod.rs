//! Renders a conversation with the model's own chat template, to the prompt that transformers would make of it.
//!
//! The template comes out of the model file and is not trusted. It sees nothing but the conversation; its work, its memory
//! and how deep it nests are bounded, at load and for each request; and it runs on a thread of its own, whose stack is made
//! for it.

use std::io;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, Error, ErrorKind};
use serde::Serialize;

mod bounds;
#[cfg(test)]
mod bounds_tests;
mod fault;
mod filters;
mod format;
mod gate;
mod habits;
#[cfg(test)]
mod habits_tests;
mod json;
mod lexer;
mod methods;
mod numbers;
mod operators;
mod python;
mod range;
mod rewrite;
pub mod source;
#[cfg(test)]
mod tests;

use fault::Fault;
pub use habits::Habits;

// Fuel pays for an instruction, or for 64 bytes that are written or read; so it bounds time and memory. This much is some
// 50 ms and 32 MiB at most; published templates take some thousands for a short conversation.
const FUEL: u64 = 500_000;
// A longer conversation needs more: an instruction for each two bytes lets a template read all of it a dozen times.
const BYTES_A_FUEL: usize = 2;
const OUTPUT_BYTES_MAX: usize = 16 << 20;
const SOURCE_BYTES_MAX: usize = 1 << 20;
// Macros that call each other; each level takes stack. Published templates go through a schema with some twenty.
const RECURSION_MAX: usize = 200;
// Enough for the deepest nesting that is let through, in a build without optimizations, too. Only what is used is memory.
const STACK_BYTES: usize = 64 << 20;
const NAME: &str = "chat";

/// Variables that a template is given anyway, and functions it may call: no request may put others in their place.
pub const TAKEN: [&str; 7] = [
    "messages",
    "tools",
    "add_generation_prompt",
    "bos_token",
    "eos_token",
    "raise_exception",
    "strftime_now",
];

/// Why a conversation could not be rendered.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// The template is no Jinja, too large, or nested too deep.
    #[error("{0}")]
    Unusable(String),
    /// The template refused the conversation with its own message.
    #[error("the model's chat template refused the messages: {0}")]
    Refused(String),
    /// It failed on this conversation.
    #[error("the model's chat template failed on these messages: {0}")]
    Failed(String),
    /// It ran too long or wrote too much.
    #[error("the model's chat template took more than its limit of {0}")]
    Limit(&'static str),
    /// Nothing of the messages is in the prompt.
    #[error("the model's chat template leaves out all of these messages; send one with the role user")]
    Empty,
    /// Other conversations are being rendered, and took too long.
    #[error("other conversations are being rendered")]
    Busy,
}

impl From<Fault> for TemplateError {
    fn from(fault: Fault) -> Self {
        Self::Unusable(format!("line {}: {}", fault.line, fault.message))
    }
}

/// A model's chat template.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    /// What it expects of a conversation.
    pub habits: Habits,
    source: String,
    gate: gate::Gate,
    /// What a conversation may take before its length counts.
    fuel: u64,
}

/// What a template is given.
#[derive(Debug, Default, Serialize)]
pub struct Conversation<'a> {
    /// The messages.
    pub messages: &'a [serde_json::Value],
    /// The functions the model may call; none is what templates expect when there are none.
    pub tools: Option<&'a serde_json::Value>,
    /// Whether the assistant speaks next.
    pub add_generation_prompt: bool,
    /// Variables of the request.
    #[serde(flatten)]
    pub more: serde_json::Map<String, serde_json::Value>,
}

impl ChatTemplate {
    /// Reads a template's source, and tries out what it expects of a conversation.
    ///
    /// # Errors
    /// When it is not usable Jinja, or takes more than its limits for a greeting.
    pub fn new(source: &str, bos: String, eos: String) -> Result<Self, TemplateError> {
        Self::with_fuel(source, bos, eos, FUEL)
    }

    fn with_fuel(source: &str, bos: String, eos: String, fuel: u64) -> Result<Self, TemplateError> {
        if source.len() > SOURCE_BYTES_MAX {
            let length = source.len();
            return Err(TemplateError::Unusable(format!(
                "it has {length} bytes, and {SOURCE_BYTES_MAX} are the most"
            )));
        }
        on_deep_stack(|| {
            let environment = environment(source, bos, eos)?;
            let (source, gate) = (source.to_owned(), gate::Gate::default());
            let mut template = Self { environment, habits: Habits::default(), source, gate, fuel };
            template.habits = Habits::of(&template)?;
            Ok(template)
        })
    }

    /// The first of a request's variables that can change nothing, because the template never speaks of it.
    pub fn ignores<'a>(&self, more: &'a serde_json::Map<String, serde_json::Value>) -> Option<&'a str> {
        more.iter().find_map(|(name, value)| {
            // A model that does not reason needs no switch for it.
            let is_so_already = name == "enable_thinking" && value == false && !self.source.contains("think");
            (!is_so_already && !self.source.contains(name)).then_some(name.as_str())
        })
    }

    /// Whether the template asks for a variable that it does not set itself.
    #[must_use]
    pub fn reads(&self, name: &str) -> bool {
        let template = self.environment.get_template(NAME);
        template.is_ok_and(|it| it.undeclared_variables(false).contains(name))
    }

    /// Whether it compares with `word`, or writes it.
    #[must_use]
    pub fn has_word(&self, word: &str) -> bool {
        ["'", "\""].iter().any(|quote| self.source.contains(&format!("{quote}{word}{quote}")))
    }

    /// The template as it was written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The prompt for a conversation. Blocks for as long as the template's limits let it.
    ///
    /// # Errors
    /// When the template refuses it, fails, exceeds its limits, or makes nothing of it.
    pub fn render(&self, conversation: &Conversation<'_>) -> Result<String, TemplateError> {
        let _place = self.gate.enter().ok_or(TemplateError::Busy)?;
        on_deep_stack(|| {
            let prompt = self.render_here(conversation)?;
            if self.drops_all(conversation, &prompt) { Err(TemplateError::Empty) } else { Ok(prompt) }
        })
    }

    /// Whether the prompt is the one that no messages at all would make.
    fn drops_all(&self, conversation: &Conversation<'_>, prompt: &str) -> bool {
        let is_shown = |it: &str| !it.trim().is_empty() && prompt.contains(it.trim());
        let texts = conversation.messages.iter().filter_map(|it| it.get("content"));
        let parts = |it: &'_ serde_json::Value| it.as_array().cloned().unwrap_or_default();
        let shows_some = texts.clone().any(|content| {
            content.as_str().is_some_and(is_shown)
                || parts(content).iter().filter_map(|it| it.get("text")?.as_str()).any(is_shown)
        });
        if prompt.is_empty() || shows_some || conversation.messages.is_empty() {
            return prompt.is_empty();
        }
        let nothing = Conversation { messages: &[], more: conversation.more.clone(), ..*conversation };
        let has_text = texts.clone().any(|text| text.as_str().is_none_or(|it| !it.trim().is_empty()));
        has_text && self.render_here(&nothing).is_ok_and(|it| it == prompt)
    }

    fn render_here(&self, conversation: &Conversation<'_>) -> Result<String, TemplateError> {
        let mut given = serde_json::Map::from_iter([("documents".to_owned(), serde_json::Value::Null)]);
        given.extend(conversation.more.clone());
        let conversation = Conversation { more: given, ..*conversation };
        let fuel = self.fuel + length_of(&conversation) / BYTES_A_FUEL as u64;
        let mut environment = self.environment.clone();
        environment.set_fuel(Some(fuel));
        let template = environment.get_template(NAME).map_err(|it| failure(&it))?;
        let mut output = Bounded(Vec::new());
        let rendered = template.render_captured_to(Serde(&conversation), &mut output);
        rendered.map(|_captured| ()).map_err(|it| failure(&it))?;
        String::from_utf8(output.0).map_err(|it| TemplateError::Failed(it.to_string()))
    }
}

fn environment(source: &str, bos: String, eos: String) -> Result<Environment<'static>, TemplateError> {
    let mut environment = Environment::new();
    // What white space goes was decided when the template was rewritten.
    let syntax = SyntaxConfig::builder().keep_trailing_newline(true).build();
    environment.set_syntax(syntax.map_err(|it| TemplateError::Unusable(it.to_string()))?);
    environment.set_recursion_limit(RECURSION_MAX);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    filters::add_to(&mut environment);
    environment.add_function("raise_exception", |message: String| -> Result<String, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, format!("{RAISED}{message}")))
    });
    environment.add_global("bos_token", bos);
    environment.add_global("eos_token", eos);
    environment.add_template_owned(NAME, rewrite::rewrite(source)?).map_err(|error| {
        let message = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
        Fault { line: error.line().unwrap_or(0), message }
    })?;
    Ok(environment)
}

/// Runs what recurses as deep as a template says. The thread ends with it.
fn on_deep_stack<T: Send>(
    work: impl FnOnce() -> Result<T, TemplateError> + Send,
) -> Result<T, TemplateError> {
    let failed = |why: &str| TemplateError::Failed(why.to_owned());
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().name("template".to_owned()).stack_size(STACK_BYTES);
        let thread =
            builder.spawn_scoped(scope, work).map_err(|it| failed(&format!("no thread for it: {it}")))?;
        thread.join().map_err(|_panicked| failed("it could not be rendered"))?
    })
}

/// How many bytes a conversation has as JSON.
fn length_of(conversation: &Conversation<'_>) -> u64 {
    struct Counter(u64);
    impl io::Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len() as u64;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut counter = Counter(0);
    let _counting_never_fails = serde_json::to_writer(&mut counter, conversation);
    counter.0
}

// Marks an error the template raised itself, so that its message reaches the client.
const RAISED: &str = "raised: ";

fn failure(error: &Error) -> TemplateError {
    if let Some(words) = refusal(error) {
        return TemplateError::Refused(words);
    }
    if is_of(error, ErrorKind::OutOfFuel) {
        return TemplateError::Limit("computation and memory");
    }
    if is_of(error, ErrorKind::WriteFailure) {
        return TemplateError::Limit("16 MiB of text");
    }
    let what = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    TemplateError::Failed(match error.line() {
        Some(line) => format!("line {line}: {what}"),
        None => what,
    })
}

/// Whether an error, or what caused it, is of a kind.
fn is_of(error: &Error, kind: ErrorKind) -> bool {
    let mut error: Option<&dyn std::error::Error> = Some(error);
    while let Some(here) = error {
        if here.downcast_ref::<Error>().is_some_and(|it| it.kind() == kind) {
            return true;
        }
        error = here.source();
    }
    false
}

fn refusal(error: &Error) -> Option<String> {
    let mut error: Option<&dyn std::error::Error> = Some(error);
    while let Some(here) = error {
        if let Some(words) = here.downcast_ref::<Error>().and_then(|it| it.detail()?.strip_prefix(RAISED)) {
            return Some(words.to_owned());
        }
        error = here.source();
    }
    None
}

struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > OUTPUT_BYTES_MAX {
            return Err(io::Error::other("too much text"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
