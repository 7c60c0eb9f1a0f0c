//! Actions and calls as short lines of a trace.

use dedi_domain::Action;

use crate::world::handle::Call;

pub(crate) fn action(it: &Action) -> String {
    match it {
        Action::Reserve { endpoint, devices } => {
            let devices: Vec<String> = devices.iter().map(ToString::to_string).collect();
            format!("reserve {} for {}", devices.join("+"), short(endpoint))
        }
        Action::Spawn { replica } => format!("spawn {}", short(replica)),
        Action::MarkSeen { replica } => format!("mark seen {}", short(replica)),
        Action::MarkReady { replica } => format!("mark ready {}", short(replica)),
        Action::Fail { replica, cause } => format!("fail {} ({cause:?})", short(replica)),
        Action::Drain { replica, reason } => format!("drain {} ({})", short(replica), reason.sentence()),
        Action::Stop { replica, reason, drain } => {
            format!("stop {} ({}; {drain:?})", short(replica), reason.sentence())
        }
        Action::Remove { replica, nonce, reason } => {
            format!("remove {} ({}; {})", short(replica), short(nonce), reason.sentence())
        }
        Action::MarkGone { replica } => format!("mark gone {}", short(replica)),
        Action::Release { replica, leftover_bytes, unmeasured } => {
            let on: String = unmeasured.iter().map(|it| format!(", {it} not measured")).collect();
            format!("release {} with {} GB left{on}", short(replica), leftover_bytes >> 30)
        }
        Action::StopIdle { endpoint, generation } => {
            format!("stop idle {} at generation {generation}", short(endpoint))
        }
        Action::Publish { endpoint, from, state, generation } => {
            format!("show {} {from} -> {state} at generation {generation}", short(endpoint))
        }
        Action::Erase { endpoint } => format!("erase {}", short(endpoint)),
    }
}

pub(crate) fn call(it: &Call) -> String {
    match it {
        Call::Reserve { endpoint, ids, devices, .. } => {
            let devices: Vec<String> = devices.iter().map(ToString::to_string).collect();
            format!("reserve {} for {} of {}", devices.join("+"), short(ids.0), short(endpoint))
        }
        Call::Ensure { replica, .. } => format!("spawn {}", short(replica)),
        Call::Remove { replica, nonce } => format!("remove {} ({})", short(replica), short(nonce)),
        Call::MarkSeen { replica } => format!("mark seen {}", short(replica)),
        Call::MarkReady { replica } => format!("mark ready {}", short(replica)),
        Call::Fail { replica, cause, .. } => format!("fail {} ({cause:?})", short(replica)),
        Call::Drain { replica, reason } => format!("drain {} ({})", short(replica), reason.sentence()),
        Call::Stop { replica, reason, .. } => format!("stop {} ({})", short(replica), reason.sentence()),
        Call::MarkGone { replica } => format!("mark gone {}", short(replica)),
        Call::Release { replica, is_all_back } => {
            format!("release {}{}", short(replica), if *is_all_back { "" } else { ", not all of it back" })
        }
        Call::StopIdle { endpoint, generation } => {
            format!("stop idle {} at generation {generation}", short(endpoint))
        }
        Call::Publish { endpoint, from, state, generation } => {
            format!("show {} {from} -> {state} at generation {generation}", short(endpoint))
        }
        Call::Erase { endpoint } => format!("erase {}", short(endpoint)),
    }
}

/// The first characters of an id tell it apart within one life.
fn short(id: impl ToString) -> String {
    let text = id.to_string();
    let end = text.find('-').map_or(text.len(), |at| at + 5).min(text.len());
    text[..end].to_owned()
}
