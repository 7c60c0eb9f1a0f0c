//! The marks that calls begin and end with, family by family.

use super::named::Style;

/// How to read what follows a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// JSON objects, a list of them, tags, or a name with pairs of keys and values: the mark is everybody's.
    ToolCall,
    /// JSON objects or a list of them.
    Json,
    /// The rest of a list of them.
    JsonList,
    /// JSON objects, or Python.
    Either,
    /// The same without a mark.
    Bare,
    /// A list of JSON objects, or a name and its arguments.
    Mistral,
    /// Tags.
    Tags,
    /// The rest of a tag.
    Function,
    /// A name and its arguments.
    Named(Style),
    /// The same behind one more mark.
    Section(&'static str, Style),
}

/// A mark that calls begin with.
#[derive(Debug)]
pub(super) struct Marker {
    pub(super) open: &'static str,
    pub(super) kind: Kind,
    /// What may stand behind the calls.
    pub(super) close: &'static [&'static str],
}

const fn marker(open: &'static str, kind: Kind, close: &'static [&'static str]) -> Marker {
    Marker { open, kind, close }
}

const DEEPSEEK_CALL: &str = "<｜tool▁call▁begin｜>";
const DEEPSEEK_ENDS: &[&str] = &["```", "<｜tool▁call▁end｜>", "<｜tool▁calls▁end｜>"];
const KIMI_CALL: &str = "<|tool_call_begin|>";
const KIMI_ENDS: &[&str] = &["<|tool_call_end|>", "<|tool_calls_section_end|>"];

/// The marks of all families. None is a word of a language, and what follows must be a call of a function that is
/// offered, so a model may use any of them, whatever its template says; models mix them up.
pub(super) static MARKERS: &[Marker] = &[
    // Hermes, Qwen, Qwen3-Coder, Nemotron 3, GLM, Granite from 3.1 on.
    marker("<tool_call>", Kind::ToolCall, &["</tool_call>"]),
    marker("[TOOL_CALLS]", Kind::Mistral, &[]),
    // Llama 3 and 4.
    marker("<|python_tag|>", Kind::Either, &[]),
    marker("<|python_start|>", Kind::Either, &["<|python_end|>"]),
    // Functionary 3.1, Llama 3.1, and Qwen3-Coder where it forgets what stands around.
    marker("<function=", Kind::Function, &[]),
    // Nemotron.
    marker("<TOOLCALL>", Kind::Json, &["</TOOLCALL>"]),
    // Granite 3.0, Phi-4-mini.
    marker("<|tool_call|>", Kind::Json, &["<|/tool_call|>"]),
    marker("functools[", Kind::JsonList, &[]),
    // Granite 20B.
    marker("<function_call>", Kind::Json, &["</function_call>"]),
    // DeepSeek V3, R1, V3.1, V3.2.
    marker("<｜tool▁calls▁begin｜>", Kind::Section(DEEPSEEK_CALL, Style::DeepSeek), DEEPSEEK_ENDS),
    marker(DEEPSEEK_CALL, Kind::Named(Style::DeepSeek), DEEPSEEK_ENDS),
    marker("<｜DSML｜function_calls>", Kind::Tags, &[]),
    marker("<｜DSML｜tool_calls>", Kind::Tags, &[]),
    // MiniMax M1 and M2, Hunyuan, Jamba.
    marker("<tool_calls>", Kind::Json, &["</tool_calls>"]),
    marker("<minimax:tool_call>", Kind::Tags, &[]),
    marker("<seed:tool_call>", Kind::Tags, &[]),
    // LFM2.
    marker("<|tool_call_start|>", Kind::Either, &["<|tool_call_end|>"]),
    // Gemma 3, FunctionGemma, Gemma 4.
    marker("```tool_code", Kind::Either, &["```"]),
    marker("<start_function_call>", Kind::Named(Style::FunctionGemma), &["<end_function_call>"]),
    marker("<|tool_call>", Kind::Named(Style::Gemma), &["<tool_call|>"]),
    // Kimi K2.
    marker("<|tool_calls_section_begin|>", Kind::Section(KIMI_CALL, Style::Kimi), KIMI_ENDS),
    marker(KIMI_CALL, Kind::Named(Style::Kimi), KIMI_ENDS),
    // Command R and A, OLMo 3, InternLM.
    marker("<|START_ACTION|>", Kind::Json, &["<|END_ACTION|>"]),
    marker("<function_calls>", Kind::Either, &["</function_calls>"]),
    marker("<|action_start|><|plugin|>", Kind::Json, &["<|action_end|>"]),
];

/// Functionary 3.2: every part of a reply begins with whom it is for, and the prompt has the first mark.
pub(super) static RECIPIENT: Marker = marker(">>>", Kind::Named(Style::Line), &[]);

/// Marks within calls that are tokens of their own in some vocabularies.
const INNER: [&str; 7] = [
    "[ARGS]",
    "[CALL_ID]",
    "<｜tool▁sep｜>",
    "<|tool_call_argument_begin|>",
    "<escape>",
    "<|\"|>",
    "｜DSML｜",
];

/// Whether a control token's text is a mark of calls.
pub(super) fn is_mark(token: &str) -> bool {
    let is_of = |it: &Marker| it.open.contains(token) || it.close.contains(&token);
    // A mark may be several tokens; a letter or two are none.
    token.len() > 2 && (INNER.contains(&token) || MARKERS.iter().any(is_of))
}
