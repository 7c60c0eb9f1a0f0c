//! The model that comes with the program, so that a first endpoint needs no download.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;

use crate::paths::{DataDir, write_atomically};

/// Name of the bundled model.
pub(crate) const MODEL: &str = "dedi/demo";

static WEIGHTS: &[u8] = include_bytes!("../../../models/dedi/demo/demo.gguf");
static CARD: &[u8] = include_bytes!("../../../models/dedi/demo/README.md");
static LICENSE: &[u8] = include_bytes!("../../../models/dedi/demo/LICENSE");

/// Puts the demo model into the model store, if it is not there as bundled.
pub(crate) fn install(data: &DataDir) -> io::Result<()> {
    let dir = data.models().join(MODEL);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
    for (name, bytes) in [("demo.gguf", WEIGHTS), ("README.md", CARD), ("LICENSE", LICENSE)] {
        let path = dir.join(name);
        if fs::read(&path).is_ok_and(|it| it == bytes) {
            continue;
        }
        write_atomically(&path, bytes, 0o600)?;
        // It is another one from here on, and meant to be.
        let _ = fs::remove_file(data.models().join(".verified").join(format!("{MODEL}.json")));
    }
    Ok(())
}
