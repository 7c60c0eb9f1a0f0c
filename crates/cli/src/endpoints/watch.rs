//! `list --watch`: the list, then each endpoint that changes, until Ctrl-C. The server may be restarted meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use dedi_api::List;
use tokio::time::sleep;

use crate::client_error::ClientError;
use crate::console::Console;
use crate::context::Context;
use crate::error::{CliError, Exit, Result};
use crate::patience::Patience;
use crate::render::{self, Shape};
use crate::resolve::{Item, add_names};

/// Between two looks.
const POLL: Duration = Duration::from_secs(1);

pub(super) async fn endpoints(path: &str, context: &Context, console: &mut Console) -> Result {
    let interrupted = console.interrupted();
    tokio::select! {
        ended = follow(path, context, console) => ended,
        () = interrupted => Err(CliError::silent(Exit::Interrupted)),
    }
}

async fn follow(path: &str, context: &Context, console: &mut Console) -> Result {
    let mut known: BTreeMap<String, Item> = BTreeMap::new();
    let mut shape = None;
    let mut patience = Patience::new();
    loop {
        match look(path, &known, context).await {
            Ok(list) => {
                patience.answered();
                let changed = changes(&list, &known);
                print(&changed, &mut shape, context, console)?;
                known = list.into_iter().map(|it| (it.listed.id.clone(), it)).collect();
            }
            Err(err) => patience.bear(err, console)?,
        }
        sleep(POLL).await;
    }
}

/// The list with its display names, those that are known already not asked for again.
async fn look(
    path: &str,
    known: &BTreeMap<String, Item>,
    context: &Context,
) -> std::result::Result<Vec<Item>, ClientError> {
    let mut list: Vec<Item> = context.client.get::<List<Item>>(path).await?.data;
    if context.is_text() {
        for item in &mut list {
            if item.display_name.is_none() {
                item.display_name = known.get(&item.listed.id).and_then(|it| it.display_name.clone());
            }
        }
        add_names(&context.client, &mut list).await?;
    }
    sort(&mut list);
    Ok(list)
}

/// Said where there is no endpoint.
pub(super) const NONE: &str =
    "No endpoints. Create one with `dedi endpoints create --model MODEL --hardware HARDWARE`.";

/// Newest first.
pub(super) fn sort(list: &mut [Item]) {
    list.sort_by(|a, b| b.listed.created_at.cmp(&a.listed.created_at));
}

/// What is new, different or gone.
fn changes(list: &[Item], known: &BTreeMap<String, Item>) -> Vec<Item> {
    let changed = list.iter().filter(|it| known.get(&it.listed.id) != Some(*it)).cloned();
    let gone = known.values().filter(|old| list.iter().all(|it| it.listed.id != old.listed.id));
    let gone = gone.map(|it| {
        let mut it = it.clone();
        it.listed.state = "deleted".to_owned();
        it
    });
    changed.chain(gone).collect()
}

/// The first list with its heads, later rows below in the same columns.
fn print(changed: &[Item], shape: &mut Option<Shape>, context: &Context, console: &mut Console) -> Result {
    if !context.is_text() {
        return changed.iter().try_for_each(|it| context.print_next(console, it, &it.listed.id));
    }
    let view = context.view(console);
    match shape {
        Some(shape) => console.data(&shape.rows(&render::endpoint_rows(changed, &view))),
        None if changed.is_empty() => {
            console.say(NONE);
            *shape = Some(render::endpoints(&[], &view).shape(&view));
            Ok(())
        }
        None => {
            let table = render::endpoints(changed, &view);
            console.data(&table.render(&view))?;
            *shape = Some(table.shape(&view));
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(id: &str, state: &str) -> Item {
        serde_json::from_value(serde_json::json!({
            "object": "endpoint", "id": id, "name": "o/m-1", "model": "m", "type": "dedicated", "owner": "o",
            "state": state, "created_at": "2026-01-02T00:00:00Z"
        }))
        .unwrap()
    }

    #[test]
    fn watch_prints_changes_only_and_deletions_once() {
        let known: BTreeMap<_, _> =
            [item("a", "STARTED"), item("b", "STARTING")].map(|it| (it.listed.id.clone(), it)).into();
        let told = |list: &[Item]| -> Vec<String> {
            changes(list, &known).iter().map(|it| format!("{} {}", it.listed.id, it.listed.state)).collect()
        };
        assert_eq!(
            told(&[item("b", "STARTED"), item("c", "PENDING")]),
            ["b STARTED", "c PENDING", "a deleted"]
        );
        assert!(told(&[item("a", "STARTED"), item("b", "STARTING")]).is_empty());
    }
}
