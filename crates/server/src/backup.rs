//! `dedi backup`: a copy of the database in a new file. A running server makes it; where none runs, this program does,
//! and holds the data folder meanwhile.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use dedi_cli::Output;
use dedi_control::DataPaths;
use dedi_control::store::{self, DataLock, LockError};
use tokio::time::Instant;

use crate::exit::{EXIT_HELD, EXIT_USAGE};
use crate::paths::DataDir;
use crate::print::fail;
use crate::{admin, print};

/// Longest wait for a server that starts or ends: it holds the folder, but takes no orders.
const SERVER_WAIT: Duration = Duration::from_secs(10);
/// Longest wait for the copy.
const COPY_WAIT: Duration = Duration::from_secs(600);

/// Says where the copy is and how large, or why there is none.
pub(crate) async fn backup(data: &DataDir, file: &Path, output: Option<Output>) -> ExitCode {
    match make(data, file).await {
        Ok((file, n_bytes)) => {
            let made = format!("backed up the database to {}, {n_bytes} bytes, checked\n", file.display());
            let value = serde_json::json!({"file": file, "bytes": n_bytes});
            print::object(output, &value, &made).err().unwrap_or(ExitCode::SUCCESS)
        }
        Err((code, message)) => fail(code, &message),
    }
}

async fn make(data: &DataDir, file: &Path) -> Result<(PathBuf, u64), (u8, String)> {
    let absolute = std::path::absolute(file)
        .map_err(|err| (EXIT_USAGE, format!("{} is not a path: {err}", file.display())))?;
    let text = absolute
        .to_str()
        .ok_or_else(|| (EXIT_USAGE, format!("{} is not UTF-8, as SQLite needs it", absolute.display())))?;
    if !data.root().is_dir() {
        return Err((EXIT_USAGE, format!("there is no data folder {}", data.root().display())));
    }
    if !data.is_ours() {
        return Err((EXIT_USAGE, format!("{} is not a data folder of dedi", data.root().display())));
    }
    let paths = DataPaths::below(data.root());
    let deadline = Instant::now() + SERVER_WAIT;
    loop {
        let asked = admin::ask_to_back_up(&data.admin_socket(), text, COPY_WAIT).await;
        if let Some(n_bytes) = asked.map_err(|message| (1, message))? {
            return Ok((absolute, n_bytes));
        }
        match DataLock::acquire(&paths.lock) {
            Ok(_held) => {
                let made = store::backup(&paths.database, &absolute).await;
                return made.map(|n_bytes| (absolute, n_bytes)).map_err(|err| (1, err.to_string()));
            }
            Err(LockError::Held { .. }) if Instant::now() < deadline => {}
            Err(err @ LockError::Held { .. }) => {
                return Err((EXIT_HELD, format!("{err}; it takes no orders")));
            }
            Err(err @ LockError::Io { .. }) => return Err((1, err.to_string())),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
