//! `dedi-fake-hub ADDRESS ORG/NAME FOLDER`: serves the files of a folder as one model, to try downloads by hand.

use std::process::ExitCode;

use dedi_testing::hub::{FakeHub, HubRepo};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [address, name, folder] = args.as_slice() else {
        eprintln!("usage: dedi-fake-hub ADDRESS ORG/NAME FOLDER");
        return ExitCode::from(2);
    };
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(err) => {
            eprintln!("error: {folder} can't be read: {err}");
            return ExitCode::FAILURE;
        }
    };
    let mut repo = HubRepo::default();
    for entry in entries.flatten() {
        let name = entry.file_name();
        if let (Some(name), Ok(bytes)) = (name.to_str(), std::fs::read(entry.path())) {
            repo = repo.file(name, &bytes);
        }
    }
    let hub = FakeHub::listen(address);
    hub.put(name, repo);
    eprintln!("{name} is at {}", hub.base_url());
    loop {
        std::thread::park();
    }
}
