//! The functions that a chat offers, in the one form that [`crate::calls`] finds in replies. Templates that know tools
//! ask for it themselves; for the others a system message does. With `tool_choice` required or named a grammar
//! enforces it.

use std::sync::Arc;

use dedi_api::engine::{Tool, ToolChoice};
use serde_json::{Value, json};

use crate::calls::{CLOSE, Callable, OPEN};
use crate::constrain::{Form, compact};
use crate::http::ApiError;
use crate::schema;

const TOOLS_MAX: usize = 128;

/// The functions of a request, checked.
#[derive(Clone, Debug)]
pub struct Tools {
    tools: Vec<Tool>,
    must_call: bool,
}

impl Tools {
    /// The functions the model may call; nothing when there are none or none may be called.
    ///
    /// # Errors
    /// When a name is unusable or `tool_choice` names no function.
    pub fn check(tools: Option<Vec<Tool>>, choice: Option<ToolChoice>) -> Result<Option<Self>, ApiError> {
        let mut tools = tools.unwrap_or_default();
        if tools.len() > TOOLS_MAX {
            let message = format!("`tools` has {} functions, and {TOOLS_MAX} are the most.", tools.len());
            return Err(ApiError::invalid("tools", message));
        }
        for (index, tool) in tools.iter().enumerate() {
            check_tool(index, tool)?;
        }
        let named = match choice {
            None => return Ok(Self::unless_empty(tools, false)),
            Some(ToolChoice::Mode(word)) => match word.as_str() {
                "none" => return Ok(None),
                "auto" => return Ok(Self::unless_empty(tools, false)),
                "required" if tools.is_empty() => {
                    let message = "`tool_choice` is required and `tools` has no function.";
                    return Err(ApiError::invalid("tool_choice", message));
                }
                "required" => return Ok(Self::unless_empty(tools, true)),
                _ => word,
            },
            Some(ToolChoice::Named { function }) => function.name,
        };
        tools.retain(|it| it.function.name == named);
        if tools.is_empty() {
            let message = format!("`tool_choice` names {named}, which is not among `tools`.");
            return Err(ApiError::invalid("tool_choice", message));
        }
        Ok(Self::unless_empty(tools, true))
    }

    fn unless_empty(tools: Vec<Tool>, must_call: bool) -> Option<Self> {
        (!tools.is_empty()).then_some(Self { tools, must_call })
    }

    /// The functions as templates take them.
    #[must_use]
    pub fn for_template(&self) -> Value {
        json!(self.tools)
    }

    /// Instructions for a model whose template does not support tools.
    #[must_use]
    pub fn as_instructions(&self) -> String {
        let mut text = String::from("You can call these functions, each given as JSON:\n");
        for tool in &self.tools {
            text.push_str(&json!(tool.function).to_string());
            text.push('\n');
        }
        text.push_str("To call a function, write nothing but\n");
        text.push_str(OPEN);
        text.push_str("\n{\"name\": \"the function's name\", \"arguments\": {the arguments as JSON}}\n");
        text.push_str(CLOSE);
        text
    }

    /// The form a reply must have when a function must be called.
    #[must_use]
    pub fn form(&self) -> Option<Form> {
        self.must_call.then(|| self.call_form())
    }

    /// The form of one call of any of them.
    #[must_use]
    pub fn call_form(&self) -> Form {
        let names: Vec<String> = (0..self.tools.len()).map(|it| format!("call{it}")).collect();
        let mut lark = format!("start: \"{OPEN}\\n\" ( {} ) \"\\n{CLOSE}\"\n", names.join(" | "));
        for (name, tool) in names.iter().zip(&self.tools) {
            lark.push_str(&format!("{name}: %json {}\n", compact(call_schema(tool))));
        }
        Form::Lark(lark)
    }

    /// The functions that a reply may call: `only_one` of them, emitted `in_fragments` or as a whole.
    #[must_use]
    pub fn callable(&self, only_one: bool, in_fragments: bool) -> Arc<Callable> {
        let functions =
            self.tools.iter().map(|it| (it.function.name.clone(), it.function.parameters.clone()));
        let mut callable = Callable::new(functions);
        callable.must_call = self.must_call;
        callable.only_one = only_one;
        callable.in_fragments = in_fragments;
        Arc::new(callable)
    }
}

fn check_tool(index: usize, tool: &Tool) -> Result<(), ApiError> {
    if tool.kind != "function" {
        let message = format!("`tools[{index}].type` is \"{}\" and can be function.", tool.kind);
        return Err(ApiError::invalid(format!("tools[{index}].type"), message));
    }
    let name = &tool.function.name;
    let usable = |it: char| it.is_ascii_alphanumeric() || "_-.".contains(it);
    if name.is_empty() || name.len() > 64 || !name.chars().all(usable) {
        let message = format!(
            "`tools[{index}].function.name` must be 1 to 64 letters, digits, dots, dashes or underscores."
        );
        return Err(ApiError::invalid(format!("tools[{index}].function.name"), message));
    }
    match &tool.function.parameters {
        None | Some(Value::Null | Value::Object(_)) => Ok(()),
        Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
            let message = format!("`tools[{index}].function.parameters` must be a JSON schema, an object.");
            Err(ApiError::invalid(format!("tools[{index}].function.parameters"), message))
        }
    }
}

/// The schema of one call, in which the arguments' references still lead to what they name.
fn call_schema(tool: &Tool) -> Value {
    let parameters = match &tool.function.parameters {
        Some(Value::Object(fields)) if !fields.is_empty() => {
            let given = Value::Object(fields.clone());
            schema::moved(schema::tidy(given.clone()).unwrap_or(given), "/properties/arguments")
        }
        _ => json!({"type": "object"}),
    };
    json!({
        "type": "object",
        "properties": { "name": { "const": tool.function.name }, "arguments": parameters },
        "required": ["name", "arguments"],
        "additionalProperties": false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tool_choice_must_be_among_the_tools() {
        let tool = json!({"type": "function", "function": {"name": "add"}});
        let tools: Vec<Tool> = vec![serde_json::from_value(tool).unwrap()];
        let word = |it: &str| Some(ToolChoice::Mode(it.to_owned()));
        assert!(Tools::check(Some(tools.clone()), word("none")).unwrap().is_none());
        assert!(Tools::check(Some(tools.clone()), word("auto")).unwrap().unwrap().form().is_none());
        assert!(Tools::check(Some(tools.clone()), word("add")).unwrap().unwrap().form().is_some());
        let error = Tools::check(Some(tools), word("sub")).unwrap_err().body().error;
        assert_eq!(error.message, "`tool_choice` names sub, which is not among `tools`.");
    }
}
