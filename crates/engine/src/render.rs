//! `dedi-engine render`: what a chat template makes of a chat, without a model.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use dedi_api::engine::GenerateRequest;

use crate::cli::RenderArgs;
use crate::exit::Exit;
use crate::http::ApiError;
use crate::template::{ChatTemplate, Conversation};
use crate::tools::Tools;
use crate::{conversation, request};

/// Prints the prompt; gives the code to end with.
#[must_use]
pub fn render(args: &RenderArgs) -> Exit {
    match prompt(args) {
        Ok(prompt) => match io::stdout().write_all(prompt.as_bytes()) {
            Ok(()) => Exit::Stopped,
            Err(_reader_is_gone) => Exit::Internal,
        },
        Err(why) => {
            tracing::error!("{why}");
            Exit::Model
        }
    }
}

fn prompt(args: &RenderArgs) -> Result<String, String> {
    let source = read(&args.template)?;
    let body = read(&args.chat)?;
    let template = ChatTemplate::new(&source, args.bos.clone(), args.eos.clone())
        .map_err(|error| format!("{}: {error}", args.template.display()))?;
    let refused = |error: ApiError| format!("{}: {}", args.chat.display(), error.body().error.message);
    let mut chat: GenerateRequest = request::parse(body.as_bytes()).map_err(refused)?;
    let tools = Tools::check(chat.tools.take(), chat.tool_choice.take()).map_err(refused)?;
    let habits = &template.habits;
    let messages = conversation::messages(chat.messages.take(), tools.as_ref(), habits).map_err(refused)?;
    let shown = tools.as_ref().filter(|_| habits.tools).map(Tools::for_template);
    let mut more = chat.chat_template_kwargs.take().unwrap_or_default();
    if let Some(effort) = chat.reasoning_effort.take() {
        more.entry("reasoning_effort").or_insert(effort.into());
    }
    let conversation =
        Conversation { messages: &messages, tools: shown.as_ref(), add_generation_prompt: true, more };
    template.render(&conversation).map_err(|error| error.to_string())
}

fn read(path: &Path) -> Result<String, String> {
    if path == Path::new("-") {
        let mut text = String::new();
        return match io::stdin().read_to_string(&mut text) {
            Ok(_bytes) => Ok(text),
            Err(error) => Err(format!("the standard input can't be read: {error}")),
        };
    }
    fs::read_to_string(path).map_err(|error| format!("{} can't be read: {error}", path.display()))
}
