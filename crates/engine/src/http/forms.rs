//! The form of a reply that a chat's `response_format`, `tools` and `tool_choice` require together.

use dedi_api::engine::{Tool, ToolChoice};
use serde_json::Value;

use crate::constrain::{Form, Part};
use crate::schema;
use crate::tools::Tools;

use super::error::ApiError;
use super::generate::FORMAT;

/// The form of the whole reply, and the fields that it is made of. Where a function may be called and the text is to be JSON
/// of a form, the reply is either. A pattern is about all that is written, calls included, and so stays alone.
pub(super) fn of_chat(
    tools: Option<&Tools>,
    format: Option<&Form>,
    mut parts: Vec<Part>,
) -> (Option<Form>, Vec<Part>) {
    let form = match (tools, format) {
        (None, format) => format.cloned(),
        (Some(tools), None) => tools.form(),
        (Some(tools), Some(format)) => Some(tools.form().unwrap_or_else(|| {
            if is_json(format) {
                Form::Either(Box::new(tools.call_form()), Box::new(format.clone()))
            } else {
                format.clone()
            }
        })),
    };
    parts.extend(format.map(|it| Part { param: FORMAT.to_owned(), form: it.clone() }));
    (form, parts)
}

fn is_json(format: &Form) -> bool {
    match format {
        Form::JsonObject | Form::JsonSchema(_) => true,
        Form::Regex(_) | Form::Lark(_) | Form::Either(_, _) => false,
    }
}

/// Checks the schemas of the functions whose arguments will be held to them: where one must be called, or the reply has a
/// JSON form beside which one may be. Where nothing is held to them, they are texts for the model.
pub(super) fn of_tools(
    tools: &[Tool],
    choice: Option<&ToolChoice>,
    format: Option<&Form>,
) -> Result<Vec<Part>, ApiError> {
    let has_format = format.is_some_and(is_json);
    let named = match choice {
        None => None,
        Some(ToolChoice::Mode(word)) => match word.as_str() {
            "none" => return Ok(Vec::new()),
            "auto" => None,
            "required" => Some(None),
            name => Some(Some(name)),
        },
        Some(ToolChoice::Named { function }) => Some(Some(&function.name[..])),
    };
    let named = match named {
        None if !has_format => return Ok(Vec::new()),
        None => None,
        Some(name) => name,
    };
    let mut parts = Vec::new();
    for (index, tool) in tools.iter().enumerate() {
        let Some(parameters @ Value::Object(_)) = &tool.function.parameters else { continue };
        if named.is_some_and(|it| it != tool.function.name) {
            continue;
        }
        let param = format!("tools[{index}].function.parameters");
        match schema::tidy(parameters.clone()) {
            Ok(schema) => parts.push(Part { param, form: Form::JsonSchema(schema) }),
            Err(fault) => {
                let message = format!("`{param}` is a schema that arguments can't be held to; {fault}.");
                return Err(ApiError::invalid(param, message));
            }
        }
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tools(parameters: Value) -> Vec<Tool> {
        let function = |name: &str, parameters: Value| {
            let tool = json!({"type": "function", "function": {"name": name, "parameters": parameters}});
            serde_json::from_value(tool).unwrap()
        };
        vec![function("good", json!({"type": "object"})), function("bad", parameters)]
    }

    #[test]
    fn tool_schema_that_can_not_be_followed_is_named_where_it_is_held_to() {
        let bad = tools(json!({"type": "object", "properties": {"a": {"not": {}}}}));
        let word = |it: &str| Some(ToolChoice::Mode(it.to_owned()));
        for (choice, has_format, is_refused) in [
            (None, false, false),
            (word("auto"), false, false),
            (word("none"), true, false),
            (word("good"), true, false),
            (None, true, true),
            (word("required"), false, true),
            (word("bad"), false, true),
        ] {
            let checked = of_tools(&bad, choice.as_ref(), has_format.then_some(&Form::JsonObject));
            assert_eq!(checked.is_err(), is_refused, "{choice:?} {has_format}");
            if let Err(refused) = checked {
                let error = refused.body().error;
                assert_eq!(error.param.as_deref(), Some("tools[1].function.parameters"));
                assert!(error.message.contains("`properties.a.not`"), "{}", error.message);
            }
        }
    }

    #[test]
    fn format_beside_tools_leaves_the_choice_unless_a_call_must_be_made() {
        let some = tools(json!({"type": "object"}));
        let form = |choice: &str, format: Option<Form>| {
            let choice = Some(ToolChoice::Mode(choice.to_owned()));
            let parts = of_tools(&some, choice.as_ref(), format.as_ref()).unwrap();
            let tools = Tools::check(Some(some.clone()), choice).unwrap();
            of_chat(tools.as_ref(), format.as_ref(), parts)
        };
        assert_eq!(form("auto", None).0, None);
        assert_eq!(form("none", Some(Form::JsonObject)).0, Some(Form::JsonObject));
        assert!(matches!(form("required", None).0, Some(Form::Lark(_))));
        let pattern = Form::Regex("a+".to_owned());
        assert_eq!(form("auto", Some(pattern.clone())).0, Some(pattern));
        let (either, parts) = form("auto", Some(Form::JsonObject));
        assert!(matches!(either, Some(Form::Either(_, _))));
        let params: Vec<_> = parts.iter().map(|it| &it.param[..]).collect();
        let tool = |it: usize| format!("tools[{it}].function.parameters");
        assert_eq!(params, [&tool(0), &tool(1), "response_format"]);
    }
}
