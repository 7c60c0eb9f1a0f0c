//! `POST /v1/completions`.

use std::borrow::Cow;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use dedi_api::engine::{
    CompletionChoice, CompletionChunkChoice, GenerateRequest, Prompt, TextLogprobs, Usage,
};
use llama_cpp_2::token::LlamaToken;

use crate::request;
use crate::worker::{Finish, TokenEvent, TokenProbabilities};

use super::generate::{self, Accepted};
use super::replies::{self, Dialect, Head};
use super::{ApiError, AppState, Ready};

pub(super) async fn completions(
    State(state): State<Arc<AppState>>,
    body: Bytes,
) -> Result<Response, ApiError> {
    state.ready()?;
    let request: GenerateRequest = request::parse(&body)?;
    let is_long = body.len() > generate::LONG_BYTES || request.response_format.is_some();
    let (accepted, echo) = generate::prepare(is_long, move || accept(&state, request)).await?;
    let texts = (0..accepted.choices).map(|_| Text { echo: echo.clone(), length: 0 }).collect();
    if accepted.stream {
        return replies::stream(accepted, CompletionStream { texts }).await;
    }
    whole(accepted, texts).await
}

/// The job, and the prompt when the answer repeats it.
fn accept(state: &Arc<AppState>, mut request: GenerateRequest) -> Result<(Accepted, Option<Echo>), ApiError> {
    let ready = state.ready()?;
    let parameters = request::check(&mut request, ready.pieces.count())?;
    let (prompt, text) = read_prompt(ready, request.prompt.take())?;
    let echo = parameters
        .echo
        .then(|| Echo { tokens: prompt.iter().map(|it| it.0.cast_unsigned()).collect(), text });
    let form = parameters.form.clone();
    let accepted = generate::submit(state, &parameters, prompt, form, request.model, "cmpl")?;
    Ok((accepted, echo))
}

fn read_prompt(ready: &Ready, prompt: Option<Prompt>) -> Result<(Vec<LlamaToken>, String), ApiError> {
    let wrong = |message: &str| Err(ApiError::invalid("prompt", message));
    let text = match prompt {
        None => return wrong("`prompt` is required."),
        Some(Prompt::Text(text)) => text,
        Some(Prompt::Texts(mut texts)) if texts.len() == 1 => texts.remove(0),
        Some(Prompt::Texts(_)) => return wrong("`prompt` has several texts; send one request for each."),
        Some(Prompt::Tokens(tokens)) => {
            if tokens.is_empty() {
                return wrong("`prompt` is empty; send a text, or at least one token.");
            }
            if tokens.iter().any(|it| *it as usize >= ready.pieces.count()) {
                let most = ready.pieces.count().saturating_sub(1);
                return wrong(&format!(
                    "`prompt` has a token this model does not know; ids go from 0 to {most}."
                ));
            }
            let tokens: Vec<_> = tokens.into_iter().map(|it| LlamaToken(it.cast_signed())).collect();
            let bytes: Vec<u8> = tokens.iter().flat_map(|it| ready.pieces.of(*it).to_vec()).collect();
            return Ok((tokens, String::from_utf8_lossy(&bytes).into_owned()));
        }
    };
    let tokens = generate::tokenize(ready, &text, true);
    if tokens.is_empty() {
        return wrong("`prompt` is empty, and this model needs at least one token to begin with.");
    }
    Ok((tokens, text))
}

#[derive(Clone)]
struct Echo {
    tokens: Vec<u32>,
    text: String,
}

/// Follows one reply's text, to say where its tokens begin.
struct Text {
    echo: Option<Echo>,
    length: u32,
}

impl Text {
    /// The prompt, when it is repeated; once.
    fn take_echo(&mut self, ready: &Ready, with_logprobs: bool) -> Option<(String, Option<TextLogprobs>)> {
        let Echo { tokens, text } = self.echo.take()?;
        let logprobs = with_logprobs.then(|| {
            let mut logprobs = TextLogprobs::default();
            let mut length = 0;
            for token in tokens {
                let bytes = ready.pieces.of(LlamaToken(token.cast_signed()));
                let token_text = String::from_utf8_lossy(bytes).into_owned();
                logprobs.text_offset.push(length);
                length += characters(&token_text);
                logprobs.tokens.push(token_text);
                logprobs.token_logprobs.push(None);
                logprobs.top_logprobs.push(None);
            }
            logprobs
        });
        self.length = characters(&text);
        Some((text, logprobs))
    }

    fn add(
        &mut self,
        ready: &Ready,
        token: u32,
        text: &str,
        probabilities: &TokenProbabilities,
    ) -> TextLogprobs {
        let name = |token| String::from_utf8_lossy(&generate::token_bytes(ready, token)).into_owned();
        let top = probabilities.top.iter().map(|&(token, logprob)| (name(token), logprob)).collect();
        let logprobs = TextLogprobs {
            tokens: vec![name(token)],
            token_logprobs: vec![Some(probabilities.own)],
            top_logprobs: vec![Some(top)],
            text_offset: vec![self.length],
        };
        self.length += characters(text);
        logprobs
    }
}

fn characters(text: &str) -> u32 {
    u32::try_from(text.chars().count()).unwrap_or(u32::MAX)
}

async fn whole(mut accepted: Accepted, mut texts: Vec<Text>) -> Result<Response, ApiError> {
    let state = Arc::clone(&accepted.state);
    let mut choices: Vec<CompletionChoice> = (0..)
        .zip(&mut texts)
        .map(|(index, text)| {
            let echo = accepted.ready().and_then(|it| text.take_echo(it, accepted.logprobs));
            let (text, logprobs) = echo.unwrap_or_default();
            let logprobs = accepted.logprobs.then(|| logprobs.unwrap_or_default());
            CompletionChoice { index, text, finish_reason: String::new(), logprobs, token_ids: Vec::new() }
        })
        .collect();
    let usage = accepted
        .collect(|token| {
            let place = token.choice as usize;
            let (Some(choice), Some(text)) = (choices.get_mut(place), texts.get_mut(place)) else { return };
            choice.token_ids.push(token.token);
            if let (Some(all), Some(one), Some(ready)) =
                (&mut choice.logprobs, &token.logprobs, state.ready.get())
            {
                let one = text.add(ready, token.token, &token.text, one);
                all.tokens.extend(one.tokens);
                all.token_logprobs.extend(one.token_logprobs);
                all.top_logprobs.extend(one.top_logprobs);
                all.text_offset.extend(one.text_offset);
            }
            choice.text.push_str(&token.text);
            if let Some(finish) = token.finish {
                generate::finish_reason(finish).clone_into(&mut choice.finish_reason);
            }
        })
        .await?;
    Ok(accepted.answer("text_completion", choices, usage))
}

struct CompletionStream {
    texts: Vec<Text>,
}

impl CompletionStream {
    fn put(head: &Head, choices: Vec<CompletionChunkChoice<'_>>, usage: Option<Usage>, out: &mut Vec<u8>) {
        replies::chunk(out, "text_completion", head, choices, usage);
    }
}

impl Dialect for CompletionStream {
    fn begin(&mut self, head: &Head, choice: u32, out: &mut Vec<u8>) {
        let Some(text) = self.texts.get_mut(choice as usize) else { return };
        let Some(echo) = text.echo.take() else { return };
        text.length = characters(&echo.text);
        let first = CompletionChunkChoice {
            index: choice,
            text: Cow::Owned(echo.text),
            ..CompletionChunkChoice::default()
        };
        Self::put(head, vec![first], None, out);
    }

    fn token(&mut self, head: &Head, ready: &Ready, token: TokenEvent, out: &mut Vec<u8>) {
        let Some(text) = self.texts.get_mut(token.choice as usize) else { return };
        let logprobs = token.logprobs.as_ref().map(|it| text.add(ready, token.token, &token.text, it));
        let index = token.choice;
        let mut choice = CompletionChunkChoice {
            index,
            text: Cow::Owned(token.text),
            finish_reason: None,
            logprobs,
            token_id: Some(token.token),
        };
        // The token that ends a generation has no text of its own, so it comes with the end.
        if token.finish != Some(Finish::EndOfGeneration) || !choice.text.is_empty() {
            Self::put(head, vec![std::mem::take(&mut choice)], None, out);
            choice.index = index;
        }
        if let Some(finish) = token.finish {
            choice.finish_reason = Some(Cow::Borrowed(generate::finish_reason(finish)));
            Self::put(head, vec![choice], None, out);
        }
    }

    fn usage(&mut self, head: &Head, usage: Usage, out: &mut Vec<u8>) {
        Self::put(head, Vec::new(), Some(usage), out);
    }
}
