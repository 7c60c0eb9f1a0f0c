//! Logs to stderr, as text for people or as JSON for collectors. Whoever logs never waits for stderr's reader.

mod queue;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt;
use std::panic::PanicHookInfo;
use std::sync::OnceLock;
use std::time::Duration;

use clap::ValueEnum;
use dedi_domain::plural::count;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::registry::Registry;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

use self::queue::LogQueue;
use crate::print;

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

/// The log of this process once it was started.
static QUEUE: OnceLock<LogQueue> = OnceLock::new();
/// Longest wait at the end for lines that are not written yet: their reader may have stopped.
const FLUSH_WAIT: Duration = Duration::from_secs(1);

/// Starts logging with a filter such as `info` or `dedi_gateway=debug,info`. Panics are told there too.
pub(crate) fn start(filter: &str, format: LogFormat) -> Result<(), String> {
    let filter = parse(filter)?;
    let note = match format {
        LogFormat::Text => note_text,
        LogFormat::Json => note_json,
    };
    let failed = |err: &dyn std::fmt::Display| format!("logging could not be started: {err}");
    let queue = LogQueue::start(std::io::stderr(), note).map_err(|err| failed(&err))?;
    let queue = QUEUE.get_or_init(|| queue);
    // Its own errors would go to the same stderr, and wait there.
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(queue.clone())
        .log_internal_errors(false);
    let started = match format {
        LogFormat::Text => lines
            .with_target(false)
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
            .try_init(),
        LogFormat::Json => lines.json().try_init(),
    };
    started.map_err(|err| failed(&err))?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// Says a sentence that is not of the log, after what was logged before.
pub(crate) fn say(sentence: &str) {
    match QUEUE.get() {
        Some(queue) => queue.push(format!("{sentence}\n").into_bytes()),
        None => print::say(sentence),
    }
}

/// Waits for a moment until what was logged is written.
pub(crate) fn finish() {
    if let Some(queue) = QUEUE.get() {
        queue.flush(FLUSH_WAIT);
    }
}

/// Adds the count of lines that could not be written to what a scrape reads.
pub(crate) fn register_metrics(registry: &mut Registry) {
    registry.register_collector(Box::new(Dropped));
}

/// The name of that metric.
pub(crate) const DROPPED: &str = "dedi_log_lines_dropped_total";

#[derive(Debug)]
struct Dropped;

impl Collector for Dropped {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let n = ConstCounter::new(QUEUE.get().map_or(0, LogQueue::n_dropped));
        let help = "Log lines that could not be written, or came faster than they could be";
        // The format says that a counter's name ends so.
        let name = DROPPED.strip_suffix("_total").unwrap_or(DROPPED);
        n.encode(encoder.encode_descriptor(name, help, None, n.metric_type())?)
    }
}

/// The standard hook writes to stderr itself, and waits for whoever reads that.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let what = panic.payload_as_str().unwrap_or("(no text)");
    let at = panic.location().map_or_else(String::new, |it| format!(" at {it}"));
    let backtrace = Backtrace::capture();
    // Where none was asked for, its text is a sentence about that.
    if backtrace.status() == BacktraceStatus::Captured {
        tracing::error!("panicked{at}: {what}\n{backtrace}");
    } else {
        tracing::error!("panicked{at}: {what}");
    }
}

const WHY_DROPPED: &str = "stderr could not be written, or was not read fast enough";

fn note_text(n: u64) -> String {
    format!("{}  WARN dropped {}: {WHY_DROPPED}\n", time(), count(n, "log line"))
}

fn note_json(n: u64) -> String {
    let message = format!("dropped {}: {WHY_DROPPED}", count(n, "log line"));
    let line = serde_json::json!({"timestamp": time(), "level": "WARN", "fields": {"message": message}, "target": "dedi"});
    format!("{line}\n")
}

/// Now, as the other lines show it.
fn time() -> String {
    let mut text = String::new();
    let _none = SystemTime.format_time(&mut Writer::new(&mut text));
    text
}
