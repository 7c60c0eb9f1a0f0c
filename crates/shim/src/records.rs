//! A replica's folder: what is written there, by whom, and in which order. Every record appears whole or
//! not at all, so that whoever is killed between two steps leaves something that the next one can read.
//!
//! | file | written by | means |
//! |---|---|---|
//! | `launch.json` | server, before anything is started | what was to be started |
//! | `lock` | shim, locked as long as it lives | a shim is at work |
//! | `shim.json` | shim, before and again after the engine is started | who they are |
//! | `ready` | server, after the first generated token | that process has been ready |
//! | `stop` | shim, when it is asked to end; `dedi down` | whatever happens from now on was asked for |
//! | `reserve` | shim, before it names itself | room for `exit.json`, which it becomes, on a disk that gets full |
//! | `exit.json` | shim, after the last process is gone; whoever ended it, if the shim is gone too | how it ended |
//! | `remove` | server, before it begins to remove | the folder is to go |
//!
//! The engine has a folder in it, `own`, for its socket and whatever it writes. At isolation level 1 it reaches
//! nothing else of this, so that the records are ours.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use dedi_domain::engine::{ExitRule, HealthSpec, StopSignal};
use dedi_domain::{
    Address, AssignedDevice, EndpointId, EngineKind, Exit, ModelName, Nonce, ReplicaId, Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::confine::Confinement;
use crate::exit_record::ExitRecord;
use crate::files::sync_dir;
pub use crate::files::{read, write_atomically};
use crate::identity::{Life, ProcessId};
use crate::reserve;
use dedi_failpoint as failpoint;

/// Everything the shim needs to know, decided by the server. Unknown fields are ignored and fields that were
/// added after 0.1 have defaults: a shim may be older or newer than the server that reads its folder.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LaunchRecord {
    /// Whose folder this is.
    pub installation: String,
    /// Among which processes it was written.
    #[serde(flatten)]
    pub life: Life,
    /// When it was written.
    pub at: Timestamp,
    /// What was decided: replica, mark, model, devices.
    pub launch: WrittenLaunch,
    /// The engine's program.
    pub program: PathBuf,
    /// Its arguments, one word each.
    pub args: Vec<String>,
    /// Its whole environment.
    pub env: Vec<(String, String)>,
    /// The file that its output goes to.
    pub log: PathBuf,
    /// Bytes of one log file; a full one is rotated away.
    pub log_bytes_max: u64,
    /// Log files kept, the current one included.
    pub log_files: u32,
    /// Seconds between the request to end (TERM) and the kill of the whole group.
    pub stop_grace_secs: u64,
    /// Processes and threads that the replica may have, where the host can enforce it.
    pub pids_max: u64,
    /// Bytes that the engine may have in its folder. `None` for no limit, as of an older server.
    #[serde(default)]
    pub disk_bytes_max: Option<u64>,
    /// The TCP port that was chosen for the engine. `None` for one that listens on its socket.
    #[serde(default)]
    pub port: Option<u16>,
    /// How the engine is asked how it is doing. As the embedded one where an older server wrote nothing of it.
    #[serde(default)]
    pub health: HealthSpec,
    /// What asks it to end.
    #[serde(default)]
    pub stop_signal: StopSignal,
    /// What its ends mean.
    #[serde(default = "ExitRule::embedded")]
    pub exits: Vec<ExitRule>,
    /// What the engine may reach at isolation level 1. `None` where that was not asked for, as by an older server.
    #[serde(default)]
    pub confinement: Option<Confinement>,
}

/// A launch as it is written down, with its model found on this host. Its form is that of every version's records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrittenLaunch {
    /// The replica.
    pub replica: ReplicaId,
    /// What the process must echo.
    pub nonce: Nonce,
    /// The endpoint it belongs to.
    pub endpoint: EndpointId,
    /// Counts the endpoint's launches, from 1; names the log.
    pub attempt: u32,
    /// The kind of engine.
    #[serde(default)]
    pub engine: EngineKind,
    /// The model's wire name.
    pub model: ModelName,
    /// The model's file, or folder for engines that read folders.
    pub model_path: PathBuf,
    /// What it may run on.
    pub devices: Vec<AssignedDevice>,
    /// Tokens of context per request.
    pub context_tokens: u32,
    /// Requests generated at the same time.
    pub slots: u32,
    /// Memory the replica may use in bytes, where the host can enforce it.
    pub memory_limit_bytes: Option<u64>,
    /// Serves embeddings rather than text.
    #[serde(default)]
    pub embedding: bool,
}

impl LaunchRecord {
    /// Where the engine in that folder is spoken to.
    pub fn address(&self, dir: &ReplicaDir) -> Address {
        match self.port {
            Some(port) => Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
            None => Address::Unix(dir.socket()),
        }
    }
}

/// Who the replica's processes are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShimRecord {
    /// Among which processes it was written.
    #[serde(flatten)]
    pub life: Life,
    /// The launch's mark.
    pub nonce: Nonce,
    /// The shim itself.
    pub shim: ProcessId,
    /// Also the id of the engine's process group. `None` until it is started.
    pub engine: Option<ProcessId>,
    /// Control groups the engine was put into.
    #[serde(default)]
    pub cgroups: Vec<PathBuf>,
    /// The isolation level the engine was started at. `None` until it is started.
    #[serde(default)]
    pub isolation: Option<u8>,
}

/// The folder of one replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaDir {
    path: PathBuf,
}

/// Longest path of a unix socket that the kernel takes.
pub const SOCKET_PATH_BYTES_MAX: usize = 107;

/// The engine's folder.
const OWN: &str = "own";

/// The record of how the replica ended.
const EXIT: &str = "exit.json";

/// Disk space reserved for the exit record.
const RESERVE: &str = "reserve";

/// Relative to the engine's folder, in which it is started, so that no length limit is met by the engine.
pub const SOCKET: &str = "engine.sock";

impl ReplicaDir {
    /// The folder of that replica below `run`. Short, because a socket lies in it.
    pub fn of(run: &Path, replica: ReplicaId) -> Self {
        let mut name = replica.uuid().simple().to_string();
        name.truncate(12);
        Self { path: run.join(name) }
    }

    /// The replica folder at a known path.
    pub(crate) fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Path of the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder's name: the replica's short name.
    pub fn name(&self) -> String {
        self.path.file_name().map(|it| it.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// Bytes that the socket's path adds to the run folder's.
    pub fn socket_suffix_bytes() -> usize {
        1 + 12 + 1 + OWN.len() + 1 + SOCKET.len()
    }

    /// The engine's socket.
    pub fn socket(&self) -> PathBuf {
        self.engine_dir().join(SOCKET)
    }

    /// The engine's folder: it is started there.
    pub fn own(&self) -> PathBuf {
        self.path.join(OWN)
    }

    /// The same as it is on disk: an older server made none and had engines work beside the records.
    pub(crate) fn engine_dir(&self) -> PathBuf {
        let own = self.own();
        if own.is_dir() { own } else { self.path.clone() }
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.path.join("lock")
    }

    /// All replica folders below `run`, others' and broken ones included.
    pub fn all(run: &Path) -> io::Result<Vec<Self>> {
        let mut dirs = Vec::new();
        for entry in fs::read_dir(run)? {
            let entry = entry?;
            let is_replica = entry.file_name().to_str().is_some_and(|it| {
                it.len() == 12 && it.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase())
            });
            if is_replica && entry.file_type()?.is_dir() {
                dirs.push(Self { path: entry.path() });
            }
        }
        dirs.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(dirs)
    }

    /// Makes the folder with its launch record in one step. `false` if it exists already.
    pub fn create(&self, run: &Path, record: &LaunchRecord) -> io::Result<bool> {
        let draft = run.join(format!(".new-{}-{}", self.name(), std::process::id()));
        let _ = fs::remove_dir_all(&draft);
        fs::DirBuilder::new().mode(0o700).create(&draft)?;
        fs::DirBuilder::new().mode(0o700).create(draft.join(OWN))?;
        write_atomically(&draft, "launch.json", record)?;
        let lock = OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft.join("lock"))?;
        lock.sync_all()?;
        failpoint::hit("launch.before", "rename");
        let renamed = fs::rename(&draft, &self.path);
        match renamed {
            Ok(()) => {
                sync_dir(run)?;
                Ok(true)
            }
            Err(err) => {
                let _ = fs::remove_dir_all(&draft);
                let exists = [ErrorKind::AlreadyExists, ErrorKind::DirectoryNotEmpty].contains(&err.kind());
                if exists { Ok(false) } else { Err(err) }
            }
        }
    }

    /// Makes the folder absent in one step; what a kill in the middle leaves is swept by [`sweep_drafts`].
    pub fn delete(&self, run: &Path) -> io::Result<()> {
        let gone = run.join(format!(".gone-{}-{}", self.name(), std::process::id()));
        match fs::rename(&self.path, &gone) {
            Ok(()) => {}
            Err(err) if err.kind() == ErrorKind::NotFound => return Ok(()),
            Err(err) => return Err(err),
        }
        failpoint::hit("remove.half-way", "folder");
        match fs::remove_dir_all(&gone) {
            Err(err) if err.kind() != ErrorKind::NotFound => Err(err),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// `None` if the record is absent. One that is no record is an error: what it stands for may live, and use
    /// devices that nobody else may get.
    pub fn launch(&self) -> io::Result<Option<LaunchRecord>> {
        let path = self.path.join("launch.json");
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(err) if err.kind() == ErrorKind::NotFound && !self.has_shim()? => return Ok(None),
            Err(err) => return Err(io::Error::new(err.kind(), format!("{}: {err}", path.display()))),
        };
        serde_json::from_slice(&bytes).map(Some).map_err(|err| {
            let what = "is no launch record; end what runs in that folder, then remove the folder";
            io::Error::new(ErrorKind::InvalidData, format!("{} {what} ({err})", path.display()))
        })
    }

    /// Writes the launch record anew.
    pub fn write_launch(&self, record: &LaunchRecord) -> io::Result<()> {
        write_atomically(&self.path, "launch.json", record)
    }

    /// The shim's record; `None` if it is absent or can't be understood.
    pub fn shim(&self) -> io::Result<Option<ShimRecord>> {
        read(&self.path.join("shim.json"))
    }

    /// Whether a shim ever got as far as naming itself, readable or not.
    pub fn has_shim(&self) -> io::Result<bool> {
        self.path.join("shim.json").try_exists()
    }

    pub(crate) fn write_shim(&self, record: &ShimRecord) -> io::Result<()> {
        write_atomically(&self.path, "shim.json", record)
    }

    /// How the replica ended, by this process's clock; `None` if that is not written, or can't be understood.
    pub fn exit(&self) -> io::Result<Option<Exit>> {
        let record: Option<ExitRecord> = read(&self.path.join(EXIT))?;
        Ok(record.map(ExitRecord::read))
    }

    /// Writes down how the replica ended. Last of all: no process of it is left. Where the disk is full, in the room
    /// that was reserved.
    pub fn write_exit(&self, exit: &Exit) -> io::Result<()> {
        let reserve = self.path.join(RESERVE);
        let in_reserve = reserve::write(&reserve, exit)
            .and_then(|()| fs::rename(&reserve, self.path.join(EXIT)))
            .and_then(|()| sync_dir(&self.path));
        in_reserve.or_else(|_| {
            // There is none, or a file system that writes nothing in place: then its room is free for another file.
            let _ = fs::remove_file(&reserve);
            write_atomically(&self.path, EXIT, &ExitRecord::new(exit))
        })
    }

    /// Keeps room for the record of the exit.
    pub(crate) fn reserve(&self) -> io::Result<()> {
        reserve::make(&self.path.join(RESERVE))
    }

    /// Whether it has ended, readable or not.
    pub fn has_exit(&self) -> io::Result<bool> {
        self.path.join(EXIT).try_exists()
    }

    /// Whether its end was asked for.
    pub fn is_asked_to_stop(&self) -> io::Result<bool> {
        self.path.join("stop").try_exists()
    }

    /// Marks that its end is asked for.
    pub fn ask_to_stop(&self) -> io::Result<()> {
        mark(&self.path.join("stop"))
    }

    /// Whether the folder is to go.
    pub fn is_to_be_removed(&self) -> io::Result<bool> {
        self.path.join("remove").try_exists()
    }

    /// Marks the folder as one that is to go.
    pub fn mark_for_removal(&self) -> io::Result<()> {
        mark(&self.path.join("remove"))?;
        sync_dir(&self.path)
    }

    /// The engine process that has generated a token.
    pub fn ready(&self) -> io::Result<Option<ProcessId>> {
        read(&self.path.join("ready"))
    }

    /// Writes down that this engine process has generated a token.
    pub fn write_ready(&self, engine: ProcessId) -> io::Result<()> {
        write_atomically(&self.path, "ready", &engine)
    }

    /// Whether a shim holds the folder now. Asks without taking the lock, so that looking never makes a
    /// shim that is just starting believe that another one is there.
    pub fn is_locked(&self) -> io::Result<bool> {
        let file = match OpenOptions::new().read(true).write(true).open(self.lock()) {
            Ok(file) => file,
            Err(err) if err.kind() == ErrorKind::NotFound => return Ok(false),
            Err(err) => return Err(err),
        };
        let wanted = rustix::process::Flock {
            start: 0,
            length: 0,
            pid: None,
            typ: rustix::process::FlockType::WriteLock,
            offset_type: rustix::process::FlockOffsetType::Set,
        };
        Ok(rustix::process::fcntl_getlk(&file, &wanted)?.is_some())
    }
}

/// Removes what creations and deletions cut short by a kill have left.
pub fn sweep_drafts(run: &Path) -> io::Result<()> {
    for entry in fs::read_dir(run)? {
        let entry = entry?;
        let is_draft =
            entry.file_name().to_str().is_some_and(|it| it.starts_with(".new-") || it.starts_with(".gone-"));
        if is_draft {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    Ok(())
}

fn mark(path: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the first version wrote for a replica, with fields that a later version may add.
    const FIRST: &str = r#"{
        "installation": "6a3c3cf8-3f0b-4a4f-9b0e-0d4f3f1f5a11", "boot_id": "b", "at": 1795257519603,
        "launch": {
            "replica": "replica-00000000-0000-4000-8000-000000000001",
            "nonce": "nonce-00000000-0000-4000-8000-000000000002",
            "endpoint": "endpoint-00000000-0000-4000-8000-000000000003",
            "attempt": 1, "model": "dedi/demo", "model_path": "/models/demo.gguf",
            "devices": [{"id": "cpu-0", "index": 0, "kind": {"product": "cpu", "memory_gb": 1, "link": ""}}],
            "context_tokens": 2048, "slots": 4, "memory_limit_bytes": null, "of_a_later_version": [1]
        },
        "program": "/bin/dedi-engine", "args": ["serve"], "env": [["TZ", "UTC"]], "log": "/logs/attempt-1.log",
        "log_bytes_max": 1000, "log_files": 3, "stop_grace_secs": 10, "pids_max": 4096, "of_a_later_version": {}
    }"#;

    #[test]
    fn records_of_another_version_are_read() {
        let record: LaunchRecord = serde_json::from_str(FIRST).unwrap();
        assert_eq!((record.launch.attempt, record.launch.embedding), (1, false));
        assert_eq!((record.confinement.as_ref(), record.port), (None, None));
        assert_eq!((record.launch.engine.as_str(), &record.exits), ("dedi", &ExitRule::embedded()));
        // What this version adds has a default: a record of it without its new fields is one of the first.
        let written = serde_json::to_value(&record).unwrap();
        let first: serde_json::Value = serde_json::from_str(FIRST).unwrap();
        for (of, name) in [(&written, None), (&written["launch"], Some("launch"))] {
            let before = name.map_or(&first, |it| &first[it]);
            for (field, _) in of.as_object().unwrap() {
                const KNOWN: [&str; 9] = [
                    "confinement",
                    "disk_bytes_max",
                    "embedding",
                    "engine",
                    "exits",
                    "health",
                    "pid_space",
                    "port",
                    "stop_signal",
                ];
                let known = KNOWN.contains(&field.as_str());
                assert!(
                    before.get(field).is_some() || known,
                    "{field} is new: give it a default, then name it here"
                );
            }
        }
        let shim = r#"{"boot_id": "b", "nonce": "nonce-00000000-0000-4000-8000-000000000002",
            "shim": {"pid": 2, "start_time": 3}, "engine": null, "of_a_later_version": 1}"#;
        assert!(serde_json::from_str::<ShimRecord>(shim).unwrap().cgroups.is_empty());
    }
}
