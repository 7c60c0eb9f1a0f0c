//! Files and folders of others, the engine's own beyond what it needs, and what it does need.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use dedi_testing::EscapeTargets;

use super::Report;

pub(super) fn attempt(model: &Path, targets: &EscapeTargets, report: &mut Report) {
    for (name, path) in &targets.files {
        report.note(format!("read {name}"), fs::read(path));
        report.note(format!("open {name} for writing"), OpenOptions::new().write(true).open(path));
        report.note(format!("change the mode of {name}"), same_mode(path));
        report.note(format!("set the times of {name}"), same_times(path));
    }
    for (name, path) in &targets.folders {
        report.note(format!("list {name}"), fs::read_dir(path));
        report.note(format!("write into {name}"), write_into(path));
        report.note(format!("make a folder in {name}"), make_in(path));
        report.note(format!("change the mode of {name}"), same_mode(path));
    }
    report.note("open the model for writing", OpenOptions::new().write(true).open(model));
    report.note("change the mode of the model", same_mode(model));
    report.note("write into the model's folder", model.parent().map_or(Ok(()), write_into));
    report.note("make a link", symlink("/", "link"));
    let parameter = "/proc/sys/kernel/core_pattern";
    report.note("open a kernel parameter for writing", OpenOptions::new().write(true).open(parameter));
    report.note("list /home", fs::read_dir("/home"));
    report.note("list /var/lib", fs::read_dir("/var/lib"));

    report.note("own: read the model", fs::read(model));
    report.note("own: write and remove a file", write_into(Path::new(".")));
    report.note("own: make a folder", make_in(Path::new(".")));
    report.note("own: read what the host has", fs::read("/proc/meminfo").and(fs::read("/proc/self/status")));
    report.note("own: draw randomness", File::open("/dev/urandom"));
    report.note("own: throw away", OpenOptions::new().write(true).open("/dev/null"));
    report.note("own: run a program", std::process::Command::new("/bin/true").status());
    report.note("own: start a thread", std::thread::Builder::new().spawn(|| ()).map(|it| it.join().is_ok()));
}

fn write_into(folder: &Path) -> io::Result<()> {
    let path = folder.join("escape.tmp");
    fs::write(&path, "x")?;
    fs::remove_file(path)
}

fn make_in(folder: &Path) -> io::Result<()> {
    let path = folder.join("escape.dir");
    fs::create_dir(&path)?;
    fs::remove_dir(path)
}

fn same_mode(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, fs::metadata(path)?.permissions())
}

fn same_times(path: &Path) -> io::Result<()> {
    let meta = fs::metadata(path)?;
    let (accessed, modified) = (meta.accessed()?, meta.modified()?);
    let stamp = |at: std::time::SystemTime| {
        let since = at.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        rustix::fs::Timespec {
            tv_sec: i64::try_from(since.as_secs()).unwrap_or(0),
            tv_nsec: since.subsec_nanos().into(),
        }
    };
    let times = rustix::fs::Timestamps { last_access: stamp(accessed), last_modification: stamp(modified) };
    Ok(rustix::fs::utimensat(rustix::fs::CWD, path, &times, rustix::fs::AtFlags::empty())?)
}
