//! What engines answer, in OpenAI's dialect and its usual variations. Texts borrow from the bytes; what we do
//! not know is skipped.

use std::borrow::Cow;
use std::collections::BTreeMap;

use dedi_api::inference::{FinishReason, LogprobLists, PromptPart, Text, ToolCall, ToolCallFunction, Usage};
use serde::Deserialize;

/// One event of a stream.
#[derive(Debug, Deserialize)]
pub(crate) struct Chunk<'a> {
    #[serde(borrow, default)]
    pub(crate) prompt: Option<Prompt<'a>>,
    #[serde(borrow, default)]
    pub(crate) choices: Option<Vec<ChunkChoice<'a>>>,
    #[serde(default)]
    pub(crate) usage: Option<EngineUsage>,
    #[serde(borrow, default)]
    pub(crate) error: Option<Fault<'a>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ChunkChoice<'a> {
    #[serde(default)]
    pub(crate) index: u32,
    #[serde(borrow, default)]
    pub(crate) delta: Option<Message<'a>>,
    #[serde(borrow, default)]
    pub(crate) text: Option<Text<'a>>,
    /// Boxed, as most events have none.
    #[serde(borrow, default)]
    pub(crate) logprobs: Option<Box<Logprobs<'a>>>,
    #[serde(borrow, default)]
    pub(crate) finish_reason: Option<Text<'a>>,
    #[serde(default)]
    pub(crate) token_id: Option<i64>,
    #[serde(default)]
    pub(crate) token_ids: Option<Vec<i64>>,
}

/// A whole answer.
#[derive(Debug, Deserialize)]
pub(crate) struct Whole<'a> {
    #[serde(borrow, default)]
    pub(crate) prompt: Option<Prompt<'a>>,
    #[serde(borrow)]
    pub(crate) choices: Vec<WholeChoice<'a>>,
    #[serde(default)]
    pub(crate) usage: Option<EngineUsage>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct WholeChoice<'a> {
    #[serde(default)]
    pub(crate) index: u32,
    #[serde(borrow, default)]
    pub(crate) message: Option<Message<'a>>,
    #[serde(borrow, default)]
    pub(crate) text: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) logprobs: Option<Logprobs<'a>>,
    #[serde(borrow, default)]
    pub(crate) finish_reason: Option<Text<'a>>,
    #[serde(default)]
    pub(crate) token_ids: Option<Vec<i64>>,
}

/// A chat's prompt as the model reads it; only where it shall be repeated.
#[derive(Debug, Deserialize)]
pub(crate) struct Prompt<'a> {
    #[serde(borrow, default)]
    text: Text<'a>,
    #[serde(borrow, default)]
    logprobs: Option<Logprobs<'a>>,
    #[serde(default)]
    token_ids: Option<Vec<i64>>,
}

/// A message, or what is new in it.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Message<'a> {
    #[serde(borrow, default)]
    pub(crate) content: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) tool_calls: Option<Vec<Call<'a>>>,
    #[serde(borrow, default)]
    pub(crate) reasoning: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) reasoning_content: Option<Text<'a>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Call<'a> {
    #[serde(default)]
    index: Option<u32>,
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
    #[serde(borrow, default)]
    function: Option<CallFunction<'a>>,
}

#[derive(Debug, Default, Deserialize)]
struct CallFunction<'a> {
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
    #[serde(borrow, default)]
    arguments: Option<Text<'a>>,
}

/// Chat's list of tokens, or completions' parallel lists.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Logprobs<'a> {
    #[serde(borrow, default)]
    content: Option<Vec<TokenLogprob<'a>>>,
    #[serde(borrow, default)]
    tokens: Option<Vec<Text<'a>>>,
    #[serde(default)]
    token_logprobs: Option<Vec<Option<f64>>>,
    #[serde(borrow, default)]
    top_logprobs: Option<Vec<Option<Candidates<'a>>>>,
}

/// By text; null is minus infinity.
type Candidates<'a> = BTreeMap<Text<'a>, Option<f64>>;

#[derive(Debug, Deserialize)]
struct TokenLogprob<'a> {
    #[serde(borrow, default)]
    token: Text<'a>,
    #[serde(default)]
    logprob: Option<f64>,
    #[serde(borrow, default)]
    top_logprobs: Option<Vec<Candidate<'a>>>,
}

#[derive(Debug, Deserialize)]
struct Candidate<'a> {
    #[serde(borrow, default)]
    token: Text<'a>,
    /// Null where it is minus infinity.
    #[serde(default)]
    logprob: Option<f64>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct EngineUsage {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
}

/// An error in the middle of a stream.
#[derive(Debug, Deserialize)]
pub(crate) struct Fault<'a> {
    #[serde(borrow, default)]
    pub(crate) message: Option<Text<'a>>,
}

impl<'a> Prompt<'a> {
    pub(crate) fn into_contract(self) -> PromptPart<'a> {
        PromptPart { logprobs: self.logprobs.map(|it| it.into_lists(self.token_ids)), text: self.text.0 }
    }
}

impl From<EngineUsage> for Usage {
    fn from(it: EngineUsage) -> Self {
        Self {
            prompt_tokens: it.prompt_tokens,
            completion_tokens: it.completion_tokens,
            total_tokens: it.prompt_tokens.saturating_add(it.completion_tokens),
        }
    }
}

impl<'a> Message<'a> {
    /// The reasoning text, by whichever name the engine sends it.
    pub(crate) fn take_reasoning(&mut self) -> Option<Cow<'a, str>> {
        self.reasoning.take().or(self.reasoning_content.take()).map(|it| it.0)
    }

    /// Its calls as the contract has them: with an index, and texts where the engine has nothing.
    pub(crate) fn take_calls(&mut self) -> Vec<ToolCall<'a>> {
        let calls = self.tool_calls.take().unwrap_or_default();
        calls.into_iter().zip(0..).map(|(call, position)| call.into_contract(position)).collect()
    }
}

impl<'a> Call<'a> {
    fn into_contract(self, position: u32) -> ToolCall<'a> {
        let function = self.function.unwrap_or_default();
        ToolCall {
            index: self.index.unwrap_or(position),
            id: self.id.unwrap_or_default().0,
            kind: Cow::Borrowed("function"),
            function: ToolCallFunction {
                name: function.name.unwrap_or_default().0,
                arguments: function.arguments.unwrap_or_default().0,
            },
        }
    }
}

impl<'a> Logprobs<'a> {
    /// The log probability of the text: the sum over its tokens, if it has any.
    pub(crate) fn sum(&self) -> Option<f64> {
        let chat = self.content.iter().flatten().filter_map(|it| it.logprob);
        let completions = self.token_logprobs.iter().flatten().copied().flatten();
        chat.chain(completions).reduce(|sum, it| sum + it)
    }

    /// Candidates of the first token.
    pub(crate) fn first_candidates(&self) -> Option<BTreeMap<Cow<'a, str>, f64>> {
        let chat = self.content.iter().flatten().next().and_then(TokenLogprob::candidates);
        let completions = || self.top_logprobs.iter().flatten().next()?.as_ref().map(by_token);
        chat.or_else(completions)
    }

    /// The contract's parallel lists; `ids` where they are those of the same tokens.
    pub(crate) fn into_lists(self, ids: Option<Vec<i64>>) -> LogprobLists<'a> {
        let Some(content) = self.content else {
            let tops = self.top_logprobs.unwrap_or_default();
            let tops: BTreeMap<_, _> =
                tops.iter().enumerate().filter_map(|(at, it)| Some((at, by_token(it.as_ref()?)))).collect();
            let tokens = self.tokens.unwrap_or_default();
            return LogprobLists {
                token_ids: ids.filter(|it| it.len() == tokens.len()),
                tokens: tokens.into_iter().map(|it| it.0).collect(),
                token_logprobs: self.token_logprobs.unwrap_or_default(),
                top_logprobs: (!tops.is_empty()).then_some(tops),
            };
        };
        let tops: BTreeMap<_, _> =
            content.iter().enumerate().filter_map(|(at, it)| Some((at, it.candidates()?))).collect();
        LogprobLists {
            token_ids: ids.filter(|it| it.len() == content.len()),
            token_logprobs: content.iter().map(|it| it.logprob).collect(),
            tokens: content.into_iter().map(|it| it.token.0).collect(),
            top_logprobs: (!tops.is_empty()).then_some(tops),
        }
    }
}

impl<'a> TokenLogprob<'a> {
    fn candidates(&self) -> Option<BTreeMap<Cow<'a, str>, f64>> {
        let all = self.top_logprobs.as_ref().filter(|it| !it.is_empty())?;
        Some(all.iter().filter_map(|it| Some((it.token.0.clone(), it.logprob?))).collect())
    }
}

fn by_token<'a>(candidates: &Candidates<'a>) -> BTreeMap<Cow<'a, str>, f64> {
    candidates.iter().filter_map(|(token, logprob)| Some((token.0.clone(), (*logprob)?))).collect()
}

/// OpenAI's engines put an echoed prompt before the text; the contract has a field of its own for it.
pub(crate) fn without_prompt<'a>(text: Cow<'a, str>, prompt: &str) -> Cow<'a, str> {
    match text {
        Cow::Borrowed(it) => Cow::Borrowed(it.strip_prefix(prompt).unwrap_or(it)),
        Cow::Owned(it) => Cow::Owned(it.strip_prefix(prompt).map(str::to_owned).unwrap_or(it)),
    }
}

/// Maps an engine's finish reason to the contract's; `None` where the engine reports a failure.
pub(crate) fn finish_reason(word: &str) -> Option<FinishReason> {
    match word {
        "length" => Some(FinishReason::Length),
        "tool_calls" | "function_call" => Some(FinishReason::ToolCalls),
        "eos" => Some(FinishReason::Eos),
        "error" | "abort" => None,
        _ => Some(FinishReason::Stop), // `content_filter` and words to come: it ended by itself
    }
}
