//! The six things a client does to an endpoint, each noted in the ledger with what the server said to it.

use serde_json::{Value, json};

use crate::client::{Client, Reply};
use crate::ledger::{Ledger, Wish};

/// Replicas of a new endpoint.
const FIRST: i64 = 2;
/// After it was scaled up, and down.
const MORE: i64 = 3;
const FEWER: i64 = 1;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Operation {
    Create,
    ScaleUp,
    ScaleDown,
    Stop,
    Start,
    Delete,
}

impl Operation {
    /// In an order in which each one finds what it needs, and the last makes room for the first.
    pub(crate) const ALL: [Self; 6] =
        [Self::Create, Self::ScaleUp, Self::ScaleDown, Self::Stop, Self::Start, Self::Delete];

    /// What the endpoint is wanted to be afterwards.
    pub(crate) fn wish(self, now: Wish) -> Wish {
        match self {
            Self::Create => Wish::Run(FIRST),
            Self::ScaleUp => resized(now, MORE),
            Self::ScaleDown => resized(now, FEWER),
            Self::Stop => Wish::Stopped(now.size()),
            Self::Start => Wish::Run(now.size()),
            Self::Delete => Wish::Gone,
        }
    }

    /// Does it to the endpoint of that tag. An answer other than the contract's is the error.
    pub(crate) fn request(self, client: &Client, ledger: &mut Ledger, tag: &str) -> Result<(), String> {
        let wish = self.wish(ledger.wish(tag));
        let path = format!("/endpoints/{}", ledger.entry(tag).id.as_deref().unwrap_or("?"));
        let size = |n: i64| json!({"autoscaling": {"min_replicas": n, "max_replicas": n}});
        let reply = match self {
            Self::Create => client.post("/endpoints", &body(tag, FIRST)),
            Self::ScaleUp => client.patch(&path, &size(MORE)),
            Self::ScaleDown => client.patch(&path, &size(FEWER)),
            Self::Stop => client.patch(&path, &json!({"state": "STOPPED"})),
            Self::Start => client.patch(&path, &json!({"state": "STARTED"})),
            Self::Delete => client.delete(&path),
        };
        note(ledger, tag, wish, reply).map_err(|why| format!("{self:?}: {why}"))
    }
}

/// Creates an endpoint with one replica, beside those that the operations are done to.
pub(crate) fn create_bystander(client: &Client, ledger: &mut Ledger, tag: &str) -> Result<(), String> {
    ledger.open(tag);
    note(ledger, tag, Wish::Run(1), client.post("/endpoints", &body(tag, 1)))
}

fn resized(now: Wish, size: i64) -> Wish {
    match now {
        Wish::Gone => Wish::Gone,
        Wish::Run(_) => Wish::Run(size),
        Wish::Stopped(_) => Wish::Stopped(size),
    }
}

fn body(tag: &str, size: i64) -> Value {
    json!({"model": model(tag), "hardware": "1x_cpu_1gb", "display_name": tag,
        "autoscaling": {"min_replicas": size, "max_replicas": size}})
}

/// How its engines behave: most do as they should, some leave their group or do not end when they are asked.
pub(crate) const MODELS: [&str; 4] = ["dedi/demo", "fake/fork.2", "fake/slow-load.60", "fake/ignore-term"];

fn model(tag: &str) -> &'static str {
    let n = tag.rsplit('-').next().and_then(|it| it.parse::<usize>().ok());
    match n.unwrap_or(0) % 8 {
        1 | 4 => MODELS[1],
        2 => MODELS[2],
        3 => MODELS[3],
        _ => MODELS[0],
    }
}

fn note(ledger: &mut Ledger, tag: &str, wish: Wish, reply: Reply) -> Result<(), String> {
    match reply {
        Reply::Answer(200 | 204, body) => {
            ledger.acknowledged(tag, wish, body["id"].as_str());
            Ok(())
        }
        Reply::Answer(status, body) => Err(format!("{tag} was answered with {status} {body}")),
        Reply::None => {
            ledger.unknown(tag, wish);
            Ok(())
        }
    }
}
