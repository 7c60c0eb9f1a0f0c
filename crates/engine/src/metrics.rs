//! What the engine counts, under names that other engines use: requests that run and wait, tokens read and written.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::step::Step;

/// What is counted.
#[derive(Debug)]
pub struct Metrics {
    /// Requests that can be decoded at the same time.
    pub slots: Gauge,
    /// Sequences that hold a slot.
    pub running: Gauge,
    /// Requests that wait for one.
    pub waiting: Gauge,
    /// Prompt tokens decoded.
    pub prompt_tokens: Counter,
    /// Prompt tokens found in a slot's cache.
    pub cached_tokens: Counter,
    /// Tokens generated.
    pub generated_tokens: Counter,
    /// Sequences that ended by themselves.
    pub completed: Counter,
    /// Sequences whose client went away.
    pub cancelled: Counter,
    /// Sequences that failed.
    pub failed: Counter,
    /// Calls of the library's decode.
    pub decodes: Counter,
    /// The step that the device is at.
    pub step: Step,
    /// All but the step, as a scrape reads it.
    pub registry: Registry,
}

impl Default for Metrics {
    fn default() -> Self {
        let (gauge, counter) = (Gauge::default, Counter::default);
        let sequences = Family::<[(&str, &str); 1], Counter>::default();
        let sequence = |outcome| sequences.get_or_create_owned(&[("outcome", outcome)]);
        let mut metrics = Self {
            slots: gauge(),
            running: gauge(),
            waiting: gauge(),
            prompt_tokens: counter(),
            cached_tokens: counter(),
            generated_tokens: counter(),
            completed: sequence("completed"),
            cancelled: sequence("cancelled"),
            failed: sequence("failed"),
            decodes: counter(),
            step: Step::default(),
            registry: Registry::with_prefix("dedi_engine"),
        };
        let registry = &mut metrics.registry;
        registry.register("slots", "Requests that can be decoded at the same time", metrics.slots.clone());
        registry.register("requests_running", "Sequences that hold a slot", metrics.running.clone());
        registry.register("requests_waiting", "Requests that wait for a slot", metrics.waiting.clone());
        registry.register("prompt_tokens", "Prompt tokens decoded", metrics.prompt_tokens.clone());
        registry.register(
            "prompt_tokens_cached",
            "Prompt tokens found in a cache and not decoded",
            metrics.cached_tokens.clone(),
        );
        registry.register("generation_tokens", "Tokens generated", metrics.generated_tokens.clone());
        registry.register("decodes", "Batches decoded", metrics.decodes.clone());
        registry.register("sequences", "Sequences by how they ended", sequences);
        metrics
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_called_what_the_engines_spec_says() {
        let names = dedi_domain::EngineSpec::embedded("dedi-engine".into()).metrics.unwrap();
        let names =
            [names.running, names.waiting, names.prompt_tokens, names.cached_tokens, names.generated_tokens];
        let mut text = String::new();
        prometheus_client::encoding::prometheus_text::encode(&mut text, &Metrics::default().registry)
            .unwrap();
        for name in names.map(Option::unwrap) {
            assert!(text.contains(&format!("\n{name} 0\n")), "{name} is not in {text}");
        }
    }
}
