//! `dedi down`: ends the servers of a data folder, then every replica it left. What is wanted stays as it is, so
//! the next `dedi serve` starts the endpoints again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use dedi_cli::Output;
use dedi_control::DataPaths;
use dedi_control::store::{DataLock, Holder, LockError};
use dedi_domain::ReplicaPhase;
use serde_json::json;
use tokio::time::Instant;

use crate::config::Config;
use crate::paths::DataDir;
use crate::print::fail;
use crate::stop::{self, Asked};
use crate::{admin, print, runtime};

/// Returns when nothing of the data folder runs any more but the replicas that are to be kept, or with 1 after
/// `timeout_secs`.
pub(crate) async fn down(
    data: &DataDir,
    config: &Config,
    timeout_secs: u64,
    keeps_replicas: bool,
    output: Option<Output>,
) -> ExitCode {
    let deadline = Instant::now() + Duration::from_secs(timeout_secs);
    match stop_all(data, config, deadline, keeps_replicas).await {
        Ok(said) => {
            print::say(&said);
            let is_data = matches!(output, Some(Output::Json | Output::Yaml));
            let printed = if is_data { print::object(output, &json!({"message": said}), "") } else { Ok(()) };
            printed.err().unwrap_or(ExitCode::SUCCESS)
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
    // Nothing is made in a folder that is somebody else's.
    if !data.is_ours() && stop::sockets(&data.servers()).is_ok_and(|it| it.is_empty()) {
        return Ok(format!("nothing to stop: {} is not a data folder of dedi", data.root().display()));
    }
    let mut servers = Servers { data, asked: BTreeMap::new(), had_one: false };
    // A server that still ends would start anew what is stopped here, and so would one that is started now.
    let folder = servers.end(deadline).await?;
    let server = if servers.had_one { "the server has stopped" } else { "no server was running" };
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
    let runtime = runtime::open(data, config).await.map_err(|refusal| refusal.message)?;
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
        wait(deadline, || format!("replicas still run: {}", left.len())).await?;
    };
    runtime.shutdown().await;
    if let Some(first) = unreadable.first() {
        let (n_ended, n_left, why) = (ended.len(), unreadable.len(), &first.why);
        return Err(format!("{} ended; {n_left} can't be read and was left alone: {why}", replicas(n_ended)));
    }
    Ok(ended.len())
}

/// The servers of a data folder, to be ended: one that takes over, and those that it takes over from, beside the one that has the
/// folder.
struct Servers<'a> {
    data: &'a DataDir,
    /// Those that were asked and have not ended, by their sockets.
    asked: BTreeMap<PathBuf, Asked>,
    /// Whether there was one at all.
    had_one: bool,
}

impl Servers<'_> {
    /// The data folder, once no server of it lives: as long as it is held, none starts what ends here.
    async fn end(&mut self, deadline: Instant) -> Result<DataLock, String> {
        let path = DataPaths::below(self.data.root()).lock;
        let mut held = None;
        loop {
            self.ask().await?;
            if self.asked.is_empty() {
                // A server asks for the folder after it can be asked: who is not seen now does not get it any more.
                if let Some(lock) = held {
                    return Ok(lock);
                }
                match DataLock::acquire(&path) {
                    Ok(lock) => {
                        held = Some(lock);
                        continue;
                    }
                    Err(LockError::Held { .. }) => self.ask_earlier_version(deadline).await?,
                    Err(err @ LockError::Io { .. }) => return Err(err.to_string()),
                }
            }
            wait(deadline, || format!("the data folder still has {}", self.said_of_left())).await?;
        }
    }

    /// Asks each that was not asked yet, and leaves out those that have ended.
    async fn ask(&mut self) -> Result<(), String> {
        let folder = self.data.servers();
        let sockets =
            stop::sockets(&folder).map_err(|err| format!("{} can't be read: {err}", folder.display()))?;
        self.asked.retain(|_, it| !it.has_ended());
        for socket in sockets {
            if self.asked.contains_key(&socket) {
                continue;
            }
            let asked = stop::ask(&socket).await;
            if let Some(it) = asked.map_err(|err| format!("{} can't be reached: {err}", socket.display()))? {
                self.had_one = true;
                self.asked.insert(socket, it);
            }
        }
        Ok(())
    }

    /// A server of a version that had only the admin socket. It has not once it ends.
    async fn ask_earlier_version(&mut self, deadline: Instant) -> Result<(), String> {
        let left = deadline.saturating_duration_since(Instant::now());
        match admin::ask_to_stop(&self.data.admin_socket(), left).await {
            Ok(is_asked) => {
                self.had_one |= is_asked;
                Ok(())
            }
            Err(err) => Err(format!("{err}; the server is {}", self.said_of_left())),
        }
    }

    /// The servers that have not ended, and what to do about each.
    fn said_of_left(&self) -> String {
        let holder = match DataLock::acquire(&DataPaths::below(self.data.root()).lock) {
            Err(LockError::Held { holder, .. }) => Some(holder),
            Ok(_) | Err(LockError::Io { .. }) => None,
        };
        if self.asked.is_empty() {
            return holder.map_or_else(|| "none any more".to_owned(), |it| said_of(&it));
        }
        let said = self.asked.values().map(|it| match &holder {
            Some(holder) if holder.pid == it.pid => said_of(holder),
            Some(_) | None => said_of(&Holder::process(it.pid)),
        });
        said.collect::<Vec<_>>().join("; and ")
    }
}

/// A server that has not ended, and what to do about it.
fn said_of(holder: &Holder) -> String {
    match holder.pid {
        Some(pid) if holder.ends_in.is_none() && !holder.is_stopped => {
            format!(
                "process {pid}, which has not ended yet; `kill -9 {pid}` ends it at once if it hangs, and its replicas go on then"
            )
        }
        Some(_) | None => holder.to_string(),
    }
}

async fn wait(deadline: Instant, what: impl FnOnce() -> String) -> Result<(), String> {
    if Instant::now() >= deadline {
        return Err(format!("the time given with --wait is over: {}", what()));
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    Ok(())
}
