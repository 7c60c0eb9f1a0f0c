//! Renders a conversation with the model's own chat template.
//!
//! The template comes out of the model file and is not trusted: it runs with bounded fuel, its output is bounded,
//! and it sees nothing but the conversation.

use std::io;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde, Value as JinjaValue};
use minijinja::{Environment, Error, ErrorKind};
use serde::Serialize;

// An instruction takes nanoseconds; a long conversation takes some ten thousand.
const FUEL: u64 = 20_000_000;
const OUTPUT_BYTES_MAX: usize = 16 << 20;
const SOURCE_BYTES_MAX: usize = 1 << 20;
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
    /// The template is no Jinja, or too large.
    #[error("the model's chat template cannot be used: {0}")]
    Unusable(String),
    /// The template refused the conversation in its own words.
    #[error("the model's chat template refused the messages: {0}")]
    Refused(String),
    /// It failed on this conversation.
    #[error("the model's chat template failed on these messages: {0}")]
    Failed(String),
    /// It ran too long or wrote too much.
    #[error("the model's chat template took more than its limit of {0}")]
    Limit(&'static str),
}

/// A model's chat template.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    /// Whether the template shows tools to the model by itself.
    pub knows_tools: bool,
    source: String,
}

/// What a template is given.
#[derive(Debug, Serialize)]
pub struct Conversation<'a> {
    /// The messages, contents as texts.
    pub messages: &'a [serde_json::Value],
    /// The functions the model may call, or none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tools: Option<&'a serde_json::Value>,
    /// Whether the assistant speaks next.
    pub add_generation_prompt: bool,
    /// Variables of the request.
    #[serde(flatten)]
    pub more: &'a serde_json::Map<String, serde_json::Value>,
}

impl ChatTemplate {
    /// Reads a template's source.
    ///
    /// # Errors
    /// When it is not usable Jinja.
    pub fn new(source: &str, bos: String, eos: String) -> Result<Self, TemplateError> {
        if source.len() > SOURCE_BYTES_MAX {
            return Err(TemplateError::Unusable(format!("it has {} bytes", source.len())));
        }
        let mut environment = Environment::new();
        // As the library these templates are written for is set up.
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|it| TemplateError::Unusable(it.to_string()))?);
        environment.set_fuel(Some(FUEL));
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_filter("tojson", to_json);
        environment.add_function("raise_exception", |message: String| -> Result<String, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, format!("{RAISED}{message}")))
        });
        environment.add_function("strftime_now", strftime_now);
        environment.add_global("bos_token", bos);
        environment.add_global("eos_token", eos);
        environment
            .add_template_owned(NAME, source.to_owned())
            .map_err(|it| TemplateError::Unusable(it.to_string()))?;
        Ok(Self { environment, knows_tools: source.contains("tools"), source: source.to_owned() })
    }

    /// The first of a request's variables that can change nothing, because the template never speaks of it.
    pub fn ignores<'a>(&self, more: &'a serde_json::Map<String, serde_json::Value>) -> Option<&'a str> {
        more.iter().find_map(|(name, value)| {
            // A model that does not reason need not be told not to.
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

    /// Whether it compares with a word, or writes it as one.
    #[must_use]
    pub fn has_word(&self, word: &str) -> bool {
        ["'", "\""].iter().any(|quote| self.source.contains(&format!("{quote}{word}{quote}")))
    }

    /// The prompt for a conversation.
    ///
    /// # Errors
    /// When the template refuses it, fails, or exceeds its limits.
    pub fn render(&self, conversation: &Conversation<'_>) -> Result<String, TemplateError> {
        let failed = |error: &Error| TemplateError::Failed(error.to_string());
        let template = self.environment.get_template(NAME).map_err(|it| failed(&it))?;
        let mut output = Bounded(Vec::new());
        let rendered = template.render_captured_to(Serde(conversation), &mut output);
        rendered.map(|_captured| ()).map_err(|error| match refusal(&error) {
            Some(words) => TemplateError::Refused(words),
            None if error.kind() == ErrorKind::OutOfFuel => TemplateError::Limit("computation"),
            None if error.kind() == ErrorKind::WriteFailure => TemplateError::Limit("16 MiB of text"),
            None => failed(&error),
        })?;
        String::from_utf8(output.0).map_err(|it| TemplateError::Failed(it.to_string()))
    }
}

// Marks an error the template raised itself, so that its words reach the client.
const RAISED: &str = "raised: ";

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

/// Python's `json.dumps`, as templates expect it: nothing escaped for HTML, an optional indent.
fn to_json(value: &JinjaValue, options: Kwargs) -> Result<JinjaValue, Error> {
    let indent: Option<usize> = options.get("indent")?;
    // Templates also pass ensure_ascii and sort_keys; what they ask for is already so, or makes no difference.
    let failed = |it: serde_json::Error| Error::new(ErrorKind::BadSerialization, it.to_string());
    let text = match indent {
        Some(indent) => {
            let spaces = " ".repeat(indent.min(16));
            let mut out = Vec::new();
            let form = serde_json::ser::PrettyFormatter::with_indent(spaces.as_bytes());
            value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, form)).map_err(failed)?;
            String::from_utf8_lossy(&out).into_owned()
        }
        None => {
            let mut out = Vec::new();
            value
                .serialize(&mut serde_json::Serializer::with_formatter(&mut out, PythonForm))
                .map_err(failed)?;
            String::from_utf8_lossy(&out).into_owned()
        }
    };
    Ok(JinjaValue::from_safe_string(text))
}

/// `{"a": 1, "b": 2}`: with a space after each colon and comma, as models saw it in training.
struct PythonForm;

impl serde_json::ser::Formatter for PythonForm {
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b": ")
    }
}

fn strftime_now(format: &str) -> Result<String, Error> {
    jiff::fmt::strtime::format(format, &jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC))
        .map_err(|it| Error::new(ErrorKind::InvalidOperation, it.to_string()))
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const CHATML: &str = "{%- for message in messages %}<|im_start|>{{ message.role }}\n{{ message['content'].strip() \
                          }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

    fn render(source: &str, messages: &[serde_json::Value]) -> Result<String, TemplateError> {
        let template = ChatTemplate::new(source, "<s>".into(), "</s>".into())?;
        let more = serde_json::Map::new();
        template.render(&Conversation { messages, tools: None, add_generation_prompt: true, more: &more })
    }

    #[test]
    fn a_conversation_is_rendered() {
        let text = render(CHATML, &[json!({"role": "user", "content": " Hi "})]).unwrap();
        assert_eq!(text, "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
    }

    #[test]
    fn json_reads_as_models_learned_it() {
        let text = render("{{ messages[0] | tojson }}", &[json!({"a": ["<b>", 1], "c": null})]).unwrap();
        assert_eq!(text, r#"{"a": ["<b>", 1], "c": null}"#);
    }

    #[test]
    fn a_refusal_keeps_its_words() {
        let said = render("{{ raise_exception('no system messages') }}", &[]).unwrap_err();
        assert!(matches!(said, TemplateError::Refused(words) if words == "no system messages"));
    }

    #[test]
    fn an_endless_template_ends() {
        let source = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}";
        assert!(matches!(render(source, &[]), Err(TemplateError::Limit("computation"))));
    }

    #[test]
    fn a_huge_output_is_cut_off() {
        let source = "{% for a in range(99999) %}{{ 'x' * 1000 }}{% endfor %}";
        assert!(matches!(render(source, &[]), Err(TemplateError::Limit("16 MiB of text"))));
    }

    #[test]
    fn tokens_and_dates_are_known() {
        assert_eq!(render("{{ bos_token }}{{ eos_token }}", &[]).unwrap(), "<s></s>");
        assert_eq!(render("{{ strftime_now('%Y') }}", &[]).unwrap().len(), 4);
    }
}
