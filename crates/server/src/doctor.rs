//! `dedi doctor`: what this host offers and what is missing, each with what to do about it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use dedi_control::store::{Holder, Store};
use dedi_control::{ControlError, DataPaths};
use dedi_domain::hardware::Health;
use dedi_domain::words::count;
use dedi_domain::{Bar, BarCause, Device, Inventory};
use dedi_runtime::Runtime;
use dedi_runtime::process::{ProcessRuntime, isolation_level};

use crate::config::Config;
use crate::paths::DataDir;
use crate::programs::NoVersion;
use crate::{demo, programs, stop};

/// Free disk below which downloads and logs will soon fail.
const DISK_FREE_BYTES_MIN: u64 = 2 << 30;

/// Longest wait for the database to be read through.
const DATABASE_WAIT: Duration = Duration::from_secs(30);

/// What findings about the supervising program begin with.
const SHIM: &str = "shim";

enum Finding {
    Good(String),
    Note(String),
    Bad(String, String),
}

/// Prints the findings; exits 1 if one would keep endpoints from running.
#[expect(clippy::print_stdout, reason = "the findings are what was asked for")]
pub(crate) async fn doctor(data: &DataDir, config: &Config) -> ExitCode {
    let mut findings = vec![engine(config).await];
    findings.extend(shim(config).await);
    findings.push(disk(data.root()));
    let server = holder(data).await;
    findings.extend(server.as_ref().map(said_of));
    findings.push(database(data, server.is_some()).await);
    findings.extend(devices(data, config).await);
    let isolation = isolation_level(config.runtime.isolation);
    let sentence = format!("isolation: {}", isolation.sentence());
    findings.push(match isolation.level() {
        Some(_) => Finding::Good(sentence),
        None => Finding::Bad(sentence, "set runtime.isolation = \"auto\", or use a newer kernel".to_owned()),
    });
    findings.extend(isolation.advice().map(|it| Finding::Note(format!("isolation: {it}"))));
    findings.push(Finding::Note(format!("isolation: {}", isolation.next_level())));
    let mut n_bad = 0;
    for it in &findings {
        match it {
            Finding::Good(what) => println!("ok    {what}"),
            Finding::Note(what) => println!("note  {what}"),
            Finding::Bad(what, todo) => {
                n_bad += 1;
                println!("BAD   {what}\n      {todo}");
            }
        }
    }
    if n_bad == 0 {
        match server {
            Some(_) => {
                println!("This host can run endpoints, and its server runs; create one on {}.", demo::MODEL)
            }
            None => {
                println!(
                    "This host can run endpoints; try `dedi serve`, then create one on {}.",
                    demo::MODEL
                );
            }
        }
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    }
}

async fn engine(config: &Config) -> Finding {
    match programs::engine(config) {
        Ok(program) => starts("engine", &program).await,
        Err(why) => Finding::Bad("engine: not found".to_owned(), why),
    }
}

/// What supervises replicas, and whether it is the small program that is meant to.
async fn shim(config: &Config) -> Vec<Finding> {
    let program = match programs::shim(config) {
        Ok(program) => program,
        Err(why) => return vec![Finding::Bad("shim: not found".to_owned(), why)],
    };
    let linked = match programs::is_static(&program) {
        Ok(true) => Finding::Good("shim: statically linked".to_owned()),
        Ok(false) => Finding::Note(
            "shim: it needs shared libraries, and some MiB of memory more for each replica than the dedi-shim that \
             `make up` builds beside dedi"
                .to_owned(),
        ),
        Err(err) => Finding::Note(format!("shim: how it is linked can't be read: {err}")),
    };
    vec![starts(SHIM, &program).await, linked]
}

/// Whether the program runs on this host.
async fn starts(what: &str, program: &Path) -> Finding {
    let shown = program.display();
    match programs::version(program).await {
        Ok(version) if what == SHIM && !programs::is_shim(&version) => Finding::Bad(
            format!("{what}: {shown} is no dedi-shim"),
            "name the dedi-shim that was built with this dedi, or leave `shim` out of the config".to_owned(),
        ),
        Ok(version) => Finding::Good(format!("{what}: {shown} ({version})")),
        Err(why @ NoVersion::Ended(_)) => Finding::Bad(
            format!("{what}: {shown} {why}"),
            "build it on this host: a build for another processor does not start".to_owned(),
        ),
        Err(why @ (NoVersion::Unstarted(_) | NoVersion::Hangs)) => {
            Finding::Bad(format!("{what}: {shown} {why}"), "build it again".to_owned())
        }
    }
}

fn disk(folder: &Path) -> Finding {
    let existing = folder.ancestors().find(|it| it.exists()).unwrap_or(folder);
    match rustix::fs::statvfs(existing) {
        Ok(stat) => {
            let free = stat.f_bavail.saturating_mul(stat.f_frsize);
            let what =
                format!("disk: {:.1} GiB free for {}", free as f64 / f64::from(1 << 30), folder.display());
            if free >= DISK_FREE_BYTES_MIN {
                Finding::Good(what)
            } else {
                Finding::Bad(what, "free some, or put the data folder elsewhere with --data-dir".to_owned())
            }
        }
        Err(err) => Finding::Bad(
            format!("disk: {} can't be looked at: {err}", folder.display()),
            "choose another folder with --data-dir".to_owned(),
        ),
    }
}

/// Who is the server of the data folder, if there is one. Looks only: taking the lock, for a moment, would refuse the
/// folder to a server that starts just then.
async fn holder(data: &DataDir) -> Option<Holder> {
    let alive = stop::others(&data.servers()).await;
    let written = Holder::written(&DataPaths::below(data.root()).lock);
    let is_alive = |it: &Holder| it.pid.is_some_and(|pid| alive.contains(&pid));
    written.filter(is_alive).or_else(|| alive.first().map(|pid| Holder::process(Some(*pid))))
}

fn said_of(server: &Holder) -> Finding {
    match server.pid {
        Some(pid) if server.ends_in.is_none() && !server.is_stopped => {
            Finding::Good(format!("server: process {pid} runs on this data folder"))
        }
        Some(_) | None => Finding::Note(format!("server: this data folder has {server}")),
    }
}

/// Whether a server would take the database as it lies there. Read only: a server may be using it.
async fn database(data: &DataDir, is_used: bool) -> Finding {
    let paths = DataPaths::below(data.root());
    let bad = |err: ControlError| {
        let todo = "`dedi serve` refuses it like that; docs/backup.md says how to put a copy back".to_owned();
        Finding::Bad(format!("database: {err}"), todo)
    };
    if std::fs::symlink_metadata(&paths.database).is_err() {
        if is_used {
            return Finding::Bad(
                format!("database: {} was removed while a server uses it", paths.database.display()),
                "copy what the server still has with `dedi backup FILE` before it ends; see docs/backup.md"
                    .to_owned(),
            );
        }
        let has_logs = std::fs::read_dir(&paths.logs).is_ok_and(|mut it| it.next().is_some());
        let key = paths.first_key.exists().then(|| format!("its first key {}", paths.first_key.display()));
        let logs = has_logs.then(|| format!("logs of its endpoints in {}", paths.logs.display()));
        let traces: Vec<String> = key.into_iter().chain(logs).collect();
        return match traces.is_empty() {
            true => Finding::Note("database: none yet; the first `dedi serve` makes it".to_owned()),
            false => bad(ControlError::Lost { database: paths.database, traces: traces.join(" and ") }),
        };
    }
    let shown = paths.database.display();
    match tokio::time::timeout(DATABASE_WAIT, Store::check_file(&paths.database)).await {
        Ok(Ok(())) => Finding::Good(format!("database: {shown}")),
        Ok(Err(err)) => bad(err.into()),
        Err(_) => {
            let secs = DATABASE_WAIT.as_secs();
            Finding::Note(format!("database: {shown} is too large to be read through within {secs} s"))
        }
    }
}

/// What the replicas that run now really have, which may be older than the config; and those that are not looked at.
async fn levels(runtime: &ProcessRuntime) -> Vec<Finding> {
    // What can't be looked at is told by the devices' findings.
    let replicas = runtime.list().await.unwrap_or_default();
    let levels = replicas.replicas.iter().filter(|it| it.may_live()).filter_map(|it| it.isolation);
    let mut counted = BTreeMap::new();
    for level in levels {
        *counted.entry(level).or_insert(0) += 1;
    }
    let n_foreign = runtime.n_foreign().await.unwrap_or_default();
    let foreign = (n_foreign > 0).then(|| {
        let them = count(n_foreign, "replica");
        Finding::Note(format!(
            "run folder: it has records of {them} of another installation, as in a copy of its data folder: they are \
             left alone, and can be removed from the copy"
        ))
    });
    let told = counted
        .into_iter()
        .map(|(level, n)| format!("isolation: running at level {level}: {}", count(n, "replica")));
    told.map(Finding::Good).chain(foreign).collect()
}

async fn devices(data: &DataDir, config: &Config) -> Vec<Finding> {
    let temp = data.run();
    if let Err(err) = data.create() {
        let todo = "choose another folder with --data-dir".to_owned();
        return vec![Finding::Bad(format!("data folder {}: {err}", data.root().display()), todo)];
    }
    let engine = programs::engine(config).unwrap_or_else(|_| "dedi-engine".into());
    let opened =
        ProcessRuntime::open(config.runtime.clone(), temp, data.logs(), engine.clone(), engine).await;
    let (inventory, running) = match opened {
        Ok(runtime) => {
            let looked = (runtime.inventory().await, levels(&runtime).await);
            runtime.shutdown().await;
            looked
        }
        Err(err) => return vec![Finding::Bad(format!("devices: {err}"), "see the message".to_owned())],
    };
    let inventory = match inventory {
        Ok(inventory) if inventory.devices.is_empty() => {
            let todo = "set runtime.hardware.cpu_devices above 0, or check the GPU driver".to_owned();
            return vec![Finding::Bad("devices: none".to_owned(), todo)];
        }
        Ok(inventory) => inventory,
        Err(err) => return vec![Finding::Bad(format!("devices: {err}"), "see the message".to_owned())],
    };
    let largest = inventory.catalog().into_iter().fold(
        Vec::new(),
        |mut kinds: Vec<dedi_domain::HardwareConfig>, it| {
            kinds.retain(|other| other.kind != it.kind);
            kinds.push(it);
            kinds
        },
    );
    let mut findings: Vec<Finding> = running;
    findings.extend(
        largest.iter().map(|it| Finding::Good(format!("devices: {} of {}", it.count, it.kind.name()))),
    );
    findings.extend(gpus(&inventory));
    findings.extend(inventory.devices.iter().flat_map(device));
    findings
}

/// Whether replicas can use the GPUs there are, and whether all that are there are seen.
fn gpus(inventory: &Inventory) -> Vec<Finding> {
    let n_gpus = inventory.devices.iter().filter(|it| !it.kind.is_cpu()).count();
    if n_gpus == 0 && inventory.troubles.is_empty() {
        return vec![Finding::Note("devices: no GPU found; models run on the CPU".to_owned())];
    }
    let unseen = inventory.troubles.iter();
    let mut findings: Vec<Finding> =
        unseen.map(|it| Finding::Bad(format!("devices: {}", it.what), it.cure.clone())).collect();
    // It bars all or none.
    let mut bars = inventory.devices.iter().filter_map(|it| it.barred.as_ref());
    if let Some(bar) = bars.find(|it| it.cause == BarCause::EngineLacksGpu) {
        findings.push(Finding::Bad(
            format!("engine: {}; this host has {}", bar.what, count(n_gpus as u64, "GPU")),
            bar.cure.clone(),
        ));
    }
    findings
}

/// What keeps replicas from one device, and who else is on it.
fn device(device: &Device) -> Vec<Finding> {
    let id = &device.id;
    let mut findings = Vec::new();
    match &device.health {
        Health::Healthy => {}
        Health::Faulty(why) => findings.push(Finding::Bad(
            format!("device {id}: {why}"),
            "nothing is placed on it until that is done".to_owned(),
        )),
        Health::Unknown(why) => findings.push(Finding::Bad(
            format!("device {id}: {why}"),
            "what runs on it goes on, nothing else starts there until the driver answers".to_owned(),
        )),
    }
    if let Some(Bar { cause: BarCause::Divided, what, cure }) = &device.barred {
        findings.push(Finding::Bad(format!("device {id}: {what}"), cure.clone()));
    }
    if device.is_quarantined() {
        let held = device.leftover_bytes >> 20;
        findings.push(Finding::Bad(
            format!("device {id}: {held} MiB are held by no process that is there"),
            "reset it; until then nothing is placed on it".to_owned(),
        ));
    }
    // Without a name it is the driver's own.
    if !device.foreign_processes.is_empty() {
        let who = device.foreign_processes.join(", ");
        let so = if device.is_strangers() { ", so nothing is placed on it" } else { "" };
        findings.push(Finding::Note(format!("device {id}: {who}{so}")));
    }
    findings
}
