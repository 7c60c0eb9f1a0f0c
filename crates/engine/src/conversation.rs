//! Turns a chat request's messages into the form that the model's chat template expects.

use dedi_api::engine::{Content, Message};
use serde_json::{Map, Value, json};

use crate::http::ApiError;
use crate::template::Habits;
use crate::tools::Tools;

const MESSAGES_MAX: usize = 4096;
// Templates that ask for short ids ask for this many letters or digits.
const SHORT_ID: usize = 9;

/// The messages as the template takes them. Where it does not know tools, they are explained in the system message, or
/// in the first of the user's when it knows no system either; calls and results that it would drop are written out.
///
/// # Errors
/// When a message has an unknown role, a part that is no text, or a call whose arguments are no object.
pub fn messages(
    messages: Option<Vec<Message>>,
    tools: Option<&Tools>,
    habits: &Habits,
) -> Result<Vec<Value>, ApiError> {
    let messages = messages.ok_or_else(|| ApiError::invalid("messages", "`messages` is required."))?;
    if messages.is_empty() || messages.len() > MESSAGES_MAX {
        let message = format!("`messages` has {} entries and must have 1 to {MESSAGES_MAX}.", messages.len());
        return Err(ApiError::invalid("messages", message));
    }
    let mut drafts: Vec<Draft> = Vec::with_capacity(messages.len() + 1);
    for (index, message) in messages.into_iter().enumerate() {
        let mut draft = Draft::read(index, message, habits)?;
        draft.write_out(habits);
        match drafts.last_mut() {
            // Consecutive results are joined into one message, with the user's next one where roles must alternate.
            Some(last)
                if draft.role == "user" && last.is_result && (draft.is_result || habits.alternates) =>
            {
                last.texts.append(&mut draft.texts);
                last.is_result = draft.is_result;
            }
            Some(_) | None => drafts.push(draft),
        }
    }
    if let (Some(tools), false) = (tools, habits.tools) {
        explain(&mut drafts, &tools.as_instructions(), habits.system);
    }
    Ok(drafts.into_iter().map(|it| it.for_template(habits)).collect())
}

/// A message on its way to the template.
struct Draft {
    role: &'static str,
    texts: Vec<String>,
    /// Everything but role and content.
    more: Map<String, Value>,
    /// Whether it is a call's result, written out.
    is_result: bool,
}

impl Draft {
    fn read(index: usize, message: Message, habits: &Habits) -> Result<Self, ApiError> {
        let role = match message.role.as_str() {
            "system" | "developer" => "system",
            "user" => "user",
            "assistant" => "assistant",
            "tool" | "function" => "tool",
            other => {
                let param = format!("messages[{index}].role");
                let message = format!("`{param}` is \"{other}\" and can be system, user, assistant or tool.");
                return Err(ApiError::invalid(param, message));
            }
        };
        let mut more = Map::new();
        if let Some(name) = message.name {
            more.insert("name".to_owned(), json!(name));
        }
        if let Some(id) = message.tool_call_id {
            more.insert("tool_call_id".to_owned(), json!(if habits.short_ids { short_id(&id) } else { id }));
        }
        if let Some(thoughts) = message.reasoning_content {
            // The two names that templates read it under.
            more.insert("reasoning_content".to_owned(), json!(thoughts));
            more.insert("thinking".to_owned(), json!(thoughts));
        }
        if let Some(calls) = message.tool_calls.filter(|it| !it.is_empty()) {
            let calls = calls.into_iter().enumerate().map(|(at, call)| read_call(index, at, call, habits));
            more.insert("tool_calls".to_owned(), calls.collect::<Result<_, _>>()?);
        }
        Ok(Self { role, texts: texts(index, message.content)?, more, is_result: false })
    }

    /// Calls and results as text, for templates that would drop them.
    fn write_out(&mut self, habits: &Habits) {
        if self.role == "tool" && !habits.results {
            let result = self.texts.join("\n");
            *self = Self {
                role: "user",
                texts: vec![format!("<tool_response>\n{result}\n</tool_response>")],
                more: Map::new(),
                is_result: true,
            };
        }
        if habits.calls {
            return;
        }
        let Some(Value::Array(calls)) = self.more.remove("tool_calls") else { return };
        self.texts.retain(|it| !it.is_empty());
        for call in &calls {
            let name = &call["function"]["name"];
            let arguments = &call["function"]["arguments"];
            let arguments = arguments.as_str().map_or_else(|| arguments.to_string(), str::to_owned);
            self.texts
                .push(format!("<tool_call>\n{{\"name\": {name}, \"arguments\": {arguments}}}\n</tool_call>"));
        }
    }

    fn for_template(self, habits: &Habits) -> Value {
        let is_empty = self.texts.iter().all(String::is_empty);
        let content = if habits.null_content && is_empty && self.more.contains_key("tool_calls") {
            Value::Null
        } else if habits.parts.contains(&self.role) {
            let texts = self.texts.into_iter().filter(|it| !it.is_empty());
            texts.map(|it| json!({"type": "text", "text": it})).collect()
        } else {
            json!(self.texts.join("\n"))
        };
        let mut out = Map::new();
        out.insert("role".to_owned(), json!(self.role));
        out.insert("content".to_owned(), content);
        out.extend(self.more);
        Value::Object(out)
    }
}

fn texts(index: usize, content: Option<Content>) -> Result<Vec<String>, ApiError> {
    let parts = match content {
        None => return Ok(vec![String::new()]),
        Some(Content::Text(text)) => return Ok(vec![text]),
        Some(Content::Parts(parts)) => parts,
    };
    let mut texts = Vec::with_capacity(parts.len());
    for (part_index, part) in parts.iter().enumerate() {
        let param = format!("messages[{index}].content[{part_index}]");
        let kind = part.get("type").and_then(Value::as_str).unwrap_or("nothing");
        if kind != "text" {
            let message =
                format!("`{param}` has the type {kind}, and this engine reads only parts of type text.");
            return Err(ApiError::invalid(param, message));
        }
        let Some(text) = part.get("text").and_then(Value::as_str) else {
            let message = format!("`{param}` has no `text`.");
            return Err(ApiError::invalid(param, message));
        };
        texts.push(text.to_owned());
    }
    Ok(texts)
}

/// A call that the client sends back: its arguments as the template reads them, an object or its text.
fn read_call(index: usize, at: usize, mut call: Value, habits: &Habits) -> Result<Value, ApiError> {
    let param = format!("messages[{index}].tool_calls[{at}]");
    let wrong = |param: String, what: &str| {
        let message = format!("`{param}` {what}");
        Err(ApiError::invalid(param, message))
    };
    let Some(Value::Object(function)) = call.get_mut("function") else {
        return wrong(format!("{param}.function"), "is required: an object with `name` and `arguments`.");
    };
    if !function.get("name").is_some_and(Value::is_string) {
        return wrong(format!("{param}.function.name"), "is required: the called function's name.");
    }
    let sent = function.remove("arguments").unwrap_or_default();
    let object = match &sent {
        Value::Null => Some(json!({})),
        Value::String(text) if text.trim().is_empty() => Some(json!({})),
        Value::String(text) => serde_json::from_str(text).ok(),
        Value::Object(_) => Some(sent.clone()),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) => None,
    };
    let Some(object) = object.filter(Value::is_object) else {
        let what = "must be a JSON object, as such or as its text; for a call without arguments send \"{}\".";
        return wrong(format!("{param}.function.arguments"), what);
    };
    let as_sent = sent.as_str().filter(|it| !it.trim().is_empty());
    let arguments = if habits.text_arguments {
        Value::String(as_sent.map_or_else(|| object.to_string(), str::to_owned))
    } else {
        object
    };
    function.insert("arguments".to_owned(), arguments);
    if habits.short_ids {
        let id =
            call.get("id").and_then(Value::as_str).map_or_else(|| format!("{index}.{at}"), str::to_owned);
        call["id"] = json!(short_id(&id));
    }
    Ok(call)
}

/// An id of nine letters or digits: the same one as it is, any other by its hash, so that a call's and its result's
/// stay the same.
fn short_id(id: &str) -> String {
    const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    if id.len() == SHORT_ID && id.bytes().all(|it| it.is_ascii_alphanumeric()) {
        return id.to_owned();
    }
    // FNV-1a: fixed for ever, so that a conversation that goes on keeps its cached prompt.
    let mut hash = id
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, it| (hash ^ u64::from(it)).wrapping_mul(0x0100_0000_01b3));
    let letter = |_| {
        let at = usize::try_from(hash % 62).unwrap_or(0);
        hash /= 62;
        LETTERS.get(at).map_or('0', |it| char::from(*it))
    };
    (0..SHORT_ID).map(letter).collect()
}

fn explain(drafts: &mut Vec<Draft>, instructions: &str, knows_system: bool) {
    let draft = |role, text: String| Draft { role, texts: vec![text], more: Map::new(), is_result: false };
    if !knows_system {
        match drafts.iter_mut().find(|it| it.role == "user") {
            Some(first) => first.texts.insert(0, format!("{instructions}\n")),
            None => drafts.insert(0, draft("user", instructions.to_owned())),
        }
        return;
    }
    match drafts.first_mut() {
        Some(first) if first.role == "system" => first.texts.push(format!("\n{instructions}")),
        Some(_) | None => drafts.insert(0, draft("system", instructions.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use dedi_api::engine::Tool;

    use super::*;

    fn all() -> Habits {
        Habits { system: true, tools: true, calls: true, results: true, ..Habits::default() }
    }

    fn read(given: Value, habits: &Habits) -> Result<Vec<Value>, ApiError> {
        messages(Some(serde_json::from_value(given).unwrap()), None, habits)
    }

    fn called(arguments: &Value, id: &str) -> Value {
        json!([
            {"role": "user", "content": "Q"},
            {"role": "assistant", "content": null,
             "tool_calls": [{"id": id, "type": "function", "function": {"name": "f", "arguments": arguments}}]},
            {"role": "tool", "tool_call_id": id, "content": "2"},
        ])
    }

    #[test]
    fn text_parts_are_joined_unless_the_template_walks_them() {
        let parts = json!([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]);
        assert_eq!(read(parts.clone(), &all()).unwrap(), [json!({"role": "user", "content": "a\nb"})]);
        let walks = Habits { parts: vec!["user"], ..all() };
        assert_eq!(read(parts.clone(), &walks).unwrap(), parts.as_array().unwrap().clone());
        let text = read(json!([{"role": "user", "content": "a"}]), &walks).unwrap();
        assert_eq!(text, [json!({"role": "user", "content": [{"type": "text", "text": "a"}]})]);
    }

    #[test]
    fn other_parts_and_roles_are_named() {
        let error = |given| read(given, &all()).unwrap_err().body().error;
        let picture = error(json!([{"role": "user", "content": [{"type": "image_url"}]}]));
        assert_eq!(picture.param.as_deref(), Some("messages[0].content[0]"));
        assert!(picture.message.contains("image_url"));
        assert_eq!(
            error(json!([{"role": "root", "content": ""}])).param.as_deref(),
            Some("messages[0].role")
        );
        assert_eq!(error(json!([])).param.as_deref(), Some("messages"));
    }

    #[test]
    fn calls_reach_templates_that_know_them_and_text_the_others() {
        let calls = called(&json!("{\"a\":1}"), "1");
        let known = read(calls.clone(), &all()).unwrap();
        assert_eq!(known[1]["tool_calls"][0]["function"]["arguments"], json!({"a": 1}));
        let text = read(calls, &Habits { calls: false, results: false, ..all() }).unwrap();
        assert_eq!(
            text[1]["content"],
            "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\":1}}\n</tool_call>"
        );
        assert_eq!(text[2], json!({"role": "user", "content": "<tool_response>\n2\n</tool_response>"}));
    }

    #[test]
    fn call_arguments_that_are_empty_are_an_empty_object() {
        for empty in [json!(""), json!(" "), json!(null), json!("{}"), json!({})] {
            let read = read(called(&empty, "1"), &all()).unwrap();
            assert_eq!(read[1]["tool_calls"][0]["function"]["arguments"], json!({}), "{empty}");
        }
    }

    #[test]
    fn call_arguments_that_are_no_object_are_named() {
        for bad in [json!("{"), json!("[1]"), json!("text"), json!(1), json!([]), json!("null"), json!(true)]
        {
            let error = read(called(&bad, "1"), &all()).unwrap_err().body().error;
            assert_eq!(error.param.as_deref(), Some("messages[1].tool_calls[0].function.arguments"), "{bad}");
        }
        let error = |call: Value| {
            let given = json!([{"role": "assistant", "content": "", "tool_calls": [call]}]);
            read(given, &all()).unwrap_err().body().error.param.unwrap()
        };
        assert_eq!(error(json!({"id": "1"})), "messages[0].tool_calls[0].function");
        assert_eq!(error(json!({"function": {}})), "messages[0].tool_calls[0].function.name");
    }

    #[test]
    fn call_arguments_are_text_for_templates_that_print_them() {
        let habits = Habits { text_arguments: true, ..all() };
        let arguments = |sent: Value| {
            read(called(&sent, "1"), &habits).unwrap()[1]["tool_calls"][0]["function"]["arguments"].clone()
        };
        assert_eq!(arguments(json!("{\"a\": 1}")), json!("{\"a\": 1}"));
        assert_eq!(arguments(json!({"a": 1})), json!("{\"a\":1}"));
        assert_eq!(arguments(json!("")), json!("{}"));
    }

    #[test]
    fn call_ids_are_shortened_alike_for_call_and_result() {
        let habits = Habits { short_ids: true, ..all() };
        let long = read(called(&json!("{}"), "call_b5883b41352a4591ae5ba081fdee2c73"), &habits).unwrap();
        let id = long[1]["tool_calls"][0]["id"].as_str().unwrap();
        assert!(id.len() == 9 && id.bytes().all(|it| it.is_ascii_alphanumeric()), "{id}");
        assert_eq!(long[2]["tool_call_id"], id);
        let short = read(called(&json!("{}"), "abcdefgh1"), &habits).unwrap();
        assert_eq!(short[1]["tool_calls"][0]["id"], "abcdefgh1");
        assert_ne!(short_id("call_1"), short_id("call_2"));
    }

    #[test]
    fn results_that_follow_each_other_stand_in_one_message() {
        let given = json!([
            {"role": "user", "content": "Q"},
            {"role": "assistant", "content": "A"},
            {"role": "tool", "tool_call_id": "1", "content": "12"},
            {"role": "tool", "tool_call_id": "2", "content": "13"},
            {"role": "user", "content": "And?"},
        ]);
        let results = "<tool_response>\n12\n</tool_response>\n<tool_response>\n13\n</tool_response>";
        let apart = read(given.clone(), &Habits { calls: false, results: false, ..all() }).unwrap();
        assert_eq!(
            apart[2..],
            [json!({"role": "user", "content": results}), json!({"role": "user", "content": "And?"})]
        );
        let turns = read(given, &Habits { calls: false, results: false, alternates: true, ..all() }).unwrap();
        assert_eq!(turns[2..], [json!({"role": "user", "content": format!("{results}\nAnd?")})]);
    }

    #[test]
    fn tools_are_explained_where_the_template_reads() {
        let tool: Tool =
            serde_json::from_value(json!({"type": "function", "function": {"name": "now"}})).unwrap();
        let tools = Tools::check(Some(vec![tool]), None).unwrap().unwrap();
        let explained = |given: Value, system: bool| {
            let habits = Habits { tools: false, system, ..all() };
            messages(Some(serde_json::from_value(given).unwrap()), Some(&tools), &habits).unwrap()
        };
        let instructions = tools.as_instructions();
        let user = json!({"role": "user", "content": "Time?"});
        let draft = explained(json!([user]), true);
        assert_eq!(draft, [json!({"role": "system", "content": instructions}), user.clone()]);
        let draft = explained(json!([{"role": "system", "content": "S"}, user]), true);
        assert_eq!(draft[0], json!({"role": "system", "content": format!("S\n\n{instructions}")}));
        let draft = explained(json!([user]), false);
        assert_eq!(draft, [json!({"role": "user", "content": format!("{instructions}\n\nTime?")})]);
    }
}
