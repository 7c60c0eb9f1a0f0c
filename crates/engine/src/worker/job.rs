//! What the worker is asked, and what a request hears.

use std::sync::Arc;

use dedi_api::engine::ToolCall;
use llama_cpp_2::token::LlamaToken;
use tokio::sync::mpsc::UnboundedSender;

use super::queue::{QueuePermit, Sender};
use crate::constrain::Grammar;
use crate::reading::Expect;
use crate::sample::SamplingParams;

/// Text to generate: `n` replies to one prompt.
#[derive(Debug)]
pub struct GenerateJob {
    /// Whose it is; slots are shared out between senders.
    pub sender: Sender,
    /// The prompt; at least one token, and room for one more in the context.
    pub prompt: Arc<[LlamaToken]>,
    /// How many replies.
    pub choices: u32,
    /// How tokens are picked; choice `i` uses the seed plus `i`.
    pub sampling: SamplingParams,
    /// Texts that end a reply. They are searched for in the answer, not in thoughts and calls.
    pub stops: Vec<String>,
    /// How a reply is parsed; `None` where it is sent as it is.
    pub expect: Option<Expect>,
    /// Most tokens of a reply; at least one, and prompt and reply fit into the context.
    pub max_tokens: u32,
    /// Goes on past the model's end of generation.
    pub ignore_eos: bool,
    /// How many candidates' log probabilities to report, if any are wanted.
    pub logprobs: Option<usize>,
    /// Whether to report them of the prompt's tokens too, as an [`Event::Prompt`] before the first token.
    pub prompt_logprobs: bool,
    /// What a reply must look like.
    pub grammar: Option<Grammar>,
    /// Where the tokens go. Not bounded by itself, but by `max_tokens`.
    pub events: UnboundedSender<Event>,
}

/// Texts to embed.
#[derive(Debug)]
pub struct EmbedJob {
    /// Whose it is.
    pub sender: Sender,
    /// The texts' tokens, each at least one and at most the context.
    pub texts: Vec<Vec<LlamaToken>>,
    /// Where the vectors go, in order.
    pub reply: tokio::sync::oneshot::Sender<Result<Vec<Vec<f32>>, String>>,
}

/// What the worker is asked.
#[derive(Debug)]
pub enum Job {
    /// Text.
    Generate(Box<GenerateJob>),
    /// Vectors.
    Embed(EmbedJob),
}

impl Job {
    pub(super) fn sender(&self) -> Sender {
        match self {
            Self::Generate(job) => job.sender,
            Self::Embed(job) => job.sender,
        }
    }
}

/// What goes through the queue.
#[derive(Debug)]
pub enum Message {
    /// A job and its queue permit, released when the job starts or is dropped.
    Job(Job, QueuePermit),
    /// End now, whatever runs.
    Stop,
}

/// What a request hears.
#[derive(Debug)]
pub enum Event {
    /// The prompt was read; for each of its tokens but the first, its log probabilities. Only when asked for.
    Prompt(Vec<TokenProbabilities>),
    /// A token was sampled.
    Token(TokenEvent),
    /// Nothing more will come, because the form that was asked for could not be followed.
    Unfit(String),
    /// Nothing more will come, for this reason.
    Failed(String),
}

/// One sampled token.
#[derive(Debug)]
pub struct TokenEvent {
    /// Which reply it belongs to.
    pub choice: u32,
    /// The token.
    pub token: u32,
    /// What the model thought, as far as it can be sent now.
    pub thought: String,
    /// The text that can.
    pub text: String,
    /// The calls that can, or more of their arguments.
    pub calls: Vec<ToolCall>,
    /// Log probabilities, when asked for.
    pub logprobs: Option<Box<TokenProbabilities>>,
    /// Why the reply ends with this token.
    pub finish: Option<Finish>,
}

/// The log probabilities at one position.
#[derive(Debug)]
pub struct TokenProbabilities {
    /// The sampled token's.
    pub own: f32,
    /// The most likely candidates', most likely first.
    pub top: Vec<(u32, f32)>,
}

/// Why a reply ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The model ended it; its last token has no text.
    EndOfGeneration,
    /// A stop text or the grammar ended it.
    Stop,
    /// It is as long as it may be.
    Length,
}
