//! Lists: a row for each endpoint, hardware, event, replica, model or key.

use std::collections::BTreeMap;

use dedi_api::{AuditEvent, EndpointEvent, Hardware, KeyInfo, Model, ReplicaInfo, UsageReport};

use crate::resolve::Item;

use super::layout::{Cell, one_line, table};
use super::units::{moment, short};

/// The list, as it is sorted.
pub(crate) fn endpoints(list: &[Item], colours: bool) -> String {
    let rows: Vec<Vec<Cell>> = list
        .iter()
        .map(|Item { listed: it, display_name }| {
            vec![
                Cell::plain(&it.id),
                Cell::plain(display_name.as_deref().unwrap_or("-")),
                Cell::plain(&it.name),
                Cell::state(&it.state, colours),
                Cell::plain(&it.model),
                Cell::plain(&moment(&it.created_at)),
            ]
        })
        .collect();
    table(&["ID", "DISPLAY NAME", "NAME", "STATE", "MODEL", "CREATED"], &rows)
}

/// Hardware configurations; what is free and who has the rest where the server says so.
pub(crate) fn hardware(list: &[Hardware]) -> String {
    let rows: Vec<Vec<Cell>> = list
        .iter()
        .map(|it| {
            let usage = it.usage.as_ref();
            vec![
                Cell::plain(&it.id),
                Cell::plain(&it.specs.gpu_type),
                Cell::plain(&it.specs.gpu_count.to_string()),
                Cell::plain(&format!("{} GB", it.specs.gpu_memory)),
                Cell::plain(&format!("${:.2}", it.pricing.cents_per_minute / 100.0)),
                Cell::plain(it.availability.as_ref().map_or("-", |it| it.status.as_str())),
                Cell::plain(&usage.map_or("-".to_owned(), |it| format!("{} of {}", it.free, it.devices))),
                Cell::plain(&usage.map_or(String::new(), |it| it.used_by.join(", "))),
            ]
        })
        .collect();
    table(&["HARDWARE", "DEVICE", "COUNT", "MEMORY EACH", "PER MINUTE", "NOW", "FREE", "USED BY"], &rows)
}

/// What keeps replicas from hardware, a line for each kind of device.
pub(crate) fn unusable(list: &[Hardware]) -> Vec<String> {
    let kind_of = |it: &Hardware| it.id.split_once("x_").map_or(it.id.clone(), |it| it.1.to_owned());
    let mut lines: Vec<String> = list
        .iter()
        .filter_map(|it| Some((kind_of(it), it.usage.as_ref()?.unusable.as_ref()?)))
        .map(|(kind, why)| format!("{} can't be used, {}", one_line(&kind), one_line(why)))
        .collect();
    lines.dedup();
    lines
}

/// What happened, oldest first as the server sends it, each with the id that `--after` takes.
pub(crate) fn events(list: &[EndpointEvent]) -> String {
    let width = list.iter().map(|it| it.id.to_string().len()).max().unwrap_or(0);
    list.iter()
        .map(|it| {
            let replica = it.replica.as_deref().map(|it| format!(" [{}]", short(it))).unwrap_or_default();
            format!(
                "{:>width$}  {}  {:<16}  {}{replica}\n",
                it.id,
                moment(&it.at),
                one_line(&it.kind),
                one_line(&it.message)
            )
        })
        .collect()
}

/// Replicas with what they hold and do.
pub(crate) fn replicas(list: &[ReplicaInfo]) -> String {
    let rows: Vec<Vec<Cell>> = list
        .iter()
        .map(|it| {
            vec![
                Cell::plain(&it.id),
                Cell::plain(&it.attempt.to_string()),
                Cell::plain(&it.phase),
                Cell::plain(&it.in_flight.to_string()),
                Cell::plain(&it.devices.join(",")),
                Cell::plain(&it.ready_at.as_deref().map_or("-".to_owned(), moment)),
            ]
        })
        .collect();
    table(&["REPLICA", "ATTEMPT", "PHASE", "IN FLIGHT", "DEVICES", "READY SINCE"], &rows)
}

/// Models, as the server sorts them.
pub(crate) fn models(list: &[Model]) -> String {
    let rows: Vec<Vec<Cell>> = list
        .iter()
        .map(|it| {
            vec![
                Cell::plain(&it.id),
                Cell::plain(&it.kind),
                Cell::plain(&it.context_length.to_string()),
                Cell::plain(if it.license.is_empty() { "-" } else { &it.license }),
            ]
        })
        .collect();
    table(&["MODEL", "TYPE", "CONTEXT", "LICENSE"], &rows)
}

/// Keys without their secrets.
pub(crate) fn keys(list: &[KeyInfo]) -> String {
    let rows: Vec<Vec<Cell>> = list
        .iter()
        .map(|it| {
            vec![
                Cell::plain(&it.id),
                Cell::plain(if it.name.is_empty() { "-" } else { &it.name }),
                Cell::plain(&it.owner),
                Cell::plain(&it.role),
                Cell::plain(&moment(&it.created_at)),
                Cell::plain(&it.expires_at.as_deref().map_or("never".to_owned(), moment)),
                Cell::plain(&it.last_used_at.as_deref().map_or("never".to_owned(), moment)),
                Cell::plain(&it.models.as_ref().map_or("all".to_owned(), |it| it.join(", "))),
            ]
        })
        .collect();
    table(&["ID", "NAME", "OWNER", "ROLE", "CREATED", "EXPIRES", "LAST USED", "MODELS"], &rows)
}

/// The audit log, oldest first, each with the id that `--after` takes.
pub(crate) fn audit(list: &[AuditEvent]) -> String {
    let rows: Vec<Vec<Cell>> = list
        .iter()
        .map(|it| {
            vec![
                Cell::plain(&it.id.to_string()),
                Cell::plain(&moment(&it.at)),
                Cell::plain(it.owner.as_deref().unwrap_or("-")),
                Cell::plain(it.by_key.as_deref().unwrap_or("server")),
                Cell::plain(&it.action),
                Cell::plain(&it.target),
                Cell::plain(&it.message),
            ]
        })
        .collect();
    table(&["ENTRY", "AT", "OWNER", "BY KEY", "ACTION", "TARGET", "MESSAGE"], &rows)
}

/// What each endpoint ran, newest first, and the sum; with the display names that are known, by id.
pub(crate) fn usage(report: &UsageReport, names: &BTreeMap<String, String>) -> String {
    let numbers = |minutes: f64, cents: f64| {
        [Cell::plain(&format!("{minutes:.2}")), Cell::plain(&format!("${:.2}", cents / 100.0))]
    };
    let mut rows: Vec<Vec<Cell>> = report
        .data
        .iter()
        .map(|it| {
            let name = names.get(&it.endpoint).map_or("-", String::as_str);
            let about = [&it.name, name, &it.hardware, &it.replicas.to_string()].map(Cell::plain);
            let now = Cell::plain(if it.running { "running" } else { "-" });
            about.into_iter().chain(numbers(it.minutes, it.cents)).chain([now]).collect()
        })
        .collect();
    let about = ["total", "", "", ""].map(Cell::plain);
    rows.push(about.into_iter().chain(numbers(report.total_minutes, report.total_cents)).collect());
    table(&["ENDPOINT", "DISPLAY NAME", "HARDWARE", "REPLICAS", "MINUTES", "COST", "NOW"], &rows)
}
