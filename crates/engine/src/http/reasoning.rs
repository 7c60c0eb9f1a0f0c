//! How much a model shall think, and where its thoughts begin.

use serde_json::{Map, Value};

use crate::constrain::Form;
use crate::reading::{self, Habits};
use crate::template::ChatTemplate;

use super::error::ApiError;

/// `reasoning_effort`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effort {
    None,
    Minimal,
    Low,
    Medium,
    High,
}

impl Effort {
    pub(super) fn read(word: &str) -> Result<Self, ApiError> {
        Ok(match word {
            "none" => Self::None,
            "minimal" => Self::Minimal,
            "low" => Self::Low,
            "medium" => Self::Medium,
            "high" => Self::High,
            other => {
                let message = format!(
                    "`reasoning_effort` is \"{other}\" and can be none, minimal, low, medium or high."
                );
                return Err(ApiError::invalid("reasoning_effort", message));
            }
        })
    }

    fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Minimal => "minimal",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }

    /// Sets the variables that the template reads: an effort, or a switch. What the request sets itself
    /// stays. Where there is neither, the variable is put all the same, so that it is refused as one that changes
    /// nothing; but no template needs a variable for little or no reasoning.
    pub(super) fn put(self, template: &ChatTemplate, all: &mut Map<String, Value>) {
        let is_little = matches!(self, Self::None | Self::Minimal);
        let switches = ["enable_thinking", "thinking"].into_iter().filter(|it| template.reads(it));
        let mut is_set = false;
        for switch in switches {
            is_set = true;
            all.entry(switch).or_insert(Value::Bool(!is_little));
        }
        if template.reads("reasoning_effort") {
            let is_known = |word: &str| template.has_word(word);
            let word = match self {
                Self::None | Self::Minimal if !is_known(self.word()) => "low",
                Self::None | Self::Minimal | Self::Low | Self::Medium | Self::High => self.word(),
            };
            all.entry("reasoning_effort").or_insert(word.into());
        } else if !is_set && !is_little {
            all.entry("reasoning_effort").or_insert(self.word().into());
        }
    }
}

/// What of a template's habits a reply in a form follows: it comes in channels only where a pattern has them.
pub(super) fn habits(mut habits: Habits, form: Option<&Form>) -> Habits {
    habits.channels &= match form {
        None => true,
        Some(Form::Regex(pattern)) => pattern.replace('\\', "").contains("<|message|>"),
        Some(Form::JsonObject | Form::JsonSchema(_) | Form::Lark(_) | Form::Either(_, _)) => false,
    };
    habits
}

/// The tag within which the reply begins, if the prompt ends in one; `without` makes the prompt without what invites
/// the reply. The tag is closed in the prompt where nothing shall be thought, or where the reply has a form that leaves no
/// place for thoughts.
pub(super) fn open_tag(
    prompt: &mut String,
    without: impl FnOnce() -> Option<String>,
    messages: &[Value],
    form: Option<&Form>,
    effort: Option<Effort>,
) -> Option<&'static str> {
    // Mostly there is none at all.
    reading::open_tag(prompt)?;
    let open = reading::open_tag(invitation(prompt, without, messages))?;
    let close = reading::close_tag(open)?;
    let has_place = match form {
        None => true,
        // Patterns write some of a tag's letters with a backslash before them.
        Some(Form::Regex(pattern)) => pattern.replace('\\', "").contains(close),
        Some(Form::JsonObject | Form::JsonSchema(_) | Form::Lark(_) | Form::Either(_, _)) => false,
    };
    if has_place && effort != Some(Effort::None) {
        return Some(open);
    }
    if !prompt.ends_with('\n') {
        prompt.push('\n');
    }
    for more in ["\n", close, "\n\n"] {
        prompt.push_str(more);
    }
    None
}

/// What stands behind all that others said, in which a tag opens nothing: what the template adds to invite the reply, or
/// the assistant's words that the reply goes on with.
fn invitation<'a>(
    prompt: &'a str,
    without: impl FnOnce() -> Option<String>,
    messages: &'a [Value],
) -> &'a str {
    let without = without().unwrap_or_default();
    let same =
        prompt.char_indices().zip(without.chars()).find(|((_, c), other)| c != other).map(|((at, _), _)| at);
    let added = prompt.get(same.unwrap_or(without.len())..).unwrap_or_default();
    let last = messages.last().filter(|it| added.trim().is_empty() && it["role"] == "assistant");
    last.and_then(|it| it["content"].as_str()).unwrap_or(added)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const QWEN: &str = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if \
                        add_generation_prompt %}<|im_start|>assistant\n{% if enable_thinking is defined and not \
                        enable_thinking %}<think>\n\n</think>\n\n{% endif %}{% endif %}";

    fn variables(template: &str, effort: &str) -> Value {
        let template = ChatTemplate::new(template, String::new(), String::new()).unwrap();
        let mut all = Map::new();
        Effort::read(effort).unwrap().put(&template, &mut all);
        Value::Object(all)
    }

    #[test]
    fn effort_is_set_in_the_variables_of_the_template() {
        assert_eq!(variables(QWEN, "none"), json!({"enable_thinking": false}));
        assert_eq!(variables(QWEN, "minimal"), json!({"enable_thinking": false}));
        assert_eq!(variables(QWEN, "high"), json!({"enable_thinking": true}));
        let deepseek = "{% if not thinking is defined %}{% set thinking = false %}{% endif %}{{ thinking }}";
        assert_eq!(variables(deepseek, "none"), json!({"thinking": false}));
        assert_eq!(variables("my thinking process: <thinking>", "none"), json!({}));
        let words =
            "{% if reasoning_effort is not defined %}{% set reasoning_effort = 'medium' %}{% endif %}";
        assert_eq!(variables(words, "none"), json!({"reasoning_effort": "low"}));
        assert_eq!(variables(words, "high"), json!({"reasoning_effort": "high"}));
        let none = "{% if reasoning_effort == 'none' %}{% endif %}";
        assert_eq!(variables(none, "none"), json!({"reasoning_effort": "none"}));
        assert_eq!(variables("", "none"), json!({}));
        assert_eq!(variables("", "low"), json!({"reasoning_effort": "low"}));
        assert!(Effort::read("most").is_err());
    }

    fn opened(
        added: &str,
        content: &str,
        form: Option<Form>,
        effort: Option<Effort>,
    ) -> (Option<&'static str>, String) {
        let without = format!("user: {content}\nassistant: ");
        let mut prompt = format!("{without}{added}");
        let before = prompt.len();
        let messages = [json!({"role": "user", "content": content})];
        let tag = open_tag(&mut prompt, || Some(without), &messages, form.as_ref(), effort);
        (tag, prompt[before..].to_owned())
    }

    #[test]
    fn prompt_that_ends_in_a_tag_begins_thoughts() {
        let open = (Some("<think>"), String::new());
        assert_eq!(opened("<think>\n", "Hi", None, None), open);
        assert_eq!(opened("<think>\n", "What does <think> do?", None, None), open);
        assert_eq!(opened("<think>\n", "think", None, None), open);
        for content in ["What does <think> do?", "<think>", "Hi"] {
            assert_eq!(opened("", content, None, None), (None, String::new()));
            assert_eq!(opened("<think>\n\n</think>\n\n", content, None, None), (None, String::new()));
        }
        let mut prompt = "user: Hi\nassistant: <think>I was".to_owned();
        let without = prompt.clone();
        let messages = [
            json!({"role": "user", "content": "Hi"}),
            json!({"role": "assistant", "content": "<think>I was"}),
        ];
        assert_eq!(open_tag(&mut prompt, || Some(without), &messages, None, None), Some("<think>"));
    }

    #[test]
    fn channels_are_left_out_where_a_form_is_wanted() {
        let channels = Habits::of("<|channel|><|message|>");
        let follows = |form: Option<Form>| habits(channels, form.as_ref()).channels;
        assert!(follows(None) && follows(Some(Form::Regex("<\\|channel\\|>final<\\|message\\|>Hi".into()))));
        assert!(!follows(Some(Form::JsonObject)) && !follows(Some(Form::Regex("Hi".into()))));
    }

    #[test]
    fn prompt_has_its_tag_closed_where_nothing_is_thought() {
        let closed = (None, "\n</think>\n\n".to_owned());
        assert_eq!(opened("<think>\n", "Hi", None, Some(Effort::None)), closed);
        assert_eq!(opened("<think>\n", "Hi", Some(Form::JsonObject), None), closed);
        assert_eq!(opened("<think>\n", "Hi", Some(Form::Regex("Paris".into())), None), closed);
        let has_tag = Form::Regex("hm<\\/think>Paris".into());
        assert_eq!(opened("<think>\n", "Hi", Some(has_tag), None), (Some("<think>"), String::new()));
    }
}
