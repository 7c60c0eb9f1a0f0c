//! How the program ends: the codes a supervisor can act on without reading the log.

use std::process::ExitCode;

/// Why the engine ended. The numbers are part of its interface; 2 is clap's, for a wrong command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Asked to stop, and did.
    Stopped = 0,
    /// A fault of the engine's own; the log has the cause.
    Internal = 1,
    /// The model file is damaged, or of a kind this engine cannot run. Trying again will not help.
    Model = 3,
    /// There was not enough memory for the weights or the context.
    Memory = 4,
    /// The address or socket could not be listened on.
    Listen = 5,
    /// The processor lacks instructions this build needs.
    Processor = 6,
    /// Decoding failed again and again after the model was loaded.
    Decode = 7,
    /// The model file is absent or could not be read: its disk may be there again when it is tried again.
    Unread = 8,
    /// Layers were to be put on a GPU, and this build has no back-end for one or sees none.
    Device = 9,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_those_that_the_engines_spec_explains() {
        let spec = dedi_domain::EngineSpec::embedded("dedi-engine".into());
        let mut explained: Vec<i32> = spec.exits.iter().filter_map(|it| it.code).collect();
        explained.sort_unstable();
        explained.dedup();
        assert_eq!(explained, [Exit::Model, Exit::Memory, Exit::Device].map(|it| it as i32));
    }
}
