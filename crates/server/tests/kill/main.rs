//! Kills real processes at every step of every operation and at random instants, starts the server again, and
//! audits what is left: nothing acknowledged is lost, nothing runs twice, nothing is left over, and nobody
//! else's process is touched. `DEDI_KILLS` is the number of cases, `DEDI_SEED` the seed.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test binary that prints a table"
)]

mod audit;
mod cases;
mod client;
mod dice;
mod down;
mod engines;
mod folders;
mod instants;
mod ledger;
mod life;
mod operation;
mod plane;
mod report;
mod snapshot;
mod strangers;
mod successor;
mod sweep;

use sweep::Sweep;

/// Cases of `make test`: each failpoint of each operation once, and about as many of any kind.
const KILLS: usize = 400;
/// Planes at a time. Most of a case is waiting, for processes and for looks.
const PLANES: usize = 4;

#[test]
fn nothing_is_lost_left_over_or_started_twice_wherever_somebody_is_killed() {
    let number = |name: &str, usual: usize| {
        std::env::var(name).map_or(usual, |it| it.parse().unwrap_or_else(|_| panic!("{name}={it}")))
    };
    let seed = number("DEDI_SEED", 1) as u64;
    folders::clear_of_the_dead();
    let n_wrong = Sweep::new(number("DEDI_KILLS", KILLS), seed).run(number("DEDI_PLANES", PLANES));
    assert_eq!(n_wrong, 0, "cases went wrong; seed {seed}");
}
