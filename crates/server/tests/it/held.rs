//! A server that hangs while it opens its data folder.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::{Child, Command};

use crate::plane::{TestPlane, until};

/// Makes whoever opens the run folder wait there, with the data folder's lock in its hands.
pub(crate) struct Held {
    file: PathBuf,
    aside: PathBuf,
}

impl Held {
    pub(crate) fn new(plane: &TestPlane) -> Self {
        let (file, aside) = (plane.data().join("run/installation"), plane.data().join("installation"));
        std::fs::rename(&file, &aside).unwrap();
        assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
        Self { file, aside }
    }

    /// Waits until this server has the data folder, and can't go on.
    pub(crate) fn until_held(&self, plane: &TestPlane, server: &mut Child) -> File {
        until("the server in the data folder", || {
            assert!(server.try_wait().unwrap().is_none(), "it ended: {}", plane.log());
            let holder = std::fs::read_to_string(plane.data().join("server.lock")).unwrap();
            (holder.trim() == server.id().to_string()).then_some(())
        });
        let written = until("its look into the run folder", || {
            // Refused while nobody reads.
            let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
            File::options().write(true).custom_flags(flags).open(&self.file).ok()
        });
        std::fs::rename(&self.aside, &self.file).unwrap();
        written
    }

    /// Lets it go on.
    pub(crate) fn let_go(&self, mut written: File) {
        written.write_all(&std::fs::read(&self.file).unwrap()).unwrap();
    }
}
