//! From what a person calls an endpoint to its id: the id, the name, the display name, or a unique prefix.

use std::collections::{BTreeMap, BTreeSet};

use dedi_api::{DedicatedEndpoint, List, ListEndpoint};
use serde::{Deserialize, Serialize};

use crate::client::{Client, encoded};
use crate::client_error::ClientError;
use crate::error::{CliError, Result};
use crate::ids::is_uuid;

/// How loosely a text may name an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Match {
    /// A unique prefix is enough.
    Prefix,
    /// Only a whole id, name or display name: for what can't be undone.
    Whole,
}

/// A list item; the display name where the server lists it.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub(crate) struct Item {
    #[serde(flatten)]
    pub listed: ListEndpoint,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
}

/// Endpoints whose display names are asked for one by one, at most.
pub(crate) const LOOK_UPS_MAX: usize = 50;

/// The id of the endpoint that `text` names. Costs no request when it is a whole id.
pub(crate) async fn resolve(client: &Client, text: &str, how: Match) -> Result<String> {
    look_up(client, text, how).await?.or_explain(text, how)
}

/// As [`resolve`], but `text` itself where no endpoint is called so: it may be one that is gone.
pub(crate) async fn resolve_or_gone(client: &Client, text: &str) -> Result<String> {
    match look_up(client, text, Match::Prefix).await? {
        Picked::None => Ok(text.to_owned()),
        picked @ (Picked::One(_) | Picked::Many(_)) => picked.or_explain(text, Match::Prefix),
    }
}

async fn look_up(client: &Client, text: &str, how: Match) -> Result<Picked> {
    if is_id(text) {
        return Ok(Picked::One(text.to_owned()));
    }
    let mut items: Vec<Item> = client.get::<List<Item>>("/endpoints").await?.data;
    match pick(&items, text, how) {
        Picked::None => {}
        picked @ (Picked::One(_) | Picked::Many(_)) => return Ok(picked),
    }
    for item in items.iter_mut().filter(|it| it.display_name.is_none()).take(LOOK_UPS_MAX) {
        let path = format!("/endpoints/{}", encoded(&item.listed.id));
        match client.get::<DedicatedEndpoint>(&path).await {
            Ok(whole) => item.display_name = Some(whole.display_name),
            Err(err) if err.is_not_found() => {} // deleted since it was listed
            Err(err) => return Err(err.into()),
        }
    }
    Ok(pick(&items, text, how))
}

/// Adds the display names that the server does not list, for as many as are asked for one by one.
pub(crate) async fn add_names(client: &Client, items: &mut [Item]) -> std::result::Result<(), ClientError> {
    for item in items.iter_mut().filter(|it| it.display_name.is_none()).take(LOOK_UPS_MAX) {
        item.display_name = display_name(client, &item.listed.id).await?;
    }
    Ok(())
}

/// The display names of those of `ids` that are still there, for as many as are asked for one by one.
pub(crate) async fn names_of(client: &Client, ids: BTreeSet<&str>) -> Result<BTreeMap<String, String>> {
    let mut names = BTreeMap::new();
    for id in ids.into_iter().take(LOOK_UPS_MAX) {
        if let Some(name) = display_name(client, id).await? {
            names.insert(id.to_owned(), name);
        }
    }
    Ok(names)
}

/// One endpoint's display name; none where the server does not show the endpoint, such as one that is gone.
async fn display_name(client: &Client, id: &str) -> std::result::Result<Option<String>, ClientError> {
    match client.get::<DedicatedEndpoint>(&format!("/endpoints/{}", encoded(id))).await {
        Ok(whole) => Ok(Some(whole.display_name)),
        Err(ClientError::Refused { .. }) => Ok(None),
        Err(err) => Err(err),
    }
}

/// `endpoint-` and a whole uuid.
pub(crate) fn is_id(text: &str) -> bool {
    text.strip_prefix("endpoint-").is_some_and(is_uuid)
}

enum Picked {
    None,
    One(String),
    Many(Vec<String>),
}

impl Picked {
    fn or_explain(self, text: &str, how: Match) -> Result<String> {
        match self {
            Self::One(id) => Ok(id),
            Self::None => {
                let what = match how {
                    Match::Prefix => "no endpoint has this id, name or display name, or one with this prefix",
                    Match::Whole => "no endpoint has exactly this id, name or display name",
                };
                Err(CliError::failed(
                    format!("`{text}`: {what}"),
                    Some("list the endpoints with `dedi endpoints list`".to_owned()),
                ))
            }
            Self::Many(ids) => Err(CliError::failed(
                format!("`{text}` matches {} endpoints", ids.len()),
                Some(format!("use an id: {}", ids.join(", "))),
            )),
        }
    }
}

/// The first way of naming that matches anything decides, so that an exact name beats a longer one's beginning.
fn pick(items: &[Item], text: &str, how: Match) -> Picked {
    let whole: [fn(&Item, &str) -> bool; 2] = [
        |it, text| it.listed.id == text || it.listed.name == text,
        |it, text| it.display_name.as_deref() == Some(text),
    ];
    let beginning: [fn(&Item, &str) -> bool; 2] = [
        |it, text| {
            it.listed.id.starts_with(text) || it.listed.id.trim_start_matches("endpoint-").starts_with(text)
        },
        |it, text| {
            let name = it.listed.name.as_str();
            let without_owner =
                name.strip_prefix(it.listed.owner.as_str()).map(|it| it.trim_start_matches('/'));
            name.starts_with(text)
                || without_owner.is_some_and(|it| it.starts_with(text))
                || it.display_name.as_deref().is_some_and(|it| it.starts_with(text))
        },
    ];
    let ways = match how {
        Match::Whole => whole.to_vec(),
        Match::Prefix => [whole, beginning].concat(),
    };
    if text.is_empty() {
        return Picked::None;
    }
    for way in ways {
        let found: Vec<String> =
            items.iter().filter(|it| way(it, text)).map(|it| it.listed.id.clone()).collect();
        match found.as_slice() {
            [] => {}
            [one] => return Picked::One(one.clone()),
            [_, _, ..] => return Picked::Many(found),
        }
    }
    Picked::None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(n: u32, name: &str, display_name: Option<&str>) -> Item {
        serde_json::from_value(serde_json::json!({
            "object": "endpoint", "id": format!("endpoint-{n:08}-2222-4333-8444-555555555555"), "name": name,
            "display_name": display_name, "model": "dedi/demo", "type": "dedicated", "owner": "local",
            "state": "STARTED", "created_at": "2026-11-21T07:00:00.123Z"
        }))
        .unwrap()
    }

    fn found(items: &[Item], text: &str, how: Match) -> String {
        match pick(items, text, how) {
            Picked::None => "none".to_owned(),
            Picked::One(id) => id[9..17].trim_start_matches('0').to_owned(),
            Picked::Many(ids) => format!("{} of them", ids.len()),
        }
    }

    #[test]
    fn resolve_accepts_ids_names_and_unique_prefixes() {
        let items = [
            item(1, "local/dedi/demo-a32b82a1", Some("demo")),
            item(2, "local/dedi/demo-b32b82a1", Some("demo two")),
        ];
        let say = |text| found(&items, text, Match::Prefix);
        assert_eq!(say("demo"), "1"); // a whole display name beats the beginning of another
        assert_eq!(say("demo t"), "2");
        assert_eq!(say("00000002"), "2");
        assert_eq!(say("dedi/demo-b"), "2");
        assert_eq!(say("local/dedi/demo-a32b82a1"), "1");
        assert_eq!(say("dedi"), "2 of them");
        assert_eq!(say("nothing"), "none");
        assert_eq!(say(""), "none");
    }

    #[test]
    fn resolve_takes_no_prefix_for_delete() {
        let items = [item(1, "local/dedi/demo-a32b82a1", Some("demo"))];
        assert_eq!(found(&items, "dem", Match::Whole), "none");
        assert_eq!(found(&items, "demo", Match::Whole), "1");
    }

    #[test]
    fn resolve_skips_the_list_for_a_whole_id_only() {
        assert!(is_id("endpoint-11111111-2222-4333-8444-555555555555"));
        assert!(!is_id("endpoint-11111111") && !is_id("11111111-2222-4333-8444-555555555555"));
    }
}
