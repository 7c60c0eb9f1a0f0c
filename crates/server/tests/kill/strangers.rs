//! Processes that are none of dedi's and must outlive every test: beside it, and under pids that its records
//! still name.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

/// Tries to be given a certain pid: other processes of the host take some too.
const PID_TRIES: usize = 40;

/// The strangers of a plane.
pub(crate) struct Strangers {
    /// With what it stands for.
    them: Vec<(Child, String)>,
    pub(crate) n_reused: usize,
    pub(crate) n_forged: usize,
}

impl Strangers {
    /// One that has nothing to do with dedi, and one that carries another installation's mark.
    pub(crate) fn new() -> Self {
        let plain = stranger(None);
        let marked = stranger(Some("00000000-0000-4000-8000-000000000001"));
        let them = vec![(plain, "a plain process".to_owned()), (marked, "another's engine".to_owned())];
        Self { them, n_reused: 0, n_forged: 0 }
    }

    /// Those that have ended, which none does by itself.
    pub(crate) fn signalled(&mut self) -> Vec<String> {
        let mut ended = Vec::new();
        self.them.retain_mut(|(child, what)| match child.try_wait() {
            Ok(None) => true,
            Ok(Some(status)) => {
                ended.push(format!("{what} (pid {}) was signalled: {status}", child.id()));
                false
            }
            Err(_) => false,
        });
        ended
    }

    /// Puts a stranger under each of these pids that the folder's record names. Where a pid
    /// can't be had, the record is given a stranger's pid instead: the same to whoever reads it.
    pub(crate) fn take_pids(&mut self, folder: &Path, dead: &[i32]) {
        let file = folder.join("shim.json");
        let Some(mut record) =
            std::fs::read(&file).ok().and_then(|it| serde_json::from_slice::<Value>(&it).ok())
        else {
            return;
        };
        for who in ["shim", "engine"] {
            let Some(pid) = record[who]["pid"].as_u64().and_then(|it| u32::try_from(it).ok()) else {
                continue;
            };
            if !dead.iter().any(|it| u32::try_from(*it) == Ok(pid)) {
                continue;
            }
            let child = stranger_with(pid).unwrap_or_else(|| {
                let child = stranger(None);
                record[who]["pid"] = Value::from(child.id());
                child
            });
            if child.id() == pid {
                self.n_reused += 1;
            } else {
                self.n_forged += 1;
            }
            self.them.push((child, format!("under a stale record's {who}")));
        }
        std::fs::write(&file, record.to_string()).unwrap();
    }

    /// Ends those that stand under pids, so that they do not grow in number.
    pub(crate) fn dismiss(&mut self) {
        for (mut child, _) in self.them.drain(2.min(self.them.len())..) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Strangers {
    fn drop(&mut self) {
        for (child, _) in &mut self.them {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Leads a group of its own: a signal to the group of that number reaches it too.
fn stranger(mark: Option<&str>) -> Child {
    let mut command = Command::new("sleep");
    command.arg("3600").process_group(0).current_dir("/").stdin(Stdio::null());
    if let Some(mark) = mark {
        command.env("DEDI_NONCE", mark);
    }
    command.spawn().unwrap()
}

/// A stranger with this pid, where the kernel lets us choose the next one.
fn stranger_with(pid: u32) -> Option<Child> {
    for _ in 0..PID_TRIES {
        std::fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string()).ok()?;
        let mut child = stranger(None);
        if child.id() == pid {
            return Some(child);
        }
        let _ = child.kill();
        let _ = child.wait();
        if Path::new(&format!("/proc/{pid}")).exists() {
            return None;
        }
    }
    None
}
