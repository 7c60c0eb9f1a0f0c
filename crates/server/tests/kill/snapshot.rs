//! What is there, seen from outside: rows in the database, processes of the host, folders, starts that engines
//! noted. Nothing of it is asked of the server.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use crate::plane::Plane;

/// A process that belongs to a data folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    /// An engine carries a mark; a shim and a server don't.
    pub(crate) mark: Option<String>,
    pub(crate) is_shim: bool,
    /// The replica's folder that it stands in, whatever else it is; a removed one shows too.
    pub(crate) folder: Option<String>,
}

/// A row of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct EndpointRow {
    pub(crate) id: String,
    pub(crate) display_name: String,
    pub(crate) min_replicas: i64,
    pub(crate) max_replicas: i64,
    pub(crate) run: String,
    pub(crate) deleted: bool,
    pub(crate) published: String,
    pub(crate) generation: i64,
    pub(crate) observed_generation: i64,
}

/// A row of a replica.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct ReplicaRow {
    pub(crate) id: String,
    pub(crate) endpoint: String,
    pub(crate) nonce: String,
    pub(crate) intent: String,
    pub(crate) seen: bool,
    pub(crate) ready_at: Option<i64>,
    pub(crate) n_devices: i64,
}

/// One snapshot.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) endpoints: Vec<EndpointRow>,
    pub(crate) replicas: Vec<ReplicaRow>,
    pub(crate) devices_held: i64,
    pub(crate) erased: Vec<String>,
    /// Launches that failed, since ever.
    pub(crate) n_failed: i64,
    /// What is wrong with running times.
    pub(crate) minutes: Vec<String>,
    pub(crate) processes: Vec<Process>,
    /// Replicas' folders, and what removals and creations have left.
    pub(crate) folders: Vec<String>,
    /// How often each mark was started, since ever.
    pub(crate) starts: BTreeMap<String, usize>,
}

impl Snapshot {
    pub(crate) fn at(plane: &Plane) -> Result<Self, String> {
        let data = plane.data();
        let mut processes = processes(&data);
        let rows = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|err| err.to_string())?
            .block_on(rows(&data.join("state.db")))
            .map_err(|err| format!("the database could not be read: {err}"))?;
        // Alive before and after the rows were read: its row must have been there in between.
        let folder = data.display().to_string();
        processes.retain(|it| process(it.pid, &folder).as_ref() == Some(it));
        let folders = std::fs::read_dir(data.join("run"))
            .map_err(|err| err.to_string())?
            .filter_map(|it| it.ok()?.file_name().into_string().ok())
            .filter(|it| !["installation", "folder"].contains(&it.as_str()))
            .collect();
        let noted = std::fs::read_to_string(plane.starts()).unwrap_or_default();
        let mut starts = BTreeMap::new();
        for mark in noted.lines().filter_map(|it| it.split(' ').next()) {
            *starts.entry(mark.to_owned()).or_default() += 1;
        }
        let Rows { endpoints, replicas, devices_held, erased, n_failed, minutes } = rows;
        Ok(Self { endpoints, replicas, devices_held, erased, n_failed, minutes, processes, folders, starts })
    }

    pub(crate) fn engines(&self) -> impl Iterator<Item = (&Process, &str)> {
        self.processes.iter().filter_map(|it| Some((it, it.mark.as_deref()?)))
    }

    pub(crate) fn shims(&self) -> impl Iterator<Item = &Process> {
        self.processes.iter().filter(|it| it.is_shim)
    }
}

struct Rows {
    endpoints: Vec<EndpointRow>,
    replicas: Vec<ReplicaRow>,
    devices_held: i64,
    erased: Vec<String>,
    n_failed: i64,
    minutes: Vec<String>,
}

/// Replicas that run without a running time under way, and running times under way of no replica that runs.
const MINUTES_OF_NOBODY: &str = "\
SELECT 'the running time of ' || coalesce(r.id, u.replica) || ' is under way without it, or not with it'
FROM replicas r FULL JOIN usage u ON u.replica = r.id
WHERE coalesce(r.ready_at IS NOT NULL AND r.intent <> 'stop', 0) <> coalesce(u.closed = 0, 0)";

/// Running times that are more than the events say: from ready to the first word of the end, or until now.
const MINUTES_TOO_MANY: &str = "\
WITH told AS (
    SELECT replica, min(at) FILTER (WHERE kind = 'replica_ready') AS began,
        min(at) FILTER (WHERE kind IN ('replica_failed', 'replica_stopping')) AS ended
    FROM events GROUP BY replica)
SELECT u.replica || ' ran ' || (u.until - u.ready_at) || ' ms, of ' || (coalesce(ended, ?1) - began) || ' ms'
FROM usage u LEFT JOIN told ON told.replica = u.replica
WHERE began IS NULL OR u.ready_at <> began OR u.until > coalesce(ended, ?1)";

/// A server's clock may be a little ahead of this one's: it never begins before what was written last.
const AHEAD_MS: i64 = 1_000;

async fn rows(file: &Path) -> Result<Rows, sqlx::Error> {
    let options = SqliteConnectOptions::new().filename(file).read_only(true);
    let mut connection: SqliteConnection = options.disable_statement_logging().connect().await?;
    let mut tx = connection.begin().await?;
    let endpoints = sqlx::query_as("SELECT * FROM endpoints ORDER BY id").fetch_all(&mut *tx).await?;
    let replicas = sqlx::query_as(
        "SELECT *, (SELECT count(*) FROM replica_devices WHERE replica = replicas.id) AS n_devices \
         FROM replicas ORDER BY id",
    )
    .fetch_all(&mut *tx)
    .await?;
    let held = sqlx::query_scalar("SELECT count(*) FROM replica_devices").fetch_one(&mut *tx).await?;
    let erased = sqlx::query_scalar("SELECT id FROM erased").fetch_all(&mut *tx).await?;
    let failed = "SELECT count(*) FROM events WHERE kind = 'replica_failed'";
    let n_failed = sqlx::query_scalar(failed).fetch_one(&mut *tx).await?;
    let mut minutes: Vec<String> = sqlx::query_scalar(MINUTES_OF_NOBODY).fetch_all(&mut *tx).await?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| it.as_millis());
    let now = i64::try_from(now).unwrap_or(i64::MAX / 2) + AHEAD_MS;
    minutes.extend(sqlx::query_scalar(MINUTES_TOO_MANY).bind(now).fetch_all(&mut *tx).await?);
    tx.commit().await?;
    connection.close().await?;
    Ok(Rows { endpoints, replicas, devices_held: held, erased, n_failed, minutes })
}

/// Live processes that name the folder in their words or stand in it, servers excepted.
pub(crate) fn processes(data: &Path) -> Vec<Process> {
    let folder = data.display().to_string();
    pids().filter_map(|pid| process(pid, &folder)).collect()
}

/// The same with servers: their pids.
pub(crate) fn all_of(folder: &Path) -> Vec<i32> {
    let folder = folder.display().to_string();
    pids().filter(|pid| words(*pid, &folder).is_some()).collect()
}

fn pids() -> impl Iterator<Item = i32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// The words that a process was started with, and where it stands, if one of them is in the folder.
fn words(pid: i32, folder: &str) -> Option<(Vec<String>, PathBuf)> {
    let args = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let args: Vec<String> =
        args.split(|it| *it == 0).map(|it| String::from_utf8_lossy(it).into_owned()).collect();
    let cwd = std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
    let is_named = args.iter().any(|it| it.starts_with(folder)) || cwd.starts_with(folder);
    is_named.then_some((args, cwd))
}

fn process(pid: i32, folder: &str) -> Option<Process> {
    let (args, cwd) = words(pid, folder)?;
    let word = args.get(1).map(String::as_str);
    let is_engine = args.iter().any(|it| it == "--model-name");
    if !is_alive(pid) || (word == Some("serve") && !is_engine) {
        return None;
    }
    let below = cwd.strip_prefix(Path::new(folder).join("run")).ok();
    let folder =
        below.and_then(|it| it.components().next()).map(|it| it.as_os_str().to_string_lossy().into_owned());
    Some(Process { pid, mark: mark(pid), is_shim: word == Some("shim"), folder })
}

/// A zombie is not, unless only its first thread is one.
pub(crate) fn is_alive(pid: i32) -> bool {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).unwrap_or_default();
    let stat = String::from_utf8_lossy(&stat).into_owned();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_ascii_whitespace().collect();
    let (Some(state), Some(n_threads)) = (fields.first(), fields.get(17)) else { return false };
    !(*state == "Z" || *state == "X") || *n_threads != "1"
}

/// The mark in a process's environment.
pub(crate) fn mark(pid: i32) -> Option<String> {
    let bytes = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
    let entry = bytes.split(|it| *it == 0).find_map(|it| it.strip_prefix(b"DEDI_NONCE=".as_slice()))?;
    Some(String::from_utf8_lossy(entry).into_owned())
}
