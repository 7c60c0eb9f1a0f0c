//! What must hold of any text that a model file calls its chat template.

use serde_json::json;

use crate::template::{ChatTemplate, Conversation, TemplateError};

/// A template is refused, or renders within its limits or says why not; it does not panic.
pub fn template(input: &[u8]) {
    let source = String::from_utf8_lossy(input);
    let made = ChatTemplate::new(&source, "<s>".to_owned(), "</s>".to_owned());
    let messages = [
        json!({"role": "system", "content": "Be brief."}),
        json!({"role": "user", "content": "Hé\n{{ 7 }} {% if %}"}),
        json!({"role": "assistant", "content": "", "tool_calls": [{"type": "function", "id": "a",
            "function": {"name": "f", "arguments": {"x": [1, 2.5, null]}}}]}),
        json!({"role": "tool", "content": "[]", "tool_call_id": "a"}),
    ];
    let tools = json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]);
    let conversation = Conversation {
        messages: &messages,
        tools: Some(&tools),
        add_generation_prompt: true,
        more: serde_json::Map::new(),
    };
    let rendered = made.and_then(|it| it.render(&conversation));
    let panicked = matches!(&rendered, Err(TemplateError::Failed(why)) if why == "it could not be rendered");
    assert!(!panicked, "a panic was taken for a failure");
}

#[cfg(test)]
mod tests {
    #[test]
    fn fuzz_corpus_of_templates_holds() {
        dedi_testing::replay("template", super::template);
    }
}
