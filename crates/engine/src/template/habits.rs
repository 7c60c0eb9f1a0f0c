//! What a template expects of a conversation, found by trying: the same thing is shown in several forms, and the one that
//! reaches the prompt is the one it is given from then on.

use serde_json::{Value, json};

use super::{ChatTemplate, Conversation, TemplateError};

/// What a template expects of a conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Habits {
    /// The roles whose contents it walks through part by part, and drops when they are a text.
    pub parts: Vec<&'static str>,
    /// Whether a system message reaches the prompt.
    pub system: bool,
    /// Whether it shows the functions that may be called.
    pub tools: bool,
    /// Whether it shows calls that were made.
    pub calls: bool,
    /// Whether it shows their results, in a role of their own.
    pub results: bool,
    /// Whether it shows calls only beside a content that is none, instead of an empty text.
    pub null_content: bool,
    /// Whether it prints a call's arguments, and so needs them as JSON text.
    pub text_arguments: bool,
    /// Whether call ids must be nine letters or digits.
    pub short_ids: bool,
    /// Whether user and assistant must take turns.
    pub alternates: bool,
}

const TEXT: &str = "dediprobetext";
const ASKED: &str = "dediprobeasked";
const RESULT: &str = "dediprobe42result";
const TOOL: &str = "dediprobetool";
const CALLED: &str = "dediprobecalled";
const KEY: &str = "dediprobekey";

impl Habits {
    /// Those of a template.
    ///
    /// # Errors
    /// When a greeting takes it more than its limits.
    pub(super) fn of(template: &ChatTemplate) -> Result<Self, TemplateError> {
        if let Err(TemplateError::Limit(which)) = try_out(template, &[user(ASKED)], None) {
            let message = format!("it takes more than its limit of {which} for one short message");
            return Err(TemplateError::Unusable(message));
        }
        let shows = |messages: &[Value], tools: Option<&Value>, what: &str| {
            try_out(template, messages, tools).is_ok_and(|it| it.contains(what))
        };
        let roles = ["system", "user", "assistant", "tool"];
        let parts: Vec<_> = roles.into_iter().filter(|role| walks_parts(role, &shows)).collect();
        let parted = |role: &str, text: &str| content_for(&parts, role, text);
        let asked = json!({"role": "user", "content": parted("user", ASKED)});
        let system_message = json!({"role": "system", "content": parted("system", TEXT)});
        let answered = json!({"role": "assistant", "content": parted("assistant", TEXT)});
        let system = shows(&[system_message.clone(), asked.clone()], None, TEXT);

        let tools = json!([{"type": "function", "function": {"name": TOOL, "description": "d",
            "parameters": {"type": "object", "properties": {"p": {"type": "string", "description": "d"}}, "required": []}}}]);
        let with_tools = [vec![asked.clone()], vec![system_message, asked.clone()]]
            .map(|it| try_out(template, &it, Some(&tools)));
        let tried = with_tools.iter().any(Result::is_ok);
        let shows_tools = with_tools.iter().flatten().any(|it| it.contains(TOOL));
        let knows_tools = if tried { shows_tools } else { template.source().contains("tools") };

        let called = |content: &Value, id: &str, arguments: Value| {
            let call =
                json!({"id": id, "type": "function", "function": {"name": CALLED, "arguments": arguments}});
            let messages = [
                asked.clone(),
                json!({"role": "assistant", "content": content, "tool_calls": [call]}),
                json!({"role": "tool", "tool_call_id": id, "name": CALLED, "content": parted("tool", RESULT)}),
            ];
            [Some(&tools), None].map(|it| try_out(template, &messages, it)).into_iter().find_map(Result::ok)
        };
        let object = || json!({KEY: "v"});
        let text = || json!(object().to_string());
        let long = "call_0123456789abcdef01234567";
        let short = "abcdefgh1";
        let with_content = |content: &Value| {
            let short_ids =
                called(content, long, object()).or_else(|| called(content, long, text())).is_none()
                    && called(content, short, object()).or_else(|| called(content, short, text())).is_some();
            let id = if short_ids { short } else { long };
            (short_ids, called(content, id, object()), called(content, id, text()))
        };
        let shows_in = |outcome: &(bool, Option<String>, Option<String>), what: &str| {
            [&outcome.1, &outcome.2].into_iter().flatten().any(|it| it.contains(what))
        };
        let (empty, null) = (with_content(&parted("assistant", "")), with_content(&Value::Null));
        let null_content = !shows_in(&empty, CALLED) && shows_in(&null, CALLED);
        let outcome = if null_content { null } else { empty };
        let is_printed = |it: &String| !it.contains(KEY) || it.contains(&format!("{{'{KEY}': "));
        let text_arguments = outcome.1.as_ref().is_none_or(is_printed)
            && outcome.2.as_ref().is_some_and(|it| it.contains(&format!("\"{KEY}\"")));
        let untried = outcome.1.is_none() && outcome.2.is_none();
        let calls = if untried {
            knows_tools && template.source().contains("tool_calls")
        } else {
            shows_in(&outcome, CALLED)
        };
        // A template that prints whatever role there is shows results too, in a role that its model may never have met.
        let speaks_of_results = ["'tool'", "\"tool\""].iter().any(|it| template.source().contains(it));
        let results =
            if untried { calls } else { shows_in(&outcome, RESULT) && (knows_tools || speaks_of_results) };
        let short_ids = outcome.0;

        let alternates = try_out(template, &[asked.clone(), asked.clone()], None).is_err()
            && try_out(template, &[asked.clone(), answered, asked], None).is_ok();
        Ok(Self {
            parts,
            system,
            tools: knows_tools,
            calls,
            results,
            null_content,
            text_arguments,
            short_ids,
            alternates,
        })
    }
}

fn user(text: &str) -> Value {
    json!({"role": "user", "content": text})
}

fn content_for(parts: &[&str], role: &str, text: &str) -> Value {
    match (parts.contains(&role), text) {
        (false, text) => json!(text),
        (true, "") => json!([]),
        (true, text) => json!([{"type": "text", "text": text}]),
    }
}

fn try_out(
    template: &ChatTemplate,
    messages: &[Value],
    tools: Option<&Value>,
) -> Result<String, TemplateError> {
    template.render_here(&Conversation {
        messages,
        tools,
        add_generation_prompt: true,
        ..Conversation::default()
    })
}

/// Whether a text is in the prompt for some messages and tools.
type Shows<'a> = dyn Fn(&[Value], Option<&Value>, &str) -> bool + 'a;

/// Whether a role's text reaches the prompt as a part only.
fn walks_parts(role: &str, shows: &Shows<'_>) -> bool {
    let conversation = |content: Value, asked: Value| {
        let message = json!({"role": role, "content": content, "tool_call_id": "abcdefgh1", "name": CALLED});
        let asked = json!({"role": "user", "content": asked});
        match role {
            "user" => vec![json!({"role": "user", "content": content})],
            "system" => vec![message, asked],
            "assistant" => vec![asked.clone(), json!({"role": role, "content": content}), asked],
            _ => {
                let call = json!({"id": "abcdefgh1", "type": "function",
                    "function": {"name": CALLED, "arguments": {KEY: "v"}}});
                vec![asked, json!({"role": "assistant", "content": "", "tool_calls": [call]}), message]
            }
        }
    };
    let part = |text: &str| json!([{"type": "text", "text": text}]);
    let shown = |content: Value| {
        let asked = [json!(ASKED), part(ASKED)];
        asked.into_iter().any(|it| shows(&conversation(content.clone(), it), None, TEXT))
    };
    !shown(json!(TEXT)) && shown(part(TEXT))
}
