//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Serves one GGUF model over HTTP in OpenAI's dialect.
///
/// Exit codes: 0 stopped as asked, 1 internal fault, 2 wrong command line, 3 model file unusable, 4 not enough
/// memory, 5 cannot listen, 6 processor too old for this build, 7 decoding keeps failing, 8 model file unreadable,
/// 9 layers wanted on a GPU and none can be used.
#[derive(Debug, Parser)]
#[command(
    name = "dedi-engine",
    version,
    args_conflicts_with_subcommands = true,
    arg_required_else_help = true
)]
pub struct Cli {
    /// List the back-ends of this build and the devices that each sees now, then end.
    #[arg(long, value_enum, value_name = "FORMAT", num_args = 0..=1, require_equals = true, default_missing_value = "text")]
    pub backends: Option<Listing>,
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Form of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Listing {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Load a model and serve requests until stopped.
    Serve(ServeArgs),
    /// Read a form of replies from standard input, compile it within bounds and say whether it can be followed. The engine
    /// asks itself.
    #[command(hide = true)]
    TryForm,
    /// Print the prompt that a chat template makes of a chat.
    Render(RenderArgs),
}

/// What `render` takes.
#[derive(Clone, Debug, Args)]
pub struct RenderArgs {
    /// The chat template, a file with Jinja.
    pub template: PathBuf,
    /// The body of a chat request, a JSON file; `-` reads it from the standard input.
    pub chat: PathBuf,
    /// Text of the token that prompts begin with.
    #[arg(long, default_value = "")]
    pub bos: String,
    /// Text of the token that ends a reply.
    #[arg(long, default_value = "")]
    pub eos: String,
}

/// What `serve` takes.
#[derive(Clone, Debug, Args)]
pub struct ServeArgs {
    /// The model, a GGUF file.
    #[arg(long)]
    pub model: PathBuf,
    /// Listen on this unix socket; an old one in its place is removed.
    #[arg(long, required_unless_present = "listen", conflicts_with = "listen")]
    pub socket: Option<PathBuf>,
    /// Listen on this address.
    #[arg(long)]
    pub listen: Option<SocketAddr>,
    /// The name requests and answers carry; by default the file's name.
    #[arg(long)]
    pub model_name: Option<String>,
    /// Tokens one request may use, prompt and reply together; by default what the model was trained for, at
    /// most 8192.
    #[arg(long, value_parser = clap::value_parser!(u32).range(8..))]
    pub context: Option<u32>,
    /// Requests decoded at the same time.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub slots: u32,
    /// Requests that may wait for a slot; more are answered 503.
    #[arg(long, default_value_t = 64)]
    pub queue: usize,
    /// Threads to compute with; by default the cores this process may use, and one for a tiny model.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=512))]
    pub threads: Option<u32>,
    /// Layers to put on GPUs; by default all when built with a GPU back-end, else none.
    #[arg(long)]
    pub gpu_layers: Option<u32>,
    /// Form of the cached keys and values.
    #[arg(long, value_enum, default_value_t = CacheType::F16)]
    pub cache_type: CacheType,
    /// Answer /v1/embeddings instead of generating text.
    #[arg(long)]
    pub embedding: bool,
    /// Seconds running requests get to finish after SIGTERM.
    #[arg(long, default_value_t = 30)]
    pub drain_secs: u64,
    /// Read the model into memory instead of mapping the file.
    #[arg(long)]
    pub no_mmap: bool,
    /// Echoed by /health, so that a supervisor knows the process it started.
    #[arg(long, env = "DEDI_NONCE", hide_env_values = true)]
    pub nonce: Option<String>,
}

impl ServeArgs {
    /// The name requests and answers carry.
    #[must_use]
    pub fn served_name(&self) -> String {
        self.model_name.clone().unwrap_or_else(|| {
            self.model.file_stem().map_or_else(|| "model".to_owned(), |it| it.to_string_lossy().into_owned())
        })
    }

    /// How long running requests get after SIGTERM.
    #[must_use]
    pub fn drain(&self) -> Duration {
        Duration::from_secs(self.drain_secs)
    }
}

/// Form of the cached keys and values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CacheType {
    /// 16-bit floats.
    F16,
    /// 8-bit blocks: about half the memory.
    #[value(name = "q8_0")]
    Q8,
}
