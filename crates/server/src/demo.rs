//! The model that comes with the program, so that a first endpoint needs no download.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::time::Duration;

use crate::paths::{DataDir, write_atomically};

/// Name of the bundled model.
pub(crate) const MODEL: &str = "dedi/demo";

static WEIGHTS: &[u8] = include_bytes!("../../../models/dedi/demo/demo.gguf");
static CARD: &[u8] = include_bytes!("../../../models/dedi/demo/README.md");
static LICENSE: &[u8] = include_bytes!("../../../models/dedi/demo/LICENSE");

/// Longest wait for the model store's disk; the server starts without its answer.
const INSTALL_MAX: Duration = Duration::from_secs(5);

/// Puts the demo model into the model store, if it is not there as bundled.
pub(crate) async fn install(data: &DataDir) -> io::Result<()> {
    let data = data.clone();
    let installed = tokio::task::spawn_blocking(move || put_in_place(&data));
    match tokio::time::timeout(INSTALL_MAX, installed).await {
        Ok(done) => done.map_err(io::Error::other)?,
        Err(_elapsed) => {
            let secs = INSTALL_MAX.as_secs();
            tracing::warn!(
                "the model store's disk did not answer within {secs} s; the server starts without"
            );
            Ok(())
        }
    }
}

fn put_in_place(data: &DataDir) -> io::Result<()> {
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
