//! What an operator can set, and why each default is what it is.

use std::collections::BTreeMap;
use std::time::Duration;

use dedi_domain::autoscale::Policy;
use dedi_domain::engine::MemoryModel;
use dedi_domain::failure::BackoffSettings;
use dedi_domain::fit::{MemoryNeed, ModelFacts, Serving};
use dedi_domain::reconcile::Settings;
use dedi_domain::{HardwareId, Inventory, Setting, check_settings};
use serde::{Deserialize, Serialize};

/// Most cents that a minute of one device may cost: no slip of the hand below it makes a bill that nobody notices.
const CENTS_MAX: f64 = 1e6;
/// Longest name of a zone.
const ZONE_BYTES_MAX: usize = 64;
/// Seconds.
const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;
const WEEK: u64 = 7 * DAY;

/// The control plane's part of the config file. What each number may be
/// stands in [`ControlConfig::numbers`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, documented::DocumentedFields)]
#[serde(deny_unknown_fields, default)]
pub struct ControlConfig {
    /// Zones this host is in; a create may name one of them.
    pub zones: Vec<String>,
    /// Price of one device in cents per minute, by kind: `"nvidia_h100_80gb_sxm" = 5.5`.
    pub cents_per_device_minute: BTreeMap<String, f64>,
    /// Tokens of context per request, where the model allows as many.
    pub context_tokens: u32,
    /// Requests one replica generates at the same time.
    pub slots: u32,
    /// Gigabytes of host memory that a replica on graphics cards may use for each of them, besides its weights; 0 is no
    /// limit. Counts where the host can limit memory.
    pub gpu_host_memory_gb: u32,
    /// Minutes without inference until an endpoint stops, when a create does not say; 0 is never.
    pub inactive_timeout_minutes: u32,
    /// The same when a create says null; 0 is never.
    pub null_inactive_timeout_minutes: u32,
    /// Seconds that load must stay lower before a replica goes.
    pub scale_down_delay_secs: u32,
    /// Longest wait for running requests on a replica that is taken out.
    pub drain_timeout_secs: u32,
    /// Longest wait without progress for a launched replica to become ready.
    pub startup_deadline_secs: u32,
    /// Longest a ready replica may leave probes unanswered.
    pub unresponsive_limit_secs: u32,
    /// Requests in a row that got no byte within the gateway's limits, while nobody else got one either, after
    /// which a replica is replaced.
    pub unanswered_requests_max: u32,
    /// Longest wait for device memory after the processes are gone.
    pub release_wait_secs: u32,
    /// Replicas that may exist above `max_replicas` while old ones drain.
    pub surge_replicas: u32,
    /// Wait after a first failure; it doubles with each further one.
    pub backoff_base_secs: u32,
    /// Longest such wait.
    pub backoff_cap_secs: u32,
    /// Failures within the window that make an endpoint ERROR.
    pub failures_max: u32,
    /// The window those are counted in.
    pub failure_window_secs: u32,
    /// A replica that was ready this long forgives the failures before it.
    pub healthy_after_secs: u32,
    /// Milliseconds between looks when nothing nudges.
    pub tick_millis: u64,
    /// A load report older than this counts as none.
    pub load_report_age_max_secs: u32,
    /// Longest pause while a request body arrives.
    pub body_idle_timeout_ms: u64,
    /// Longest time for a whole request body.
    pub body_timeout_ms: u64,
    /// Most endpoints a tenant may have.
    pub endpoints_per_owner_max: u32,
    /// Most keys a tenant may have.
    pub keys_per_owner_max: u32,
    /// Days an endpoint's events are kept.
    pub events_kept_days: u32,
    /// Days the running times of replicas are kept after their end.
    pub usage_kept_days: u32,
    /// Hours the answer to an `Idempotency-Key` is kept.
    pub idempotency_kept_hours: u32,
    /// Seconds in which a create is taken for a repetition when the answer to the same one was lost; 0 is never.
    pub lost_reply_window_secs: u32,
    /// Days entries of the audit log are kept.
    pub audit_kept_days: u32,
    /// Takes the host's clock for right also where it is before the last record: for one start, after that record was
    /// written under a wrong clock.
    pub clock_is_right: bool,
}

impl Default for ControlConfig {
    fn default() -> Self {
        Self {
            // One host is one zone; any name would do.
            zones: vec!["local".to_owned()],
            // Your own hardware has no list price.
            cents_per_device_minute: BTreeMap::new(),
            // Holds a long chat; a cache of this size leaves small devices room for the weights.
            context_tokens: 4_096,
            // Decoding four sequences together costs little more than one.
            slots: 4,
            // A driver's context and buffers take one or two; what is mapped of the weights gives way when there is need,
            // so the limit is met only by an engine that leaks.
            gpu_host_memory_gb: 8,
            // The contract's default.
            inactive_timeout_minutes: 60,
            // The contract says null is off, though the v2 command line sends it when its flag is absent.
            null_inactive_timeout_minutes: 0,
            // Longer than most models take to start on a warm disk.
            scale_down_delay_secs: 60,
            // Most answers take less; a longer one ends with an explicit error.
            drain_timeout_secs: 30,
            // A large model from a cold network disk; progress extends it.
            startup_deadline_secs: 1_800,
            // Three missed probes of a busy engine are no fault, half a minute of them is.
            unresponsive_limit_secs: 30,
            // One may be the request's fault, or two; three in a row and nothing for anybody else is the engine's.
            unanswered_requests_max: 3,
            // Drivers give memory back within seconds; a process that still holds it will not.
            release_wait_secs: 30,
            // One replica may be started before its predecessor has drained.
            surge_replicas: 1,
            // A crash at start shows within a second.
            backoff_base_secs: 1,
            // Five minutes: long enough to be cheap, short enough to notice a repair.
            backoff_cap_secs: 300,
            // Five within ten minutes is no coincidence.
            failures_max: 5,
            failure_window_secs: 600,
            // Ten minutes of serving show that the start was sound.
            healthy_after_secs: 600,
            // A look costs about a millisecond; people notice half a second.
            tick_millis: 500,
            // Several missed reports: the gateway is gone, not late.
            load_report_age_max_secs: 10,
            // The gateway's: a client that sends slower is stuck or hostile.
            body_idle_timeout_ms: 30_000,
            body_timeout_ms: 120_000,
            // Far above real use; bounds what a runaway script can store.
            endpoints_per_owner_max: 100,
            keys_per_owner_max: 50,
            // A quarter: what somebody asks about has usually happened since.
            events_kept_days: 90,
            // A year and the month in which its last bill is looked at.
            usage_kept_days: 400,
            // SDKs and job runners retry within a day.
            idempotency_kept_hours: 24,
            // SDKs repeat within eight seconds, two times; people who want two of the same take longer.
            lost_reply_window_secs: 10,
            // Who did what is asked for at the end of a year, and after a key was found in the wrong hands.
            audit_kept_days: 400,
            // An expired key must not come to life because somebody set the clock back.
            clock_is_right: false,
        }
    }
}

impl ControlConfig {
    /// What is wrong with the values, as a sentence; types are checked before.
    pub fn check(&self) -> Result<(), String> {
        check_settings("control", &self.numbers(), &Self::default().numbers())?;
        let odd_zone = |it: &&String| {
            it.is_empty()
                || it.len() > ZONE_BYTES_MAX
                || it.contains(|it: char| it.is_whitespace() || it.is_control())
        };
        if let Some(zone) = self.zones.iter().find(odd_zone) {
            return Err(format!(
                "control.zones: {zone:?} is no zone's name: one has 1 to {ZONE_BYTES_MAX} bytes and no spaces, such as \"local\""
            ));
        }
        let odd_price = |it: &(&String, &f64)| !(0.0..=CENTS_MAX).contains(it.1);
        if let Some((kind, price)) = self.cents_per_device_minute.iter().find(odd_price) {
            return Err(format!(
                "control.cents_per_device_minute.{kind} must be 0 to {CENTS_MAX} cents, got {price}"
            ));
        }
        Ok(())
    }

    /// What each number may be. The upper ends are far beyond real use: a number above one is a slip of the hand.
    pub fn numbers(&self) -> [Setting; 28] {
        let of = u64::from;
        [
            // Less than a chat's template takes is no use; the engine counts those of all slots in 32 bits.
            ("context_tokens", of(self.context_tokens), 128..=16_000_000),
            // What the engine can do.
            ("slots", of(self.slots), 1..=256),
            ("gpu_host_memory_gb", of(self.gpu_host_memory_gb), 0..=1_048_576),
            // A year, as for a create.
            ("inactive_timeout_minutes", of(self.inactive_timeout_minutes), 0..=527_040),
            ("null_inactive_timeout_minutes", of(self.null_inactive_timeout_minutes), 0..=527_040),
            ("scale_down_delay_secs", of(self.scale_down_delay_secs), 0..=WEEK),
            ("drain_timeout_secs", of(self.drain_timeout_secs), 0..=DAY),
            ("startup_deadline_secs", of(self.startup_deadline_secs), 1..=WEEK),
            ("unresponsive_limit_secs", of(self.unresponsive_limit_secs), 1..=DAY),
            ("unanswered_requests_max", of(self.unanswered_requests_max), 1..=1_000_000),
            ("release_wait_secs", of(self.release_wait_secs), 0..=DAY),
            ("surge_replicas", of(self.surge_replicas), 0..=1_000),
            ("backoff_base_secs", of(self.backoff_base_secs), 0..=DAY),
            ("backoff_cap_secs", of(self.backoff_cap_secs), 0..=WEEK),
            ("failures_max", of(self.failures_max), 1..=1_000_000),
            // With none, no failure would ever be counted.
            ("failure_window_secs", of(self.failure_window_secs), 1..=30 * DAY),
            ("healthy_after_secs", of(self.healthy_after_secs), 0..=30 * DAY),
            // What ends by itself, an engine above all, is noticed at a tick.
            ("tick_millis", self.tick_millis, 10..=60_000),
            ("load_report_age_max_secs", of(self.load_report_age_max_secs), 1..=3_600),
            ("body_idle_timeout_ms", self.body_idle_timeout_ms, 10..=HOUR * 1_000),
            ("body_timeout_ms", self.body_timeout_ms, 10..=DAY * 1_000),
            ("endpoints_per_owner_max", of(self.endpoints_per_owner_max), 0..=1_000_000),
            ("keys_per_owner_max", of(self.keys_per_owner_max), 0..=1_000_000),
            ("events_kept_days", of(self.events_kept_days), 1..=36_500),
            ("usage_kept_days", of(self.usage_kept_days), 1..=36_500),
            ("idempotency_kept_hours", of(self.idempotency_kept_hours), 0..=8_760),
            ("lost_reply_window_secs", of(self.lost_reply_window_secs), 0..=HOUR),
            ("audit_kept_days", of(self.audit_kept_days), 1..=36_500),
        ]
    }

    pub(crate) fn settings(&self) -> Settings {
        let secs = |it: u32| Duration::from_secs(u64::from(it));
        Settings {
            drain_timeout: secs(self.drain_timeout_secs),
            startup_deadline: secs(self.startup_deadline_secs),
            unresponsive_limit: secs(self.unresponsive_limit_secs),
            unanswered_max: self.unanswered_requests_max,
            release_wait: secs(self.release_wait_secs),
            surge: self.surge_replicas,
            backoff: BackoffSettings {
                base: secs(self.backoff_base_secs),
                cap: secs(self.backoff_cap_secs),
                failures_max: self.failures_max,
                window: secs(self.failure_window_secs),
                healthy_after: secs(self.healthy_after_secs),
            },
        }
    }

    pub(crate) fn policy(&self) -> Policy {
        Policy {
            slots_per_replica: self.slots,
            scale_down_delay: Duration::from_secs(u64::from(self.scale_down_delay_secs)),
        }
    }

    /// How a model is run here: the same numbers for the plan, the placement and the launch.
    pub(crate) fn serving(&self, facts: Option<&ModelFacts>) -> Serving {
        let most = facts.map_or(u32::MAX, |it| it.context_tokens_max.max(1));
        Serving { context_tokens: self.context_tokens.min(most), slots: self.slots }
    }

    /// How a model is run here, and the memory that takes.
    pub(crate) fn need(&self, facts: &ModelFacts) -> (Serving, MemoryNeed) {
        let serving = self.serving(Some(facts));
        (serving, MemoryModel::Computed.need(facts, serving))
    }

    /// Cents per minute of a replica, by today's config. A name of hardware that leaves out what goes without saying
    /// costs what it means.
    pub(crate) fn price(&self, inventory: &Inventory, hardware: &HardwareId) -> f64 {
        let meant = inventory.config(hardware).map(|it| it.id);
        self.cents_per_minute(meant.as_ref().unwrap_or(hardware))
    }

    /// Price of a replica on this hardware, by today's config.
    pub(crate) fn cents_per_minute(&self, hardware: &HardwareId) -> f64 {
        let each = self.cents_per_device_minute.get(hardware.kind_name()).copied().unwrap_or(0.0);
        each * f64::from(hardware.count())
    }

    /// The inactivity timeout of an endpoint with so many replicas at least, whose requests ask for none.
    pub(crate) fn default_timeout(&self, min_replicas: u32) -> Option<u32> {
        dedi_domain::idle::default_timeout(Self::timeout(self.inactive_timeout_minutes), min_replicas)
    }

    pub(crate) fn timeout(minutes: u32) -> Option<u32> {
        (minutes > 0).then_some(minutes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(set: impl FnOnce(&mut ControlConfig)) -> String {
        let mut config = ControlConfig::default();
        set(&mut config);
        config.check().unwrap_err()
    }

    #[test]
    fn a_value_that_no_endpoint_could_live_with_is_named_with_what_would_work() {
        ControlConfig::default().check().unwrap();
        let slots = refused(|it| it.slots = 1_000_000);
        assert_eq!(slots, "control.slots must be 1 to 256, got 1000000, by default it is 4");
        let tick = refused(|it| it.tick_millis = 9_999_999_999);
        assert!(tick.starts_with("control.tick_millis must be 10 to 60000, got 9999999999"), "{tick}");
        assert!(refused(|it| it.context_tokens = 1).starts_with("control.context_tokens must be 128 to "));
        let deadline = refused(|it| it.startup_deadline_secs = 0);
        assert!(deadline.starts_with("control.startup_deadline_secs must be 1 to "), "{deadline}");
        for zone in ["", "zone a", "a\nb"] {
            let zones = refused(|it| it.zones = vec!["local".to_owned(), zone.to_owned()]);
            assert!(zones.starts_with(&format!("control.zones: {zone:?} is no zone's name")), "{zones}");
        }
        for price in [1e300, -1.0, f64::NAN, f64::INFINITY] {
            let price =
                refused(|it| it.cents_per_device_minute = BTreeMap::from([("cpu_8gb".to_owned(), price)]));
            assert!(
                price.starts_with("control.cents_per_device_minute.cpu_8gb must be 0 to 1000000 cents, got "),
                "{price}"
            );
        }
    }

    #[test]
    fn what_may_be_off_may_be_0() {
        let config = ControlConfig {
            inactive_timeout_minutes: 0,
            gpu_host_memory_gb: 0,
            backoff_base_secs: 0,
            backoff_cap_secs: 0,
            lost_reply_window_secs: 0,
            zones: Vec::new(),
            ..ControlConfig::default()
        };
        config.check().unwrap();
    }
}
