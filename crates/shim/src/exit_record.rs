//! How an end is written down, so that whoever reads it can place it on a clock of his own: the wall clock that a
//! process began with may have been set since.

use dedi_domain::Exit;
use serde::{Deserialize, Serialize};

use crate::{clock, identity};

/// What `exit.json` holds. A record of an older version has the first part only.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ExitRecord {
    #[serde(flatten)]
    exit: Exit,
    /// The boot it was written in.
    #[serde(default)]
    boot_id: Option<String>,
    /// How long the host had been up at the end, in milliseconds.
    #[serde(default)]
    uptime_ms: Option<i64>,
}

impl ExitRecord {
    /// An end by this process's clock.
    pub(crate) fn new(exit: &Exit) -> Self {
        let uptime_ms = Some(clock::uptime_ms_at(exit.at));
        Self { exit: exit.clone(), boot_id: identity::boot_id().ok(), uptime_ms }
    }

    /// The same by this process's clock; as it was written where that was in another boot.
    pub(crate) fn read(self) -> Exit {
        let is_of_this_boot = self.boot_id.is_some() && self.boot_id == identity::boot_id().ok();
        match self.uptime_ms {
            Some(uptime_ms) if is_of_this_boot => Exit { at: clock::at_uptime_ms(uptime_ms), ..self.exit },
            Some(_) | None => self.exit,
        }
    }
}

#[cfg(test)]
mod tests {
    use dedi_domain::{FailureCause, Timestamp};
    use serde_json::{Value, json};

    use super::*;

    /// The record of an end that was just now, as a process wrote it whose wall clock was an hour ahead.
    fn written(change: impl FnOnce(&mut Value)) -> Exit {
        let exit = Exit {
            code: Some(1),
            signal: None,
            cause: FailureCause::EngineExited,
            at: clock::now(),
            log_tail: vec!["bye".to_owned()],
        };
        let mut record = serde_json::to_value(ExitRecord::new(&exit)).unwrap();
        record["at"] = json!(exit.at.0 + 3_600_000);
        change(&mut record);
        let read = serde_json::from_value::<ExitRecord>(record).unwrap().read();
        assert_eq!(Exit { at: exit.at, ..read.clone() }, exit);
        Exit { at: Timestamp(read.at.0 - exit.at.0), ..read }
    }

    #[test]
    fn an_end_is_where_it_was_whatever_the_clock_of_its_writer_was_set_to() {
        assert_eq!(written(|_| {}).at, Timestamp(0));
    }

    #[test]
    fn an_end_in_another_boot_or_of_an_older_version_is_as_it_was_written() {
        let hour = Timestamp(3_600_000);
        assert_eq!(written(|it| it["boot_id"] = json!("another")).at, hour);
        let older = |it: &mut Value| {
            let fields = it.as_object_mut().unwrap();
            fields.remove("boot_id");
            fields.remove("uptime_ms");
        };
        assert_eq!(written(older).at, hour);
    }
}
