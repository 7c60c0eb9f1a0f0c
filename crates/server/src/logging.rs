//! Logs to stderr, as text for people or as JSON for collectors.

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// One readable line.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What is wrong with a filter, as a sentence.
pub(crate) fn check(filter: &str) -> Result<(), String> {
    parse(filter).map(drop)
}

fn parse(filter: &str) -> Result<EnvFilter, String> {
    EnvFilter::try_new(filter).map_err(|err| {
        format!("log = {filter:?} is not a filter, such as `info` or `dedi_gateway=debug,info`: {err}")
    })
}

/// Starts logging with a filter such as `info` or `dedi_gateway=debug,info`.
pub(crate) fn start(filter: &str, format: LogFormat) -> Result<(), String> {
    let filter = parse(filter)?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Text => lines
            .with_target(false)
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
            .try_init(),
        LogFormat::Json => lines.json().try_init(),
    };
    started.map_err(|err| format!("logging could not be started: {err}"))
}
