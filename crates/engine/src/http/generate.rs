//! What chat and completions do alike: from checked parameters and a prompt to a running job.

use std::collections::BTreeMap;
use std::sync::Arc;

use dedi_api::engine::{TextLogprobs, TokenLogprob, Usage};
use llama_cpp_2::token::LlamaToken;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::constrain::{Form, FormError, Grammar, Part};
use crate::reading::Expect;
use crate::request::{self, Parameters};
use crate::worker::{Event, Finish, GenerateJob, Job, Sender, TokenEvent, TokenProbabilities};

use super::error::ApiError;
use super::state::{AppState, InFlight, Ready};

/// A job that was accepted, and what its answer needs.
pub(super) struct Accepted {
    pub(super) state: Arc<AppState>,
    pub(super) events: UnboundedReceiver<Event>,
    pub(super) prompt_tokens: u32,
    pub(super) choices: u32,
    pub(super) stream: bool,
    pub(super) include_usage: bool,
    pub(super) logprobs: bool,
    /// The prompt, when the answer repeats it.
    pub(super) echo: Option<Echo>,
    /// Of the prompt's tokens after the first; empty until the prompt was read.
    pub(super) prompt_logprobs: Vec<TokenProbabilities>,
    pub(super) id: String,
    pub(super) created: i64,
    pub(super) model: String,
    /// Held until the answer has ended.
    pub(super) _in_flight: InFlight,
}

/// A prompt that the answer repeats.
#[derive(Clone)]
pub(super) struct Echo {
    pub(super) tokens: Vec<u32>,
    pub(super) text: String,
}

impl Echo {
    /// The log probabilities of its tokens, given those after the first.
    pub(super) fn logprobs(&self, ready: &Ready, later: &[TokenProbabilities]) -> TextLogprobs {
        let mut all = TextLogprobs::default();
        let mut length = 0;
        let later = later.iter().map(Some).chain(std::iter::repeat(None));
        for (token, known) in self.tokens.iter().zip(std::iter::once(None).chain(later)) {
            all.text_offset.push(length);
            length +=
                characters(&String::from_utf8_lossy(ready.token_bytes.of(LlamaToken(token.cast_signed()))));
            all.tokens.push(token_text(ready, *token));
            all.token_logprobs.push(known.map(|it| it.own));
            all.top_logprobs.push(known.map(|it| candidates(ready, it)));
        }
        all
    }
}

/// The field that a form is asked for by.
pub(super) const FORMAT: &str = "response_format";

/// The sender of a request, the form its reply is held to, and what may be in it.
#[derive(Default)]
pub(super) struct Expected {
    pub(super) sender: Sender,
    pub(super) form: Option<Form>,
    /// The fields that the form was made of.
    pub(super) parts: Vec<Part>,
    pub(super) expect: Option<Expect>,
}

/// A request that was understood: all of its job but the grammar.
pub(super) struct Prepared {
    pub(super) parameters: Parameters,
    pub(super) prompt: Vec<LlamaToken>,
    /// The prompt before it was cut into tokens.
    pub(super) text: String,
    pub(super) expected: Expected,
    pub(super) model: Option<String>,
    pub(super) id_prefix: &'static str,
}

/// Runs what may take long on another thread: long texts, and grammars.
pub(super) async fn prepare<T: Send + 'static>(
    is_long: bool,
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    if !is_long {
        return work();
    }
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_panicked| Err(ApiError::Internal("The request could not be prepared.".to_owned())))
}

/// Cuts a text into tokens. `special` reads control tokens spelled in it.
pub(super) fn tokenize(ready: &Ready, text: &str, special: bool) -> Vec<LlamaToken> {
    let mut tokens = ready.model.vocab().tokenize(text.as_bytes(), false, special);
    if let Some(bos) = ready.bos
        && tokens.first() != Some(&bos)
    {
        tokens.insert(0, bos);
    }
    tokens
}

/// Puts the job into the queue, once its form is compiled.
pub(super) async fn submit(state: &Arc<AppState>, prepared: Prepared) -> Result<Accepted, ApiError> {
    let Prepared { parameters, prompt, text, expected, model, id_prefix } = prepared;
    let ready = state.ready()?;
    if ready.embedding {
        let message = "This model embeds texts and does not generate any; use /v1/embeddings.";
        return Err(ApiError::Invalid { param: None, message: message.to_owned() });
    }
    let max_tokens = request::room(&parameters, prompt.len(), ready.shape.context)?;
    let in_flight = InFlight::enter(state);
    let grammar = match expected.form {
        Some(form) => Some(grammar(ready, form, &expected.parts).await?),
        None => None,
    };
    let echo = parameters
        .echo
        .then(|| Echo { tokens: prompt.iter().map(|it| it.0.cast_unsigned()).collect(), text });
    let (sender, events) = unbounded_channel();
    let prompt_tokens = u32::try_from(prompt.len()).unwrap_or(u32::MAX);
    let job = GenerateJob {
        sender: expected.sender,
        prompt: prompt.into(),
        choices: parameters.choices,
        sampling: parameters.sampling,
        stops: parameters.stops,
        expect: expected.expect,
        max_tokens,
        ignore_eos: parameters.ignore_eos,
        logprobs: parameters.logprobs,
        prompt_logprobs: parameters.echo && parameters.logprobs.is_some(),
        grammar,
        events: sender,
    };
    state.worker.submit(Job::Generate(Box::new(job)))?;
    Ok(Accepted {
        state: Arc::clone(state),
        events,
        prompt_tokens,
        choices: parameters.choices,
        stream: parameters.stream,
        include_usage: parameters.include_usage,
        logprobs: parameters.logprobs.is_some(),
        echo,
        prompt_logprobs: Vec::new(),
        id: format!("{id_prefix}-{}", uuid::Uuid::new_v4().simple()),
        created: jiff::Timestamp::now().as_second(),
        model: model.unwrap_or_else(|| state.model_name.clone()),
        _in_flight: in_flight,
    })
}

async fn grammar(ready: &Ready, form: Form, parts: &[Part]) -> Result<Grammar, ApiError> {
    match ready.forms.grammar(form).await {
        Ok(grammar) => Ok(grammar),
        Err(FormError::Unfit(why)) => {
            Err(ApiError::unfit(ready.forms.blame(parts).await.unwrap_or(FORMAT), &why))
        }
        Err(FormError::Busy) => Err(ApiError::FormsBusy),
        Err(FormError::Internal(why)) => {
            tracing::error!("a form could not be compiled: {why}");
            Err(ApiError::Internal("The requested format could not be prepared.".to_owned()))
        }
    }
}

impl Accepted {
    /// Hands every token to `each`, until all replies have ended; gives the token counts.
    pub(super) async fn collect(&mut self, mut each: impl FnMut(TokenEvent)) -> Result<Usage, ApiError> {
        let (mut left, mut generated) = (self.choices, 0);
        while left > 0 {
            match self.events.recv().await {
                Some(Event::Token(token)) => {
                    generated += 1;
                    left -= u32::from(token.finish.is_some());
                    each(token);
                }
                Some(Event::Prompt(all)) => self.prompt_logprobs = all,
                Some(Event::Unfit(why)) => return Err(ApiError::unfit(FORMAT, &why)),
                Some(Event::Failed(why)) => return Err(ApiError::Internal(sentence(&why))),
                None => {
                    return Err(ApiError::Internal("The engine stopped before the reply ended.".to_owned()));
                }
            }
        }
        Ok(Usage::new(self.prompt_tokens, generated))
    }

    /// The log probabilities of the prompt that the answer repeats, where they are wanted.
    pub(super) fn echoed_logprobs(&self) -> Option<TextLogprobs> {
        let echo = self.echo.as_ref().filter(|_| self.logprobs)?;
        Some(echo.logprobs(self.state.ready.get()?, &self.prompt_logprobs))
    }
}

/// The finish reasons of the API.
pub(super) fn finish_reason(finish: Finish) -> &'static str {
    match finish {
        Finish::EndOfGeneration | Finish::Stop => "stop",
        Finish::Length => "length",
    }
}

/// The log probability of a token and its competitors, in chat's form.
pub(super) fn token_logprob(ready: &Ready, token: u32, probabilities: &TokenProbabilities) -> TokenLogprob {
    let one = |token: u32, logprob: f32, top| {
        let bytes = token_bytes(ready, token);
        TokenLogprob {
            token: String::from_utf8_lossy(&bytes).into_owned(),
            logprob,
            bytes,
            top_logprobs: top,
        }
    };
    let top = probabilities.top.iter().map(|&(token, logprob)| one(token, logprob, None)).collect();
    one(token, probabilities.own, Some(top))
}

/// The token's bytes; a control token's name, so that it can be named in a list of candidates.
pub(super) fn token_bytes(ready: &Ready, token: u32) -> Vec<u8> {
    let token = LlamaToken(token.cast_signed());
    let bytes = ready.token_bytes.of(token);
    if bytes.is_empty() { ready.model.vocab().token_to_piece(token, true, None) } else { bytes.to_vec() }
}

/// The token as text, with replacement characters where its bytes are none of their own.
pub(super) fn token_text(ready: &Ready, token: u32) -> String {
    String::from_utf8_lossy(&token_bytes(ready, token)).into_owned()
}

/// The most likely candidates, in completions' form.
pub(super) fn candidates(ready: &Ready, probabilities: &TokenProbabilities) -> BTreeMap<String, f32> {
    probabilities.top.iter().map(|&(token, logprob)| (token_text(ready, token), logprob)).collect()
}

/// How many characters a text has.
pub(super) fn characters(text: &str) -> u32 {
    u32::try_from(text.chars().count()).unwrap_or(u32::MAX)
}

/// A cause as a sentence of its own.
pub(super) fn sentence(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), letters.as_str()))
}
