//! Installs each new route table and reports the load to the control plane: at once when it changes, and at least once
//! per interval.

use std::time::Duration;

use dedi_domain::{LoadReport, RouteTable};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::config::ms;
use crate::route::Fleet;

/// Reports are not made more often than this, however fast requests come and go.
const REPORT_GAP: Duration = Duration::from_millis(10);

/// Runs until `cancel`, or until nobody publishes tables and the last stays.
pub(crate) async fn run(
    fleet: &Fleet,
    mut routes: watch::Receiver<RouteTable>,
    loads: &watch::Sender<LoadReport>,
    interval_ms: u64,
    cancel: CancellationToken,
) {
    let mut tick = interval(ms(interval_ms.max(1)));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut changes = fleet.changes();
    let mut published = true;
    loop {
        tokio::select! {
            biased;
            () = cancel.cancelled() => return,
            changed = routes.changed(), if published => match changed {
                Ok(()) => fleet.install(routes.borrow_and_update().clone()),
                Err(_closed) => published = false,
            },
            _ = changes.changed() => {}
            _ = tick.tick() => {}
        }
        changes.mark_unchanged();
        loads.send_replace(fleet.report());
        let next = Instant::now() + REPORT_GAP;
        tokio::select! {
            biased;
            () = cancel.cancelled() => return,
            // A new table is installed without delay.
            changed = routes.changed(), if published => {
                if changed.is_ok() {
                    routes.mark_changed();
                }
            }
            () = sleep_until(next) => {}
        }
    }
}
