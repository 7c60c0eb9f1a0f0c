//! Loads a model: checks the file, the processor and the memory first, so that what can be explained in a sentence is
//! not left to a crash.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::{KvCacheType, LlamaContextParams};
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::model::params::LlamaModelParams;
use llama_cpp_2::token::LlamaToken;

use crate::backends::Backends;
use crate::cli::{CacheType, ServeArgs};
use crate::exit::Exit;
use crate::gguf::{self, GgufError, Header};
use crate::logging::Complaints;
use crate::memory;
use crate::reading;

// More would be a surprise in memory for models trained for a million tokens; --context asks for it.
const DEFAULT_CONTEXT_MAX: u32 = 8192;
// Below this, threads wait for each other longer than they compute.
const ONE_THREAD_BYTES_MAX: u64 = 32 << 20;
// Prompt tokens one decode may carry; also what a GPU's work buffers are sized by.
const BATCH_MAX: u32 = 2048;
const MICRO_BATCH_MAX: u32 = 512;

/// Why no model could be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file is unusable.
    #[error(transparent)]
    File(#[from] GgufError),
    /// The library refused the file.
    #[error("the model {path} could not be loaded: {cause}")]
    Model {
        /// The file.
        path: PathBuf,
        /// The library's message.
        cause: String,
    },
    /// The chat template is unusable.
    #[error(
        "the model's chat template in {path} is unusable: {cause}; a chat_template.jinja beside the model would take its \
         place"
    )]
    Template {
        /// The file it is in.
        path: PathBuf,
        /// What is wrong with it, and in which line.
        cause: String,
    },
    /// Weights or context do not fit into memory.
    #[error("not enough memory: {0}")]
    Memory(String),
    /// The processor is too old.
    #[error(
        "this processor lacks {0}, which this build of dedi-engine needs; build it on this machine's kind"
    )]
    Processor(&'static str),
    /// Layers were to be put on a GPU.
    #[error("--gpu-layers puts layers on a GPU, and {0}; --gpu-layers 0 computes on the CPU")]
    Device(String),
    /// The library could not be started.
    #[error("the inference library could not be started: {0}")]
    Library(String),
}

impl LoadError {
    /// The code to end with.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::File(GgufError::Read { .. }) => Exit::Unread,
            Self::File(_) | Self::Model { .. } | Self::Template { .. } => Exit::Model,
            Self::Memory(_) => Exit::Memory,
            Self::Processor(_) => Exit::Processor,
            Self::Device(_) => Exit::Device,
            Self::Library(_) => Exit::Internal,
        }
    }
}

/// How a model is run.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Tokens one request may use.
    pub context: u32,
    /// Requests decoded at the same time.
    pub slots: u32,
    /// Tokens one decode may carry.
    pub batch: u32,
    /// Threads that compute.
    pub threads: u32,
}

/// A loaded model.
#[derive(Debug)]
pub struct Loaded {
    /// The library, started.
    pub backend: LlamaBackend,
    /// The weights.
    pub model: Arc<LlamaModel>,
    /// How it is run.
    pub shape: Shape,
}

/// Loads the model of `args`; `progress` hears how far it is, from 0 to 1.
///
/// # Errors
/// With a sentence, and the code to end with.
pub fn load(
    args: &ServeArgs,
    complaints: &Complaints,
    mut progress: impl FnMut(f32) + 'static,
) -> Result<Loaded, LoadError> {
    check_processor()?;
    let header = gguf::check(&args.model)?;
    let shape = shape(args, &header);
    // Before the arithmetic: it is another one on the CPU.
    let gpu_layers = gpu_layers(args, &Backends::now())?;
    if gpu_layers == 0 {
        check_memory(args, &header, shape)?;
    }
    let backend = LlamaBackend::init().map_err(|it| LoadError::Library(it.to_string()))?;
    let mut params = LlamaModelParams::default();
    if gpu_layers == 0 {
        // Without layers, too, the library would compute long prompts on whatever GPU it sees.
        params = params.with_devices(&[]).map_err(|it| LoadError::Library(it.to_string()))?;
    }
    let params = params
        .with_n_gpu_layers(gpu_layers.min(i32::MAX.cast_unsigned()))
        .with_use_mmap(!args.no_mmap)
        .with_progress_callback(move |it| {
            progress(it);
            true
        });
    let model = LlamaModel::load_from_file(&backend, &args.model, &params).map_err(|error| {
        let cause = complaints.cause().unwrap_or_else(|| error.to_string());
        if complaints.is_about_memory() {
            LoadError::Memory(cause)
        } else {
            LoadError::Model { path: args.model.clone(), cause }
        }
    })?;
    Ok(Loaded { backend, model: Arc::new(model), shape })
}

/// Makes the context that decodes: keys and values of all slots in one cache, so that slots can share a prompt's
/// and one micro-batch can mix them.
///
/// # Errors
/// When there is no memory for it.
pub fn decoding_context<'a>(
    loaded: &'a Loaded,
    args: &ServeArgs,
    complaints: &Complaints,
) -> Result<LlamaContext<'a>, LoadError> {
    let Shape { context, slots, batch, .. } = loaded.shape;
    let cache = match args.cache_type {
        CacheType::F16 => KvCacheType::F16,
        CacheType::Q8 => KvCacheType::Q8_0,
    };
    let params = base_params(loaded.shape.threads, batch)
        .with_n_ctx(NonZeroU32::new(context.saturating_mul(slots)))
        .with_n_seq_max(slots)
        .with_n_ubatch(batch.min(MICRO_BATCH_MAX))
        .with_kv_unified(true)
        .with_type_k(cache)
        .with_type_v(cache);
    new_context(loaded, params, complaints)
}

/// Makes the context that embeds: one decode holds several whole texts.
///
/// # Errors
/// When there is no memory for it.
pub fn embedding_context<'a>(
    loaded: &'a Loaded,
    complaints: &Complaints,
) -> Result<LlamaContext<'a>, LoadError> {
    let Shape { context, slots, batch, .. } = loaded.shape;
    // A text must fit into one micro-batch: its tokens attend to those after them, too.
    let batch = batch.max(context);
    let params = base_params(loaded.shape.threads, batch)
        .with_n_ctx(NonZeroU32::new(context.saturating_mul(slots).max(batch)))
        .with_n_seq_max(slots)
        .with_n_ubatch(batch)
        .with_kv_unified(true)
        .with_embeddings(true);
    new_context(loaded, params, complaints)
}

fn base_params(threads: u32, batch: u32) -> LlamaContextParams {
    let threads = i32::try_from(threads).unwrap_or(1);
    LlamaContextParams::default()
        .with_n_batch(batch)
        .with_n_threads(threads)
        .with_n_threads_batch(threads)
        .with_no_perf(true)
}

fn new_context<'a>(
    loaded: &'a Loaded,
    params: LlamaContextParams,
    complaints: &Complaints,
) -> Result<LlamaContext<'a>, LoadError> {
    loaded.model.new_context(&loaded.backend, params).map_err(|error| {
        let Shape { context, slots, .. } = loaded.shape;
        let cause = complaints.cause().unwrap_or_else(|| error.to_string());
        LoadError::Memory(format!(
            "the context of {slots} slots with {context} tokens each could not be made ({cause}); lower --context \
             or --slots"
        ))
    })
}

/// Layers to put on GPUs: as asked, else all where there is a GPU.
fn gpu_layers(args: &ServeArgs, backends: &Backends) -> Result<u32, LoadError> {
    match (args.gpu_layers, backends.lacks_gpu()) {
        // The library would quietly compute on the CPU.
        (Some(1..), Some(why)) => Err(LoadError::Device(why)),
        (None, Some(_)) => Ok(0),
        (layers, None) => Ok(layers.unwrap_or(u32::MAX)),
        (Some(0), Some(_)) => Ok(0),
    }
}

fn shape(args: &ServeArgs, header: &Header) -> Shape {
    let trained = u32::try_from(header.context_length).unwrap_or(u32::MAX);
    let trained = if trained == 0 { DEFAULT_CONTEXT_MAX } else { trained };
    let context = match args.context {
        Some(asked) if asked > trained => {
            tracing::warn!("--context {asked} is more than the model was trained for; using {trained}");
            trained
        }
        Some(asked) => asked,
        None => trained.min(DEFAULT_CONTEXT_MAX),
    };
    let batch = BATCH_MAX.min(context.saturating_mul(args.slots)).max(args.slots);
    let cores = std::thread::available_parallelism().map_or(1, |it| u32::try_from(it.get()).unwrap_or(1));
    let threads = if header.weights_bytes <= ONE_THREAD_BYTES_MAX { 1 } else { cores };
    Shape { context, slots: args.slots, batch, threads: args.threads.unwrap_or(threads) }
}

/// Linux hands out memory it does not have, and the process that uses it is killed later without a message; so the
/// arithmetic is done here.
fn check_memory(args: &ServeArgs, header: &Header, shape: Shape) -> Result<(), LoadError> {
    let Some(available) = memory::available_bytes() else { return Ok(()) };
    let bits = match args.cache_type {
        CacheType::F16 => 16,
        CacheType::Q8 => 9,
    };
    let tokens = u64::from(shape.context) * u64::from(shape.slots);
    let cache = header.cache_bytes_per_token(bits).saturating_mul(tokens);
    let need = header.weights_bytes.saturating_add(cache);
    if need > available {
        let (need, available) = (memory::readable(need), memory::readable(available));
        let (weights, cache) = (memory::readable(header.weights_bytes), memory::readable(cache));
        return Err(LoadError::Memory(format!(
            "{need} are needed ({weights} of weights, {cache} for {} slots with {} tokens each) and {available} are \
             available; lower --context or --slots, or use a smaller model",
            shape.slots, shape.context
        )));
    }
    Ok(())
}

/// The library is built for processors of the last ten years; on an older one it would die of an illegal
/// instruction.
fn check_processor() -> Result<(), LoadError> {
    #[cfg(target_arch = "x86_64")]
    for (name, present) in [
        ("AVX2", std::arch::is_x86_feature_detected!("avx2")),
        ("FMA", std::arch::is_x86_feature_detected!("fma")),
        ("F16C", std::arch::is_x86_feature_detected!("f16c")),
        ("BMI2", std::arch::is_x86_feature_detected!("bmi2")),
    ] {
        if !present {
            return Err(LoadError::Processor(name));
        }
    }
    Ok(())
}

/// The bytes of every token, in one allocation: looked up for each generated token.
#[derive(Debug)]
pub struct TokenBytes {
    bytes: Vec<u8>,
    ends: Vec<u32>,
    /// The names of control tokens that are marks in replies.
    marks: HashMap<i32, String>,
}

impl TokenBytes {
    /// Reads the model's vocabulary. Control tokens have no bytes.
    #[must_use]
    pub fn read(model: &LlamaModel) -> Self {
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        let mut marks = HashMap::new();
        for (token, piece) in model.tokens(false) {
            bytes.extend_from_slice(&piece);
            ends.push(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
            if piece.is_empty()
                && let Ok(name) = String::from_utf8(model.vocab().token_to_piece(token, true, None))
                && reading::is_mark(&name)
            {
                marks.insert(token.0, name);
            }
        }
        Self { bytes, ends, marks }
    }

    /// The name of a control token that is a mark in replies; empty for any other.
    #[must_use]
    pub fn mark(&self, token: LlamaToken) -> &str {
        self.marks.get(&token.0).map_or("", String::as_str)
    }

    /// The bytes of `token`.
    #[must_use]
    pub fn of(&self, token: LlamaToken) -> &[u8] {
        let Ok(index) = usize::try_from(token.0) else { return &[] };
        let start = if index == 0 { 0 } else { self.ends.get(index - 1).map_or(0, |it| *it as usize) };
        let end = self.ends.get(index).map_or(start, |it| *it as usize);
        self.bytes.get(start..end).unwrap_or(&[])
    }

    /// How many tokens there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.ends.len()
    }
}
