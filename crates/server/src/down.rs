//! `dedi down`: ends the server of a data folder, then every replica it left. What is wanted stays as it is, so
//! the next `dedi serve` starts the endpoints again.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

use dedi_control::DataPaths;
use dedi_control::store::{DataLock, Holder, LockError};
use dedi_domain::ReplicaPhase;
use dedi_runtime::Runtime;
use tokio::time::Instant;

use crate::config::Config;
use crate::paths::DataDir;
use crate::{admin, fail, serve};

/// Returns when nothing of the data folder runs any more but the replicas that are to be kept, or with 1 after
/// `timeout_secs`.
pub(crate) async fn down(
    data: &DataDir,
    config: &Config,
    timeout_secs: u64,
    keeps_replicas: bool,
) -> ExitCode {
    let deadline = Instant::now() + Duration::from_secs(timeout_secs);
    match stop_all(data, config, deadline, keeps_replicas).await {
        Ok(said) => {
            eprintln!("{said}");
            ExitCode::SUCCESS
        }
        Err(message) => fail(1, &message),
    }
}

async fn stop_all(
    data: &DataDir,
    config: &Config,
    deadline: Instant,
    keeps_replicas: bool,
) -> Result<String, String> {
    if !data.root().is_dir() {
        return Ok(format!("nothing to stop: there is no data folder {}", data.root().display()));
    }
    let left = deadline.saturating_duration_since(Instant::now());
    let had_server = admin::ask_to_stop(&data.admin_socket(), left)
        .await
        .map_err(|err| said_of_holder(data).map_or(err.clone(), |it| format!("{err}; the server is {it}")))?;
    // A server that still ends would start anew what is stopped here, and so would one that is started now.
    let folder = hold(data, deadline).await?;
    let server = if had_server { "the server has stopped" } else { "no server was running" };
    if keeps_replicas {
        return Ok(format!("{server}; its replicas go on"));
    }
    let n_replicas = stop_replicas(data, config, deadline).await?;
    drop(folder);
    Ok(format!("{server}; {} ended", replicas(n_replicas)))
}

fn replicas(n: usize) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{n} replica{s}")
}

async fn stop_replicas(data: &DataDir, config: &Config, deadline: Instant) -> Result<usize, String> {
    if !data.run().is_dir() {
        return Ok(0);
    }
    let runtime = serve::open_runtime(data, config).await.map_err(|refusal| refusal.message)?;
    let mut ended = BTreeSet::new();
    let unreadable = loop {
        let listed = runtime.list().await.map_err(|err| format!("replicas can't be listed: {err}"))?;
        let left: Vec<_> =
            listed.replicas.into_iter().filter(|it| !matches!(it.phase, ReplicaPhase::Exited(_))).collect();
        if left.is_empty() {
            break listed.unreadable;
        }
        for it in &left {
            // Not removed: a record of what was started stays, so that the next server does not take it for
            // something that it has yet to start.
            runtime.end(it.id, it.nonce).await.map_err(|err| format!("{} can't be stopped: {err}", it.id))?;
            ended.insert(it.nonce);
        }
        wait(deadline, &format!("replicas still run: {}", left.len())).await?;
    };
    runtime.shutdown().await;
    if let Some(first) = unreadable.first() {
        let (n_ended, n_left, why) = (ended.len(), unreadable.len(), &first.why);
        return Err(format!("{} ended; {n_left} can't be read and was left alone: {why}", replicas(n_ended)));
    }
    Ok(ended.len())
}

/// The data folder, once its server has let go of it: as long as it is held, no server starts what ends here.
async fn hold(data: &DataDir, deadline: Instant) -> Result<DataLock, String> {
    loop {
        match DataLock::acquire(&DataPaths::below(data.root()).lock) {
            Ok(lock) => return Ok(lock),
            Err(LockError::Held { holder, .. }) => {
                wait(deadline, &format!("the data folder still has {}", said_of(&holder))).await?;
            }
            Err(err @ LockError::Io { .. }) => return Err(err.to_string()),
        }
    }
}

/// A server that has not ended, and what to do about it.
fn said_of(holder: &Holder) -> String {
    match holder.pid {
        Some(pid) if holder.ends_in.is_none() && !holder.is_stopped => {
            format!("process {pid}, which `kill -9 {pid}` ends at once if it hangs; its replicas go on then")
        }
        Some(_) | None => holder.to_string(),
    }
}

/// The same of the server that has the data folder, if one has.
fn said_of_holder(data: &DataDir) -> Option<String> {
    match DataLock::acquire(&DataPaths::below(data.root()).lock) {
        Err(LockError::Held { holder, .. }) => Some(said_of(&holder)),
        Ok(_) | Err(LockError::Io { .. }) => None,
    }
}

async fn wait(deadline: Instant, what: &str) -> Result<(), String> {
    if Instant::now() >= deadline {
        return Err(format!("the time given with --wait is over: {what}"));
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    Ok(())
}
