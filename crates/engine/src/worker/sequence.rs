//! One reply being generated.

use std::sync::Arc;

use llama_cpp_2::token::LlamaToken;
use tokio::sync::mpsc::UnboundedSender;

use crate::calls::Ending;
use crate::constrain::{FormError, Grammar};
use crate::model::TokenBytes;
use crate::sample::{Sampler, Scratch, log_probabilities};

use super::queue::Sender;
use super::reply::{Reply, ReplyDelta};
use super::{Event, Finish, GenerateJob, TokenEvent, TokenProbabilities};

/// What all replies of one request have in common.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) number: u64,
    pub(super) job: GenerateJob,
}

/// One reply being generated.
#[derive(Debug)]
pub(super) struct Sequence {
    pub(super) sender: Sender,
    pub(super) request: u64,
    pub(super) prompt: Arc<[LlamaToken]>,
    /// Prompt tokens that are decoded or in the current batch.
    pub(super) prompt_done: usize,
    /// The token to decode next, once the prompt is done.
    pub(super) next: LlamaToken,
    choice: u32,
    generated: u32,
    max_tokens: u32,
    ignore_eos: bool,
    logprobs: Option<usize>,
    /// Of the prompt's tokens after the first, while it is read and they are wanted.
    prompt_logprobs: Option<Vec<TokenProbabilities>>,
    sampler: Sampler,
    grammar: Option<Grammar>,
    reply: Reply,
    events: UnboundedSender<Event>,
}

impl Sequence {
    pub(super) fn new(request: &Request, choice: u32) -> Self {
        let job = &request.job;
        let mut sampling = job.sampling.clone();
        sampling.seed = sampling.seed.wrapping_add(u64::from(choice));
        Self {
            sender: job.sender,
            request: request.number,
            prompt: Arc::clone(&job.prompt),
            prompt_done: 0,
            next: LlamaToken(0),
            choice,
            generated: 0,
            max_tokens: job.max_tokens,
            ignore_eos: job.ignore_eos,
            logprobs: job.logprobs,
            // All replies have the same prompt; the first reports it.
            prompt_logprobs: (job.prompt_logprobs && choice == 0).then(Vec::new),
            sampler: Sampler::new(sampling, job.prompt.iter().map(|it| it.0.cast_unsigned())),
            grammar: job.grammar.as_ref().map(Grammar::fork),
            reply: Reply::new(&job.stops, job.expect.as_ref()),
            events: job.events.clone(),
        }
    }

    pub(super) fn reads_prompt(&self) -> bool {
        self.prompt_done < self.prompt.len()
    }

    /// Whether the prompt is to be decoded in full, for the log probabilities of its tokens.
    pub(super) fn reports_prompt(&self) -> bool {
        self.prompt_logprobs.is_some()
    }

    /// Keeps the log probabilities of the prompt's token at `position`, given those before it.
    pub(super) fn report_prompt(&mut self, logits: &[f32], position: usize) {
        let (Some(all), Some(token)) = (&mut self.prompt_logprobs, self.prompt.get(position)) else { return };
        let (own, top) = log_probabilities(logits, token.0.cast_unsigned(), self.logprobs.unwrap_or(0));
        all.push(TokenProbabilities { own, top });
    }

    pub(super) fn client_is_gone(&self) -> bool {
        self.events.is_closed()
    }

    pub(super) fn fail(&self, why: &str) {
        let _client_may_be_gone = self.events.send(Event::Failed(why.to_owned()));
    }

    /// The form can't be followed any further, which is the request's fault. Always true: it was the last token.
    fn give_up(&self, error: &FormError) -> bool {
        let _client_may_be_gone = self.events.send(Event::Unfit(error.to_string()));
        true
    }

    /// Samples the next token and sends it. True when it was the last, or the client is gone.
    pub(super) fn advance(
        &mut self,
        logits: &[f32],
        is_end: impl Fn(LlamaToken) -> bool,
        token_bytes: &TokenBytes,
        scratch: &mut Scratch,
    ) -> bool {
        if let Some(all) = self.prompt_logprobs.take() {
            let _client_may_be_gone = self.events.send(Event::Prompt(all));
        }
        let mask = match self.grammar.as_mut().map(Grammar::mask) {
            Some(Ok(mask)) => Some(mask),
            Some(Err(error)) => return self.give_up(&error),
            None => None,
        };
        let Some(token) = self.sampler.sample(logits, mask.as_ref(), scratch) else {
            self.fail("no token is possible here: the model gave no usable probabilities");
            return true;
        };
        let ended_grammar = match self.grammar.as_mut().map(|it| it.advance(token)) {
            Some(Ok(ended)) => ended,
            Some(Err(error)) => return self.give_up(&error),
            None => false,
        };
        self.generated += 1;
        self.next = LlamaToken(token.cast_signed());
        let logprobs = self.logprobs.map(|top| {
            let (own, top) = log_probabilities(logits, token, top);
            Box::new(TokenProbabilities { own, top })
        });
        let (delta, finish) = self.advance_reply(is_end, token_bytes, ended_grammar);
        let ReplyDelta { thought, text, calls, stopped: _ } = delta;
        let event = TokenEvent { choice: self.choice, token, thought, text, calls, logprobs, finish };
        let is_received = self.events.send(Event::Token(event)).is_ok();
        finish.is_some() || !is_received
    }

    /// What the client hears of the token, and the reason when it is the last.
    fn advance_reply(
        &mut self,
        is_end: impl Fn(LlamaToken) -> bool,
        token_bytes: &TokenBytes,
        ended_grammar: bool,
    ) -> (ReplyDelta, Option<Finish>) {
        if !self.ignore_eos && is_end(self.next) {
            return (self.reply.finish(Ending::Whole), Some(Finish::EndOfGeneration));
        }
        let mut delta = match token_bytes.of(self.next) {
            [] => self.reply.push_control(token_bytes.mark(self.next)),
            bytes => self.reply.push(bytes),
        };
        if delta.stopped {
            return (delta, Some(Finish::Stop));
        }
        let (ending, finish) = if ended_grammar {
            (Ending::Whole, Finish::Stop)
        } else if self.generated >= self.max_tokens {
            (Ending::Cut, Finish::Length)
        } else {
            return (delta, None);
        };
        delta.append(self.reply.finish(ending));
        let finish = if delta.stopped { Finish::Stop } else { finish };
        (delta, Some(finish))
    }
}
