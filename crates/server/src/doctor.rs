//! `dedi doctor`: what this host offers and what is missing, each with what to do about it.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use dedi_cli::Output;
use dedi_cli::console::Console;
use dedi_control::models::{ModelStore, Oddity};
use dedi_control::store::{Holder, SqliteStore};
use dedi_control::{ControlError, DataPaths};
use dedi_domain::hardware::Health;
use dedi_domain::plural::count;
use dedi_domain::{Bar, BarCause, Device, Inventory};
use dedi_runtime_api::{Finding, RuntimeProvider, Survey};

use crate::config::Config;
use crate::exit::EXIT_BROKEN;
use crate::paths::DataDir;
use crate::programs::NoVersion;
use crate::{admin, demo, logging, print, programs, runtime, stop};

/// Free disk below which downloads and logs will soon fail.
const DISK_FREE_BYTES_MIN: u64 = 2 << 30;

/// Longest wait for the database to be read through.
const DATABASE_WAIT: Duration = Duration::from_secs(30);

/// Longest wait for a server to tell its numbers.
const ADMIN_WAIT: Duration = Duration::from_secs(5);
/// Longest wait for the model store.
const MODELS_WAIT: Duration = Duration::from_secs(10);

/// What findings about the supervising program begin with.
const SHIM: &str = "shim";

/// Prints the findings; exits 1 if one would keep endpoints from running.
pub(crate) async fn doctor(data: &DataDir, config: &Config, output: Option<Output>) -> ExitCode {
    let mut findings = vec![engine(config).await];
    findings.extend(shim(config).await);
    findings.extend(folder(data));
    findings.push(disk(data.root()));
    findings.extend(models(data).await);
    let server = holder(data).await;
    findings.extend(server.as_ref().map(said_of));
    if server.is_some() {
        findings.extend(log(data).await);
    }
    findings.push(database(data, server.is_some()).await);
    findings.extend(clock(data).await);
    let runtime = runtime::beside_server(data, config);
    findings.extend(devices(&runtime).await);
    findings.extend(runtime.isolation().await);
    let n_bad = findings.iter().filter(|it| matches!(it, Finding::Bad(..))).count();
    let width = Console::standard().width();
    let mut said: String = findings.iter().map(|it| line(it, width)).collect();
    if n_bad == 0 {
        said.push_str(&match server {
            Some(_) => {
                format!("This host can run endpoints, and its server runs; create one on {}.\n", demo::MODEL)
            }
            None => {
                let model = demo::MODEL;
                format!("This host can run endpoints; try `dedi serve`, then create one on {model}.\n")
            }
        });
    }
    let values: Vec<_> = findings.iter().map(value).collect();
    match print::object(output, &values, &said) {
        Err(code) => code,
        Ok(()) if n_bad == 0 => ExitCode::SUCCESS,
        Ok(()) => ExitCode::from(EXIT_BROKEN),
    }
}

/// As it is printed, wrapped to the terminal if it is on one.
fn line(finding: &Finding, width: Option<usize>) -> String {
    let lines = match finding {
        Finding::Good(what) => vec![format!("ok    {what}")],
        Finding::Note(what) => vec![format!("note  {what}")],
        Finding::Bad(what, todo) => vec![format!("BAD   {what}"), format!("      {todo}")],
    };
    let wrapped = |line: String| match width {
        Some(width) => {
            let options = textwrap::Options::new(width).subsequent_indent("      ").break_words(false);
            textwrap::fill(&line, options.word_splitter(textwrap::WordSplitter::NoHyphenation))
        }
        None => line,
    };
    lines.into_iter().map(|it| wrapped(it) + "\n").collect()
}

/// As programs read it.
fn value(finding: &Finding) -> serde_json::Value {
    let (level, message, hint) = match finding {
        Finding::Good(what) => ("ok", what, None),
        Finding::Note(what) => ("note", what, None),
        Finding::Bad(what, todo) => ("bad", what, Some(todo)),
    };
    serde_json::json!({"level": level, "message": message, "hint": hint})
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

/// Whether a server would take the folder.
fn folder(data: &DataDir) -> Option<Finding> {
    let refused = match data.holds_others() {
        Ok(others) => others?,
        Err(err) => format!("it can't be read: {err}"),
    };
    let what = format!("data folder {}: {refused}", data.root().display());
    Some(Finding::Bad(what, "`dedi serve` refuses it like that".to_owned()))
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

/// What is odd about the model store, which may be on a disk that hangs.
async fn models(data: &DataDir) -> Vec<Finding> {
    let store = ModelStore::new(data.models());
    let looked = tokio::task::spawn_blocking(move || store.oddities());
    let told = |it: &Oddity| Finding::Note(format!("models: {}", it.sentence()));
    match tokio::time::timeout(MODELS_WAIT, looked).await {
        Ok(Ok(found)) => found.iter().map(told).collect(),
        Ok(Err(_panicked)) => vec![Finding::Note("models: the model store could not be read".to_owned())],
        Err(_elapsed) => {
            let (secs, folder) = (MODELS_WAIT.as_secs(), data.models());
            vec![Finding::Bad(
                format!("models: {} did not answer within {secs} s", folder.display()),
                "look at the disk or the network file system that it is on".to_owned(),
            )]
        }
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

/// Whether the server's log is whole.
async fn log(data: &DataDir) -> Option<Finding> {
    // One that does not answer, or knows no such number, says nothing of its log.
    let text = admin::metrics(&data.admin_socket(), ADMIN_WAIT).await.ok().flatten()?;
    let n: u64 = text.lines().find_map(|it| it.strip_prefix(logging::DROPPED))?.trim().parse().ok()?;
    (n > 0).then(|| {
        Finding::Note(format!(
            "log: {} since its start could not be written, or came faster than stderr was read; see where the \
             server's stderr goes",
            count(n, "log line")
        ))
    })
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
    match tokio::time::timeout(DATABASE_WAIT, SqliteStore::check_file(&paths.database)).await {
        Ok(Ok(())) => Finding::Good(format!("database: {shown}")),
        Ok(Err(err)) => bad(err.into()),
        Err(_) => {
            let secs = DATABASE_WAIT.as_secs();
            Finding::Note(format!("database: {shown} is too large to be read through within {secs} s"))
        }
    }
}

/// Whether the host's clock is before the last record of a server, and so can't be right. Nothing is said where that
/// can't be read: the database's own finding says why.
async fn clock(data: &DataDir) -> Option<Finding> {
    let database = DataPaths::below(data.root()).database;
    let read = tokio::time::timeout(DATABASE_WAIT, SqliteStore::last_record(&database)).await;
    let record = read.ok()?.ok()??;
    let todo = "set the clock, or, if it is right and the record was written under a wrong one, start once with \
                control.clock_is_right = true";
    Some(match dedi_control::clock_trouble(dedi_shim::clock::wall(), record) {
        Some(what) => Finding::Bad(format!("clock: {what}"), todo.to_owned()),
        None => Finding::Good("clock: after the last record of this data folder".to_owned()),
    })
}

/// What the replicas that run now really have, which may be older than the config; and those that are not looked at.
fn levels(seen: &Survey) -> Vec<Finding> {
    let foreign = (seen.n_foreign > 0).then(|| {
        let them = count(seen.n_foreign, "replica");
        Finding::Note(format!(
            "run folder: it has records of {them} of another installation, as in a copy of its data folder: they are \
             left alone, and can be removed from the copy"
        ))
    });
    let told = seen.levels.iter();
    let told =
        told.map(|(level, n)| format!("isolation: running at level {level}: {}", count(*n, "replica")));
    told.map(Finding::Good).chain(foreign).collect()
}

async fn devices(runtime: &dyn RuntimeProvider) -> Vec<Finding> {
    // Nothing is made: the folder may be somebody else's.
    let (inventory, running) = match runtime.survey().await {
        Ok(seen) => {
            let levels = levels(&seen);
            (seen.inventory, levels)
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
