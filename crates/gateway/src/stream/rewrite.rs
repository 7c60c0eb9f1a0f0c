//! One pass from an engine's stream to the contract's: role in every delta, text beside content, numeric log
//! probabilities, usage in the chunk that ends the last choice, `[DONE]` last. A stream that does not end so is
//! an error, never a shorter answer. For OpenAI's SDKs a delta is what its reader can add to the ones before: a role once,
//! no number.

use std::borrow::Cow;
use std::io::Write as _;

use dedi_api::inference::{ChunkChoice, Delta, PromptPart, Text, Usage};

use super::dialect::{self, Chunk, Prompt, without_prompt};
use super::sse::{Events, TooLong};
use super::write::Writer;
use crate::request::{Echo, Job, Kind};

/// Why an engine's stream can't be passed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// A line or an event above the limit.
    TooLong,
    /// Not an event of the expected dialect.
    Garbage,
    /// `[DONE]` or the end of the body came before every choice had ended.
    Unfinished,
    /// The engine reported an error, with its message.
    Engine(String),
    /// The prompt should be repeated, and the engine does not send it.
    NoEcho,
}

impl From<TooLong> for Broken {
    fn from(_: TooLong) -> Self {
        Self::TooLong
    }
}

/// Rewrites chunks of the engine's body into events of the contract.
#[derive(Debug)]
pub(crate) struct Rewriter {
    events: Events,
    chunks: Chunks,
}

#[derive(Debug)]
struct Chunks {
    writer: Writer,
    /// Seed of each choice.
    seeds: Vec<Option<i64>>,
    echo: Option<Echo>,
    /// By choice, how many bytes of a completion's prompt the engine has repeated; `None` when that is over.
    repeated: Vec<Option<usize>>,
    /// Whether the prompt has been sent.
    has_sent_prompt: bool,
    /// Whether the client concatenates the deltas (OpenAI's SDKs).
    adds_up: bool,
    /// By choice, whether it has begun.
    begun: Vec<bool>,
    /// By choice, whether it has ended.
    ended: Vec<bool>,
    /// The event that ends the last choice, up to its usage, until the usage is known.
    held: Option<Vec<u8>>,
    usage: Option<Usage>,
    done: bool,
}

/// How an event ends whose usage is not known.
const NO_USAGE: &[u8] = b"null}\n\n";

impl Rewriter {
    pub(crate) fn new(id: &str, created: i64, job: &Job) -> Self {
        let object = match job.kind {
            Kind::Chat | Kind::Embeddings => "chat.completion.chunk",
            Kind::Completions => "completion.chunk",
        };
        let n = usize::try_from(job.n).unwrap_or(1);
        let is_text = matches!(job.echo, Some(Echo::Text(_)));
        Self {
            events: Events::default(),
            chunks: Chunks {
                writer: Writer::new(id, object, created, &job.model),
                seeds: (0..job.n).map(|it| job.seed_of(it)).collect(),
                has_sent_prompt: job.echo.is_none(),
                repeated: vec![is_text.then_some(0); n],
                echo: job.echo.clone(),
                adds_up: job.is_openai,
                begun: vec![false; n],
                ended: vec![false; n],
                held: None,
                usage: None,
                done: false,
            },
        }
    }

    /// Takes a chunk; events that it completes are appended to `out`. After an error `out` still holds whole events.
    pub(crate) fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
        let chunks = &mut self.chunks;
        self.events.push(chunk, |data| chunks.event(data, out))
    }

    /// Whether `[DONE]` has been written.
    pub(crate) fn is_done(&self) -> bool {
        self.chunks.done
    }

    /// What the engine counted so far.
    pub(crate) fn usage(&self) -> Option<Usage> {
        self.chunks.usage
    }
}

impl Chunks {
    fn event(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
        if self.done {
            return Ok(());
        }
        if data.trim_ascii() == b"[DONE]" {
            if self.ended.contains(&false) {
                return Err(Broken::Unfinished);
            }
            self.release(out);
            out.extend_from_slice(b"data: [DONE]\n\n");
            self.done = true;
            return Ok(());
        }
        let chunk: Chunk<'_> = read(data).map_err(|_| Broken::Garbage)?;
        if let Some(fault) = chunk.error {
            return Err(Broken::Engine(fault.message.unwrap_or_default().0.into_owned()));
        }
        if let Some(usage) = chunk.usage {
            self.usage = Some(usage.into());
        }
        let mut prompt =
            chunk.prompt.filter(|_| self.echo == Some(Echo::Rendered)).map(Prompt::into_contract);
        let received = chunk.choices.unwrap_or_default();
        let mut choices = Vec::with_capacity(received.len());
        for mut choice in received {
            prompt = self.take_prompt(&mut choice).or(prompt);
            if let Some(choice) = self.choice(choice)? {
                choices.push(choice);
            }
        }
        if !choices.is_empty() {
            self.write(&choices, prompt, out)?;
        }
        if chunk.usage.is_some() {
            self.release(out);
        }
        Ok(())
    }

    /// Takes a completion's prompt, or a part of it, out of a choice: engines put it before their text, the
    /// contract has a field of its own for it.
    fn take_prompt<'a>(&mut self, choice: &mut dialect::ChunkChoice<'a>) -> Option<PromptPart<'a>> {
        let Some(Echo::Text(prompt)) = &self.echo else { return None };
        let repeated = self.repeated.get_mut(usize::try_from(choice.index).ok()?)?;
        let begin = repeated.take()?;
        let left = prompt.get(begin..).unwrap_or_default();
        let text = choice.text.take().unwrap_or_default().0;
        let mut logprobs = None;
        if text.len() < left.len() && left.starts_with(&*text) {
            *repeated = Some(begin + text.len());
            choice.logprobs = None;
        } else if text.starts_with(left) {
            let own = without_prompt(text, left);
            // Where tokens of both come in one event, they can't be told apart.
            let of_both = choice.logprobs.take();
            logprobs = of_both.filter(|_| begin == 0 && own.is_empty()).map(|it| it.into_lists(None));
            choice.text = Some(Text(own));
        } else {
            choice.text = Some(Text(text));
        }
        let text = Cow::Owned(prompt.clone());
        (!self.has_sent_prompt).then_some(PromptPart { text, logprobs })
    }

    /// `None` for an empty delta after a choice has ended.
    fn choice<'a>(&mut self, choice: dialect::ChunkChoice<'a>) -> Result<Option<ChunkChoice<'a>>, Broken> {
        let mut message = choice.delta.unwrap_or_default();
        let content = message.content.take().or(choice.text).unwrap_or_default().0;
        let reasoning = message.take_reasoning();
        let tool_calls = message.take_calls();
        let ended = usize::try_from(choice.index).ok().and_then(|it| self.ended.get_mut(it));
        let ended = ended.ok_or(Broken::Garbage)?;
        if *ended {
            let empty = content.is_empty() && tool_calls.is_empty() && reasoning.is_none();
            return if empty { Ok(None) } else { Err(Broken::Garbage) };
        }
        let finish_reason = match &choice.finish_reason {
            None => None,
            Some(word) => match dialect::finish_reason(word.as_str()) {
                None => return Err(Broken::Engine(String::new())),
                known => known,
            },
        };
        *ended = finish_reason.is_some();
        let begun = usize::try_from(choice.index).ok().and_then(|it| self.begun.get_mut(it));
        let is_first = begun.is_some_and(|it| !std::mem::replace(it, true));
        let token_id = choice.token_id.or(choice.token_ids.and_then(|it| it.first().copied()));
        let seed = usize::try_from(choice.index).ok().and_then(|it| *self.seeds.get(it)?);
        Ok(Some(ChunkChoice {
            index: choice.index,
            text: content.clone(),
            logprobs: choice.logprobs.as_deref().and_then(dialect::Logprobs::sum),
            top_logprobs: choice.logprobs.as_deref().and_then(dialect::Logprobs::first_candidates),
            finish_reason,
            seed: finish_reason.and(seed),
            delta: Delta {
                token_id: token_id.filter(|_| !self.adds_up),
                role: (is_first || !self.adds_up).then_some(Cow::Borrowed("assistant")),
                content,
                tool_calls,
                reasoning,
            },
        }))
    }

    /// Writes an event, or holds it if it ends the last choice.
    fn write(
        &mut self,
        choices: &[ChunkChoice<'_>],
        prompt: Option<PromptPart<'_>>,
        out: &mut Vec<u8>,
    ) -> Result<(), Broken> {
        let prompt = prompt.filter(|_| !self.has_sent_prompt);
        self.has_sent_prompt |= prompt.is_some();
        if !self.has_sent_prompt {
            return Err(Broken::NoEcho);
        }
        if self.ended.contains(&false) {
            self.writer.event(prompt.as_ref(), choices, out);
            out.extend_from_slice(NO_USAGE);
        } else {
            let mut held = Vec::new();
            self.writer.event(prompt.as_ref(), choices, &mut held);
            self.held = Some(held);
        }
        Ok(())
    }

    /// Writes the held event with what is known of the usage.
    fn release(&mut self, out: &mut Vec<u8>) {
        let Some(held) = self.held.take() else { return };
        out.extend_from_slice(&held);
        match self.usage {
            Some(it) => {
                let (prompt, completion, total) = (it.prompt_tokens, it.completion_tokens, it.total_tokens);
                let _ = write!(
                    out,
                    "{{\"prompt_tokens\":{prompt},\"completion_tokens\":{completion},\"total_tokens\":{total}}}}}\n\n"
                );
            }
            None => out.extend_from_slice(NO_USAGE),
        }
    }
}

/// Parses an event. Its UTF-8 is checked at once, so that each text in it need not be; where that fails, invalid UTF-8
/// is accepted in skipped fields only.
fn read(data: &[u8]) -> serde_json::Result<Chunk<'_>> {
    match std::str::from_utf8(data) {
        Ok(text) => serde_json::from_str(text),
        Err(_) => serde_json::from_slice(data),
    }
}
