//! Lists: a row for each endpoint, hardware, event, replica, model or key. Ages where people read, times in a wide view.

use std::collections::BTreeMap;

use dedi_api::{AuditEvent, EndpointEvent, Hardware, KeyInfo, Model, ReplicaInfo, UsageReport};

use super::layout::{Cell, Column, Table, fixed, ids, one_line, optional, steady, text};
use super::units::{age, moment, short, until};
use super::view::View;
use crate::resolve::Item;

const fn aged(view: &View, wide: &'static str) -> Column {
    if view.is_wide { fixed(wide) } else { steady("AGE", "119m".len()) }
}

/// The list, as it is sorted.
pub(crate) fn endpoints(list: &[Item], view: &View) -> Table {
    let columns = [
        ids("ID"),
        text("DISPLAY NAME"),
        optional("NAME"),
        steady("STATE", "STOPPING".len()),
        text("MODEL"),
        aged(view, "CREATED"),
    ];
    let owner = view.is_wide.then(|| fixed("OWNER"));
    Table::new(columns.into_iter().chain(owner).collect::<Vec<_>>(), endpoint_rows(list, view))
}

/// The rows of that list.
pub(crate) fn endpoint_rows(list: &[Item], view: &View) -> Vec<Vec<Cell>> {
    let row = |Item { listed: it, display_name }: &Item| {
        vec![
            Cell::plain(&it.id),
            Cell::plain(display_name.as_deref().unwrap_or("-")),
            Cell::plain(&it.name),
            Cell::state(&it.state, view),
            Cell::plain(&it.model),
            Cell::plain(&age(&it.created_at, view)),
            Cell::plain(&it.owner),
        ]
    };
    list.iter().map(row).collect()
}

/// Hardware configurations; what is free and who has the rest where the server says so.
pub(crate) fn hardware(list: &[Hardware], view: &View) -> String {
    // Availability is said for a model only.
    let says_now = view.is_wide || list.iter().any(|it| it.availability.is_some());
    let wide = |it: Column| view.is_wide.then_some(it);
    let columns = [
        Some(fixed("HARDWARE")),
        wide(fixed("DEVICE")),
        wide(fixed("COUNT")),
        Some(fixed("MEMORY EACH")),
        Some(optional("PER MINUTE")),
        says_now.then(|| fixed("NOW")),
        Some(fixed("FREE")),
        Some(text("USED BY")),
    ];
    let rows = list
        .iter()
        .map(|it| {
            let usage = it.usage.as_ref();
            let cells = [
                Cell::plain(&it.id),
                Cell::plain(&it.specs.gpu_type),
                Cell::plain(&it.specs.gpu_count.to_string()),
                Cell::plain(&format!("{} GB", it.specs.gpu_memory)),
                Cell::plain(&format!("${:.2}", it.pricing.cents_per_minute / 100.0)),
                Cell::plain(it.availability.as_ref().map_or("-", |it| it.status.as_str())),
                Cell::plain(&usage.map_or("-".to_owned(), |it| format!("{} of {}", it.free, it.devices))),
                Cell::plain(&usage.map_or(String::new(), |it| it.used_by.join(", "))),
            ];
            cells
                .into_iter()
                .zip(&columns)
                .filter_map(|(cell, column)| column.is_some().then_some(cell))
                .collect()
        })
        .collect();
    Table::new(columns.into_iter().flatten().collect::<Vec<_>>(), rows).render(view)
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
pub(crate) fn events(list: &[EndpointEvent], view: &View) -> String {
    let columns = [fixed("ID"), aged(view, "AT"), fixed("EVENT"), ids("REPLICA"), text("MESSAGE")];
    let rows = list
        .iter()
        .map(|it| {
            vec![
                Cell::plain(&it.id.to_string()),
                Cell::plain(&age(&it.at, view)),
                Cell::plain(&it.kind),
                Cell::plain(it.replica.as_deref().unwrap_or("-")),
                Cell::plain(&it.message),
            ]
        })
        .collect();
    Table::new(columns, rows).render(view)
}

/// One event as a line, for those that are followed: they happen now, so the time says more than an age.
pub(crate) fn event_line(it: &EndpointEvent) -> String {
    let replica = it.replica.as_deref().map(|it| format!(" [{}]", short(it))).unwrap_or_default();
    format!("{}  {}  {:<16}  {}{replica}\n", it.id, moment(&it.at), one_line(&it.kind), one_line(&it.message))
}

/// Replicas with what they hold and do.
pub(crate) fn replicas(list: &[ReplicaInfo], view: &View) -> String {
    let ready = if view.is_wide { "READY SINCE" } else { "READY FOR" };
    let columns =
        [ids("REPLICA"), fixed("ATTEMPT"), fixed("PHASE"), fixed("IN FLIGHT"), fixed(ready), ids("DEVICES")];
    let rows = list
        .iter()
        .map(|it| {
            vec![
                Cell::plain(&it.id),
                Cell::plain(&it.attempt.to_string()),
                Cell::plain(&it.phase),
                Cell::plain(&it.in_flight.to_string()),
                Cell::plain(&it.ready_at.as_deref().map_or("-".to_owned(), |it| age(it, view))),
                Cell::plain(&it.devices.join(",")),
            ]
        })
        .collect();
    Table::new(columns, rows).render(view)
}

/// Models, as the server sorts them.
pub(crate) fn models(list: &[Model], view: &View) -> String {
    let columns = [text("MODEL"), fixed("TYPE"), fixed("CONTEXT"), optional("LICENSE")];
    let rows = list
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
    Table::new(columns, rows).render(view)
}

/// Keys without their secrets.
pub(crate) fn keys(list: &[KeyInfo], view: &View) -> String {
    let columns = [
        fixed("ID"),
        text("NAME"),
        text("OWNER"),
        fixed("ROLE"),
        aged(view, "CREATED"),
        fixed("EXPIRES"),
        fixed("LAST USED"),
        text("MODELS"),
    ];
    let rows = list
        .iter()
        .map(|it| {
            let used = it.last_used_at.as_deref().map_or("never".to_owned(), |at| {
                let age = age(at, view);
                if view.is_wide { age } else { format!("{age} ago") }
            });
            vec![
                Cell::plain(&it.id),
                Cell::plain(if it.name.is_empty() { "-" } else { &it.name }),
                Cell::plain(&it.owner),
                Cell::plain(&it.role),
                Cell::plain(&age(&it.created_at, view)),
                Cell::plain(&it.expires_at.as_deref().map_or("never".to_owned(), |it| until(it, view))),
                Cell::plain(&used),
                Cell::plain(&it.models.as_ref().map_or("all".to_owned(), |it| it.join(", "))),
            ]
        })
        .collect();
    Table::new(columns, rows).render(view)
}

/// The audit log, oldest first, each with the id that `--after` takes.
pub(crate) fn audit(list: &[AuditEvent], view: &View) -> String {
    let columns = [
        fixed("ENTRY"),
        aged(view, "AT"),
        optional("OWNER"),
        fixed("BY KEY"),
        fixed("ACTION"),
        ids("TARGET"),
        text("MESSAGE"),
    ];
    let rows = list
        .iter()
        .map(|it| {
            vec![
                Cell::plain(&it.id.to_string()),
                Cell::plain(&age(&it.at, view)),
                Cell::plain(it.owner.as_deref().unwrap_or("-")),
                Cell::plain(it.by_key.as_deref().unwrap_or("server")),
                Cell::plain(&it.action),
                Cell::plain(&it.target),
                Cell::plain(&it.message),
            ]
        })
        .collect();
    Table::new(columns, rows).render(view)
}

/// What each endpoint ran, newest first, and the sum; with the display names that are known, by id.
pub(crate) fn usage(report: &UsageReport, names: &BTreeMap<String, String>, view: &View) -> String {
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
    let columns = [
        text("ENDPOINT"),
        optional("DISPLAY NAME"),
        fixed("HARDWARE"),
        fixed("REPLICAS"),
        fixed("MINUTES"),
        fixed("COST"),
        fixed("NOW"),
    ];
    Table::new(columns, rows).render(view)
}
