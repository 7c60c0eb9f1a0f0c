//! A deterministic simulator of the whole protocol around `dedi_domain::decide`: the real decision, carried out by the
//! control plane's own code, between models of the store, the runtime, the devices, the gateway and the users, under
//! seeded faults.
//!
//! A life is one seed: a storm of faults and requests, checked after every event, then a quiet part in which
//! what is wanted must come about and stay. The models are also contracts: the heads of `store`, `runtime`,
//! `gateway` and `clock` say what the real ones must keep for the checks to mean anything.

mod bug;
mod check;
mod life;
mod rng;
mod sweep;
mod trace;
mod world;

pub use bug::Bug;
pub use sweep::{Found, Sweep, sweep};
pub use trace::Violation;

/// How a life went.
#[derive(Clone, Copy, Debug, Default)]
pub struct Life {
    /// Decisions made.
    pub n_decisions: u64,
    /// Actions begun.
    pub n_actions: u64,
}

/// Lives the life of `seed`, with a bug planted or without.
pub fn live(seed: u64, bug: Option<Bug>) -> Result<Life, Box<Violation>> {
    run(seed, bug, false).0
}

/// Lives it again and tells everything that happens in it.
pub fn tell(seed: u64, bug: Option<Bug>) -> (Result<Life, Box<Violation>>, Vec<String>) {
    run(seed, bug, true)
}

thread_local! {
    /// Deadlines need a timer to be set; nothing drives it, so none passes.
    static TIMERS: Option<tokio::runtime::Runtime> =
        tokio::runtime::Builder::new_current_thread().enable_time().build().ok();
}

fn run(seed: u64, bug: Option<Bug>, is_traced: bool) -> (Result<Life, Box<Violation>>, Vec<String>) {
    TIMERS.with(|timers| match timers {
        Some(timers) => {
            let _entered = timers.enter();
            run_on_timers(seed, bug, is_traced)
        }
        None => (trace::broken("sim", "there are no timers"), Vec::new()),
    })
}

fn run_on_timers(
    seed: u64,
    bug: Option<Bug>,
    is_traced: bool,
) -> (Result<Life, Box<Violation>>, Vec<String>) {
    let Some(mut sim) = life::Sim::new(seed, bug, is_traced) else {
        return (trace::broken("sim", "the life can't be set up"), Vec::new());
    };
    let outcome = sim.storm().and_then(|()| sim.quiet());
    let life = Life { n_decisions: sim.n_decisions, n_actions: sim.n_actions };
    (outcome.map(|()| life), sim.trace.lines)
}
