//! `POST /v1/completions`.

use std::borrow::Cow;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use dedi_api::engine::{
    Completion, CompletionChoice, CompletionChunk, CompletionChunkChoice, GenerateRequest, Prompt,
    TextLogprobs, Usage,
};
use llama_cpp_2::token::LlamaToken;

use crate::constrain::Part;
use crate::request;
use crate::worker::{Finish, Sender, TokenEvent, TokenProbabilities};

use super::body::JsonBytes;
use super::error::ApiError;
use super::generate::{self, Accepted, Echo, Expected, FORMAT, Prepared, characters};
use super::replies::{self, Dialect, Head, event};
use super::state::{AppState, Ready};

const LONG_BYTES: usize = 16 << 10;

pub(super) async fn completions(
    State(state): State<Arc<AppState>>,
    sender: Sender,
    JsonBytes(body): JsonBytes,
) -> Result<Response, ApiError> {
    state.ready()?;
    let request: GenerateRequest = request::parse(&body)?;
    let is_long = body.len() > LONG_BYTES || request.response_format.is_some();
    let ready = Arc::clone(&state);
    let prepared = generate::prepare(is_long, move || accept(&ready, sender, request)).await?;
    let accepted = generate::submit(&state, prepared).await?;
    let texts = (0..accepted.choices).map(|_| Text::default()).collect();
    if accepted.stream {
        return replies::stream(accepted, CompletionStream { texts }).await;
    }
    whole(accepted, texts).await
}

fn accept(state: &AppState, sender: Sender, mut request: GenerateRequest) -> Result<Prepared, ApiError> {
    let ready = state.ready()?;
    let parameters = request::check(&mut request, ready.token_bytes.count())?;
    let (prompt, text) = read_prompt(ready, request.prompt.take())?;
    let parts =
        parameters.form.iter().map(|it| Part { param: FORMAT.to_owned(), form: it.clone() }).collect();
    let expected = Expected { sender, form: parameters.form.clone(), parts, expect: None };
    Ok(Prepared { parameters, prompt, text, expected, model: request.model, id_prefix: "cmpl" })
}

fn read_prompt(ready: &Ready, prompt: Option<Prompt>) -> Result<(Vec<LlamaToken>, String), ApiError> {
    let wrong = |message: &str| Err(ApiError::invalid("prompt", message));
    let text = match prompt {
        None => return wrong("`prompt` is required."),
        Some(Prompt::Text(text)) => text,
        Some(Prompt::Texts(mut texts)) if texts.len() == 1 => texts.remove(0),
        Some(Prompt::Texts(_)) => {
            return wrong("`prompt` is a list and can have one text; send a request for each.");
        }
        Some(Prompt::Tokens(tokens)) => {
            if tokens.is_empty() {
                return wrong("`prompt` is empty; send a text, or at least one token.");
            }
            if tokens.iter().any(|it| *it as usize >= ready.token_bytes.count()) {
                let most = ready.token_bytes.count().saturating_sub(1);
                return wrong(&format!(
                    "`prompt` has a token this model does not know; ids go from 0 to {most}."
                ));
            }
            let tokens: Vec<_> = tokens.into_iter().map(|it| LlamaToken(it.cast_signed())).collect();
            let bytes: Vec<u8> = tokens.iter().flat_map(|it| ready.token_bytes.of(*it).to_vec()).collect();
            return Ok((tokens, String::from_utf8_lossy(&bytes).into_owned()));
        }
    };
    let tokens = generate::tokenize(ready, &text, true);
    if tokens.is_empty() {
        return wrong("`prompt` is empty, and this model needs at least one token to begin with.");
    }
    Ok((tokens, text))
}

/// Follows one reply's text, to say where its tokens begin.
#[derive(Default)]
struct Text {
    /// What the reply begins with, when it repeats the prompt.
    echo: Option<(String, Option<TextLogprobs>)>,
    length: u32,
}

impl Text {
    fn repeat(&mut self, echo: &Echo, logprobs: Option<TextLogprobs>) {
        self.length = characters(&echo.text);
        self.echo = Some((echo.text.clone(), logprobs));
    }

    fn add(
        &mut self,
        ready: &Ready,
        token: u32,
        text: &str,
        probabilities: &TokenProbabilities,
    ) -> TextLogprobs {
        let logprobs = TextLogprobs {
            tokens: vec![generate::token_text(ready, token)],
            token_logprobs: vec![Some(probabilities.own)],
            top_logprobs: vec![Some(generate::candidates(ready, probabilities))],
            text_offset: vec![self.length],
        };
        self.length += characters(text);
        logprobs
    }
}

async fn whole(mut accepted: Accepted, mut texts: Vec<Text>) -> Result<Response, ApiError> {
    let state = Arc::clone(&accepted.state);
    if let Some(echo) = &accepted.echo {
        texts.iter_mut().for_each(|it| it.repeat(echo, None));
    }
    let mut choices: Vec<CompletionChoice> = (0..accepted.choices)
        .map(|index| CompletionChoice {
            index,
            text: String::new(),
            finish_reason: String::new(),
            logprobs: accepted.logprobs.then(TextLogprobs::default),
            token_ids: Vec::new(),
        })
        .collect();
    let usage = accepted
        .collect(|token| {
            let index = token.choice as usize;
            let (Some(choice), Some(text)) = (choices.get_mut(index), texts.get_mut(index)) else { return };
            choice.token_ids.push(token.token);
            if let (Some(all), Some(one), Some(ready)) =
                (&mut choice.logprobs, &token.logprobs, state.ready.get())
            {
                append(all, text.add(ready, token.token, &token.text, one));
            }
            choice.text.push_str(&token.text);
            if let Some(finish) = token.finish {
                generate::finish_reason(finish).clone_into(&mut choice.finish_reason);
            }
        })
        .await?;
    let logprobs = accepted.echoed_logprobs();
    if let Some(echo) = &accepted.echo {
        for choice in &mut choices {
            choice.text.insert_str(0, &echo.text);
            if let (Some(all), Some(prompt)) = (&mut choice.logprobs, &logprobs) {
                let reply = std::mem::replace(all, prompt.clone());
                append(all, reply);
            }
        }
    }
    Ok(Json(Completion {
        choices,
        id: accepted.id,
        object: "text_completion".to_owned(),
        created: accepted.created,
        model: accepted.model,
        usage,
    })
    .into_response())
}

fn append(all: &mut TextLogprobs, more: TextLogprobs) {
    all.tokens.extend(more.tokens);
    all.token_logprobs.extend(more.token_logprobs);
    all.top_logprobs.extend(more.top_logprobs);
    all.text_offset.extend(more.text_offset);
}

struct CompletionStream {
    texts: Vec<Text>,
}

impl CompletionStream {
    fn put(head: &Head, choices: Vec<CompletionChunkChoice<'_>>, usage: Option<Usage>, out: &mut Vec<u8>) {
        event(
            out,
            &CompletionChunk {
                id: Cow::Borrowed(&head.id),
                object: Cow::Borrowed("text_completion"),
                created: head.created,
                model: Cow::Borrowed(&head.model),
                choices,
                usage,
            },
        );
    }
}

impl Dialect for CompletionStream {
    fn echo(&mut self, echo: Echo, logprobs: Option<TextLogprobs>) {
        self.texts.iter_mut().for_each(|it| it.repeat(&echo, logprobs.clone()));
    }

    fn begin(&mut self, head: &Head, choice: u32, out: &mut Vec<u8>) {
        let Some(text) = self.texts.get_mut(choice as usize) else { return };
        let Some((echo, logprobs)) = text.echo.take() else { return };
        let first = CompletionChunkChoice {
            index: choice,
            text: Cow::Owned(echo),
            logprobs,
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
