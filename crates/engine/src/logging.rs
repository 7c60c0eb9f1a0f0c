//! Logs to stderr, and the inference library's last complaints kept for the sentence the engine ends with.

use std::collections::VecDeque;
use std::fmt;
use std::io::IsTerminal;
use std::sync::Arc;

use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

const COMPLAINTS_MAX: usize = 8;
const LIBRARY: &str = "llama-cpp-2";

/// The inference library's last warnings and errors, newest last.
#[derive(Clone, Debug, Default)]
pub struct Complaints(Arc<Mutex<VecDeque<String>>>);

impl Complaints {
    /// The last complaint with more detail than that loading failed.
    #[must_use]
    pub fn cause(&self) -> Option<String> {
        let kept = self.0.lock();
        let telling = |it: &&String| !it.contains("failed to load model");
        kept.iter().rev().find(telling).or_else(|| kept.back()).cloned()
    }

    /// Whether one of them is about memory.
    #[must_use]
    pub fn is_about_memory(&self) -> bool {
        let kept = self.0.lock();
        kept.iter().any(|it| {
            let it = it.to_lowercase();
            ["out of memory", "failed to allocate", "unable to allocate", "bad_alloc", "allocation failed"]
                .iter()
                .any(|sign| it.contains(sign))
        })
    }

    fn keep(&self, text: String) {
        let mut kept = self.0.lock();
        if kept.len() == COMPLAINTS_MAX {
            kept.pop_front();
        }
        kept.push_back(text);
    }
}

impl<S: Subscriber> Layer<S> for Complaints {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == LIBRARY && *event.metadata().level() <= Level::WARN {
            let mut message = Message::default();
            event.record(&mut message);
            self.keep(message.0);
        }
    }
}

#[derive(Default)]
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}").trim().to_owned();
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.trim().clone_into(&mut self.0);
        }
    }
}

/// Starts logging. `DEDI_LOG` takes tracing's filter syntax; of the library only errors are shown by default.
#[must_use]
pub fn init() -> Complaints {
    let complaints = Complaints::default();
    let filter = EnvFilter::try_from_env("DEDI_LOG")
        .unwrap_or_else(|_unset_or_wrong| EnvFilter::new(format!("info,{LIBRARY}=error")));
    tracing_subscriber::registry()
        .with(complaints.clone().with_filter(tracing_subscriber::filter::LevelFilter::WARN))
        .with(
            tracing_subscriber::fmt::layer()
                .with_writer(std::io::stderr)
                // Told on the same stderr, which panics where that is closed.
                .log_internal_errors(false)
                .with_ansi(std::io::stderr().is_terminal())
                .with_target(false)
                .with_filter(filter),
        )
        .init();
    llama_cpp_2::send_logs_to_tracing(llama_cpp_2::LogOptions::default());
    complaints
}
