//! The faults a life may meet. Each seed enables a random subset: a fault that is always on hides the paths
//! of the others.

use crate::rng::Rng;

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Fault {
            $($(#[$doc])* $name,)*
        }

        impl Fault {
            pub(crate) const ALL: &'static [Self] = &[$(Self::$name,)*];
        }
    };
}

faults! {
    /// A control plane is killed between any two actions and started again later.
    Crash,
    /// Processes take up to ten seconds to go.
    SlowExit,
    /// Device memory comes back late, sometimes far beyond the wait for it.
    SlowMemory,
    /// A list of the runtime repeats the one before.
    LateList,
    /// A list shows a replica twice, once as it was before.
    DuplicateList,
    /// The runtime can't be asked.
    ListFails,
    /// The rows of a look are older than its list.
    StaleRows,
    /// Two control planes on one store.
    SecondController,
    /// A control plane stands still in the middle of its plan.
    Pause,
    /// Wall clocks differ and are set forth and back.
    ClockStep,
    /// A launch fails, before or after the process exists.
    SpawnFails,
    /// A launch is answered by a timeout and lands later.
    LateSpawn,
    /// A control plane is killed after it wrote a launch down and before it started anything.
    HalfSpawn,
    /// Engines exit or are killed.
    EngineDies,
    /// Engines stop answering.
    EngineHangs,
    /// Models have to be fetched first, which takes long and fails now and then.
    SlowFetch,
    /// A model is gone, or its files can't be read, for a while.
    ModelAway,
    /// Loading takes long.
    SlowLoad,
    /// Some engines never become ready.
    NeverReady,
    /// Some engines fail in a way that trying again can't mend.
    TerminalExit,
    /// Devices report faults.
    DeviceFaulty,
    /// Devices fall off the bus and return.
    DeviceVanishes,
    /// Strangers use device memory.
    ForeignMemory,
    /// A write fails, or is done though it was said to have failed.
    CommitUnknown,
    /// The host restarts.
    HostRestart,
    /// A process with our mark that no row knows, under the id of a replica that exists.
    Impostor,
    /// A supervisor is killed while its engine lives.
    SupervisorDies,
    /// A replica and its record disappear without a trace.
    Vanish,
    /// Somebody ends a replica on the host, or all of them and the control planes, as `dedi down` does.
    StoppedOnHost,
    /// Replies to users are lost and they ask again.
    LostReply,
    /// A change is written long after what it is based on was read.
    RacingChange,
    /// Requests that never end by themselves.
    StuckRequest,
    /// Route tables are applied late.
    LateRoutes,
    /// Load reports are late or stop coming.
    LateReports,
    /// The rows can't be read.
    StoreFails,
    /// The order of everything is shuffled before each decision.
    Shuffle,
    /// An endpoint's rows can't be read, or its steps fail: it is left out of the decision.
    SetAside,
}

/// The faults of one life.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults(u64);

impl Faults {
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        // From calm lives with a fault or two to stormy ones.
        let chance = [8, 20, 35, 60][rng.below(4)];
        let mut bits = 0;
        for fault in Fault::ALL {
            if rng.percent(chance) {
                bits |= 1 << (*fault as u64);
            }
        }
        Self(bits)
    }

    pub(crate) fn none() -> Self {
        Self(0)
    }

    pub(crate) fn has(self, fault: Fault) -> bool {
        self.0 & (1 << (fault as u64)) != 0
    }

    pub(crate) fn names(self) -> Vec<String> {
        Fault::ALL.iter().filter(|it| self.has(**it)).map(|it| format!("{it:?}")).collect()
    }
}
