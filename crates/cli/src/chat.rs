//! `dedi chat`: one question, or a conversation when a person sits at the terminal.

use std::time::Instant;

use clap::Args;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::console::Console;
use crate::context::Context;
use crate::error::{CliError, Result};
use crate::hints;
use crate::input::read_lines;
use crate::resolve::{Match, resolve};

/// Flags of `chat`.
#[derive(Debug, Args)]
pub struct ChatArgs {
    /// Id, name, display name, or a unique prefix of one
    #[arg(value_name = "ENDPOINT")]
    endpoint: String,
    /// The message; `-` reads it from stdin. Without it, a terminal starts a conversation and a pipe is read
    #[arg(value_name = "TEXT")]
    text: Option<String>,
    /// System prompt
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// Maximum number of tokens in the answer
    #[arg(long, value_name = "N")]
    max_tokens: Option<u32>,
    /// Sampling temperature; 0 = always the most likely token
    #[arg(long, value_name = "T")]
    temperature: Option<f32>,
    /// Print the answer once it is complete, instead of streaming it
    #[arg(long)]
    no_stream: bool,
}

pub(crate) async fn run(args: ChatArgs, context: &Context, console: &mut Console) -> Result {
    // A name goes out as it is: a key for inference alone may not list endpoints.
    let model = if args.endpoint.contains('/') {
        args.endpoint.clone()
    } else {
        resolve(&context.client, &args.endpoint, Match::Prefix).await?
    };
    let mut talk = Talk { context, args: &args, model, messages: Vec::new() };
    if let Some(system) = &args.system {
        talk.messages.push(json!({"role": "system", "content": system}));
    }
    match args.text.as_deref() {
        Some(text) if text != "-" => talk.once(text, console).await,
        None if console.terminals().input => talk.converse(console).await,
        Some(_) | None => {
            let mut text = String::new();
            if let Some(mut input) = console.take_input() {
                input.read_to_string(&mut text).map_err(|err| {
                    CliError::usage(
                        format!("could not read stdin as text: {err}"),
                        "pipe UTF-8 text, or pass it as TEXT",
                    )
                })?;
            }
            if text.trim().is_empty() {
                return Err(CliError::usage("no message: stdin is empty", "pass the message as TEXT"));
            }
            talk.once(text.trim_end_matches('\n'), console).await
        }
    }
}

struct Talk<'a> {
    context: &'a Context,
    args: &'a ChatArgs,
    model: String,
    messages: Vec<Value>,
}

impl Talk<'_> {
    async fn once(&mut self, text: &str, console: &mut Console) -> Result {
        self.messages.push(json!({"role": "user", "content": text}));
        self.answer(console).await.map(|_answer| ())
    }

    /// Turn by turn until the end of stdin or Ctrl-C at the prompt. Ctrl-C in an answer ends the answer.
    async fn converse(&mut self, console: &mut Console) -> Result {
        let Some(input) = console.take_input() else { return Ok(()) };
        let mut lines = read_lines(input)?;
        console.say("Press Ctrl-D to end the conversation, Ctrl-C to stop an answer.");
        loop {
            console.prompt("> ");
            let interrupted = console.interrupted();
            let line = tokio::select! {
                line = lines.recv() => line,
                () = interrupted => return Err(CliError::interrupted("the endpoint is unaffected", None)),
            };
            let Some(line) = line else {
                console.say("");
                return Ok(());
            };
            if line.trim().is_empty() {
                continue;
            }
            self.messages.push(json!({"role": "user", "content": line}));
            match self.answer(console).await {
                Ok(answer) => self.messages.push(json!({"role": "assistant", "content": answer})),
                Err(err) if err.message.is_empty() => return Err(err),
                Err(err) => {
                    // The turn that failed is forgotten, so that the next one is a valid conversation.
                    console.report(&err, None);
                    self.messages.pop();
                }
            }
        }
    }

    /// Asks with the messages so far and prints the answer.
    async fn answer(&self, console: &mut Console) -> Result<String> {
        let interrupted = console.interrupted();
        tokio::select! {
            answer = self.ask(console) => answer,
            () = interrupted => Err(CliError::interrupted("the answer was cut short; the endpoint is unaffected", None)),
        }
    }

    async fn ask(&self, console: &mut Console) -> Result<String> {
        let streaming = !self.args.no_stream && !self.context.is_data();
        let mut body = json!({"model": self.model, "messages": self.messages, "stream": streaming});
        if let Some(max_tokens) = self.args.max_tokens {
            body["max_tokens"] = json!(max_tokens);
        }
        if let Some(temperature) = self.args.temperature {
            body["temperature"] = json!(temperature);
        }
        let begun = Instant::now();
        let mut stream = self
            .context
            .client
            .post_stream("/chat/completions", &body)
            .await
            .map_err(|err| about(&self.model, err.into()))?;
        let mut events = Events::default();
        let mut whole = Vec::new();
        let mut told = Told::default();
        while let Some(bytes) = stream.next().await? {
            if !stream.is_events() {
                whole.extend_from_slice(&bytes);
                continue;
            }
            for event in events.feed(&bytes) {
                if event == "[DONE]" {
                    told.done = true;
                } else {
                    told.take(&event, console)?;
                }
            }
            if told.done {
                break;
            }
        }
        if stream.is_events() {
            if !told.done {
                return Err(CliError::failed("the answer broke off", Some("ask again".to_owned())));
            }
        } else if self.context.is_data() {
            let answer: Value = serde_json::from_slice(&whole).map_err(|err| garbled(&err))?;
            self.context.print_data(console, &answer, [&self.model])?;
        } else {
            told.take_whole(&whole, console)?;
        }
        if !self.context.is_data() {
            told.finish(begun, console)?;
        }
        Ok(told.text)
    }
}

/// The hint with the endpoint that was asked, where it has a command for it.
fn about(endpoint: &str, err: CliError) -> CliError {
    let is_down =
        err.detail.as_ref().and_then(|it| it.code.as_deref()) == Some("dedicated_endpoint_not_running");
    let hint = if is_down { Some(hints::not_running(endpoint, &err.message)) } else { err.hint };
    CliError { hint, ..err }
}

fn garbled(err: &serde_json::Error) -> CliError {
    CliError::failed(format!("could not read the answer: {err}"), None)
}

/// What has been heard of one answer.
#[derive(Default)]
struct Told {
    text: String,
    finish_reason: Option<String>,
    usage: Option<Usage>,
    done: bool,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Option<Usage>,
    #[serde(default)]
    error: Option<dedi_api::ErrorDetail>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default, alias = "delta")]
    message: Message,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Default, Deserialize)]
struct Message {
    #[serde(default)]
    content: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
}

impl Told {
    fn take(&mut self, event: &str, console: &mut Console) -> Result {
        self.hear(serde_json::from_str(event).map_err(|err| garbled(&err))?, console)
    }

    fn take_whole(&mut self, body: &[u8], console: &mut Console) -> Result {
        self.hear(serde_json::from_slice(body).map_err(|err| garbled(&err))?, console)
    }

    fn hear(&mut self, answer: Answer, console: &mut Console) -> Result {
        if let Some(error) = answer.error {
            if !self.text.is_empty() {
                console.foreign("\n")?;
            }
            let mut err = CliError::failed(error.message.clone(), None);
            err.detail = Some(Box::new(error));
            return Err(err);
        }
        for choice in answer.choices {
            if let Some(content) = choice.message.content.filter(|it| !it.is_empty()) {
                console.foreign(&content)?;
                self.text.push_str(&content);
            }
            self.finish_reason = choice.finish_reason.or(self.finish_reason.take());
        }
        self.usage = answer.usage.or(self.usage);
        Ok(())
    }

    /// Ends the line, and tells a person what the answer cost.
    fn finish(&self, begun: Instant, console: &mut Console) -> Result {
        if !self.text.ends_with('\n') {
            console.foreign("\n")?;
        }
        if self.finish_reason.as_deref() == Some("length") {
            console.say("(stopped at the token limit; raise it with --max-tokens N)");
        }
        if let Some(usage) = self.usage.filter(|_| console.terminals().err) {
            let secs = begun.elapsed().as_secs_f64();
            console.say(&format!(
                "({} + {} tokens in {secs:.1} s)",
                usage.prompt_tokens, usage.completion_tokens
            ));
        }
        Ok(())
    }
}

/// Cuts an event stream into its `data:` payloads; bytes may be split anywhere.
#[derive(Default)]
struct Events {
    rest: Vec<u8>,
}

impl Events {
    fn feed(&mut self, bytes: &[u8]) -> Vec<String> {
        self.rest.extend_from_slice(bytes);
        let mut events = Vec::new();
        while let Some(end) = self.rest.iter().position(|it| *it == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            if let Some(data) = line.trim_end_matches(['\r', '\n']).strip_prefix("data:") {
                events.push(data.trim_start().to_owned());
            }
        }
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chat_events_do_not_depend_on_chunk_boundaries() {
        let bytes = ": ping\n\ndata: {\"a\":\"ä\"}\r\n\r\ndata:[DONE]\n\n".as_bytes();
        for size in 1..bytes.len() {
            let mut events = Events::default();
            let got: Vec<String> = bytes.chunks(size).flat_map(|it| events.feed(it)).collect();
            assert_eq!(got, ["{\"a\":\"ä\"}", "[DONE]"], "cut every {size} bytes");
        }
    }
}
