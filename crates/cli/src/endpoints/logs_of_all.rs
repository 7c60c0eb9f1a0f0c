//! `logs --follow` of all replicas at once, each line with its replica in front where there is more than one. Replicas
//! that are launched meanwhile are followed from their first line on; it ends when none is left.

use std::collections::BTreeSet;
use std::time::Duration;

use dedi_api::{List, ReplicaInfo};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until};

use super::log::{Log, Piece};
use super::one::path_of;
use crate::client::encoded;
use crate::client_error::ClientError;
use crate::console::Console;
use crate::context::Context;
use crate::error::Result;
use crate::patience::Patience;
use crate::render::short;

/// Between two looks for new replicas.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Whether there was a replica to follow; where there was none, nothing was printed.
pub(super) async fn follow(
    id: &str,
    path: &str,
    tail: Option<u32>,
    context: &Context,
    console: &mut Console,
) -> Result<bool> {
    let mut seen = BTreeSet::new();
    let mut reading = FuturesUnordered::new();
    let mut patience = Patience::new();
    let mut is_first_look = true;
    let mut look_at = Instant::now();
    loop {
        if Instant::now() >= look_at {
            match unseen(id, &seen, context).await {
                Ok(replicas) if is_first_look && replicas.is_empty() => return Ok(false),
                Ok(replicas) => {
                    patience.answered();
                    for replica in replicas {
                        let mut query = vec![format!("replica={}", encoded(&replica))];
                        query.extend(tail.filter(|_| is_first_look).map(|it| format!("tail={it}")));
                        match Log::open(path, query, true, context).await {
                            Ok(log) => {
                                if !is_first_look {
                                    console.say(&format!("{} was launched", short(&replica)));
                                }
                                seen.insert(replica.clone());
                                reading.push(next_of(replica, log));
                            }
                            // Not launched yet, or gone.
                            Err(err) if err.is_not_found() => {}
                            Err(err) => patience.bear(err, console)?,
                        }
                    }
                    if reading.is_empty() && !seen.is_empty() {
                        console.say(&format!(
                            "All replicas have ended. See whether another will be launched with \
                             `dedi endpoints why {id}`."
                        ));
                        return Ok(true);
                    }
                    is_first_look = false;
                }
                Err(err) if is_first_look => return Err(err.into()),
                Err(err) => patience.bear(err, console)?,
            }
            look_at = Instant::now() + LOOK_EVERY;
        }
        tokio::select! {
            Some((replica, log, piece)) = reading.next() => {
                let shows_replica = seen.len() > 1;
                match piece? {
                    Piece::Text(text) => {
                        console.foreign(&prefixed(&text, &replica, shows_replica))?;
                        reading.push(next_of(replica, log));
                    }
                    Piece::Notice(notice) => {
                        console.say(&format!("{}: {notice}", short(&replica)));
                        reading.push(next_of(replica, log));
                    }
                    Piece::End(end) => {
                        console.foreign(&prefixed(&end.rest, &replica, shows_replica))?;
                        console.say(&format!("{} has ended", short(&replica)));
                        // What takes its place may be there already.
                        look_at = Instant::now();
                    }
                }
            }
            () = sleep_until(look_at) => {}
        }
    }
}

async fn next_of(replica: String, mut log: Log<'_>) -> (String, Log<'_>, Result<Piece>) {
    let piece = log.next().await;
    (replica, log, piece)
}

async fn unseen(
    id: &str,
    seen: &BTreeSet<String>,
    context: &Context,
) -> std::result::Result<Vec<String>, ClientError> {
    let list: List<ReplicaInfo> = context.client.get(&format!("{}/replicas", path_of(id))).await?;
    let is_over = |it: &ReplicaInfo| matches!(it.phase.as_str(), "exited" | "lost");
    Ok(list
        .data
        .into_iter()
        .filter(|it| !is_over(it))
        .map(|it| it.id)
        .filter(|it| !seen.contains(it))
        .collect())
}

/// Each line with its replica in front, and every line ended.
fn prefixed(text: &str, replica: &str, shows_replica: bool) -> String {
    if !shows_replica {
        return text.to_owned();
    }
    text.lines().map(|it| format!("{} | {it}\n", short(replica))).collect()
}
