//! A plan: whether a create would fit, with the arithmetic.

use dedi_api::EndpointPlan;

use super::layout::{block, one_line};
use super::units::{bytes, count};
use super::view::View;

/// What a create would do, with the arithmetic.
pub(crate) fn plan(it: &EndpointPlan, view: &View) -> String {
    let verdict = if it.fits { "yes" } else { "no" };
    let nearest = it.nearest_hardware.as_deref().filter(|_| !it.fits);
    let rows = [
        ("Model", one_line(&it.model)),
        ("Hardware", one_line(&it.hardware)),
        ("Fits", format!("{verdict} – {}", one_line(&it.message))),
        (
            "Needs",
            format!(
                "{} = weights {} + KV cache {} + compute {} + margin {}",
                bytes(it.needed_bytes),
                bytes(it.weights_bytes),
                bytes(it.kv_cache_bytes),
                bytes(it.compute_bytes),
                bytes(it.margin_bytes)
            ),
        ),
        ("Per device", format!("{} on each of {}", bytes(it.needed_bytes_per_device), it.devices_needed)),
        (
            "Free now",
            format!(
                "{} on {} of {}",
                bytes(it.available_bytes),
                it.devices_free,
                count(it.devices_needed, "device")
            ),
        ),
        (
            "Serves",
            format!("{} at once, {} tokens of context each", count(it.slots, "request"), it.context_tokens),
        ),
        ("When idle", one_line(&it.idle)),
        ("Would fit on", nearest.map(one_line).unwrap_or_default()),
    ];
    block(&rows, view)
}
