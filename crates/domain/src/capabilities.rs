//! What a runtime can do, as far as a decision depends on it.

/// What a runtime can do. The same for as long as it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// It measures what is held on devices after a process. Where it does not, a device is free when its replica's
    /// processes are gone.
    pub measures_memory: bool,
    /// Who chooses the devices of a replica.
    pub placed_by: PlacedBy,
    /// The highest isolation level that its replicas can have; docs/architecture.md lists the levels.
    pub isolation_level_max: u8,
}

/// Who chooses the devices of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlacedBy {
    /// The decision, among the devices of the inventory. A replica's row reserves them.
    Decision,
    /// The runtime, which finds a place for so much hardware by itself. Nothing is reserved here.
    Runtime,
}

impl Default for Capabilities {
    /// What processes on this host have.
    fn default() -> Self {
        Self { measures_memory: true, placed_by: PlacedBy::Decision, isolation_level_max: 1 }
    }
}
