//! Protocol bugs that can be planted, one at a time, to show that the checks see them. Where another layer
//! would heal the bug and so hide it, that layer is switched off with it.

macro_rules! bugs {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// A mistake to plant.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Bug {
            $($(#[$doc])* $name,)*
        }

        impl Bug {
            /// Every bug.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its name on the command line.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

bugs! {
    /// Runtime: asking again for a launch starts a second process; lists do not wait for launches.
    DoubleSpawn = "double-spawn",
    /// Runtime: removes whatever has the replica's id, whatever its mark.
    RemoveByIdOnly = "remove-by-id-only",
    /// Runtime: a list is answered while a launch is under way.
    ListDuringLaunch = "list-during-launch",
    /// Runtime: a record of an earlier boot is taken for a process of this one.
    IgnoreBoot = "ignore-boot",
    /// Runtime: takes commands of a control plane that has lost its lease.
    NoRuntimeFence = "no-runtime-fence",
    /// Runtime: a list that failed is an empty list.
    UnknownIsEmpty = "unknown-is-empty",
    /// Runtime: a list may be older than a command that was answered before.
    StaleList = "stale-list",
    /// Runtime: a list leaves a replica out now and then.
    PartialList = "partial-list",
    /// Runtime: what was ended on the host leaves no record of its launch.
    DownForgets = "down-forgets",
    /// Runtime: a process that was told to go is listed as gone.
    StoppingIsGone = "stopping-is-gone",
    /// Runtime: devices are measured before the list is made.
    InventoryFirst = "inventory-first",
    /// Store: writes of an older lease are taken.
    NoEpochCheck = "no-epoch-check",
    /// Store: two rows may hold one device; placement forgets what is held.
    NoUniqueDevice = "no-unique-device",
    /// Store: a reservation is taken though the wish has changed since.
    ReserveIgnoresGeneration = "reserve-ignores-generation",
    /// Store: a state is shown though the wish or the state has changed since.
    PublishIgnoresGeneration = "publish-ignores-generation",
    /// Store: an idle stop is taken though the user has changed the wish since.
    IdleIgnoresGeneration = "idle-ignores-generation",
    /// Store: a deleted endpoint's row goes while replicas exist.
    EraseTooEarly = "erase-too-early",
    /// Store: the seen mark is lost.
    ForgetSeen = "forget-seen",
    /// Store: failures are not kept.
    ForgetFailures = "forget-failures",
    /// Store: a late drain turns a stopping replica back to draining.
    IntentGoesUp = "intent-goes-up",
    /// Store: a replica that drained loses the reason when it is stopped.
    StopForgetsReason = "stop-forgets-reason",
    /// Store: rows that can't be read are no rows.
    StoreFailureIsEmpty = "store-failure-is-empty",
    /// Users: a change overwrites another that came between its read and its write.
    LostUpdate = "lost-update",
    /// Users: a change based on an old read takes a deletion back.
    Resurrect = "resurrect",
    /// Users: a deletion that met a conflict is acknowledged all the same.
    LostDelete = "lost-delete",
    /// Users: a create whose reply was lost is done twice.
    CreateTwice = "create-twice",
    /// Gateway: acknowledges a table before it routes by it.
    AckBeforeApply = "ack-before-apply",
    /// Gateway: table versions begin anew when the control plane restarts.
    VersionRestarts = "version-restarts",
    /// Gateway: finds an endpoint by its id, whoever asks.
    FindsForeign = "finds-foreign",
    /// Gateway: what has waited for too long is dropped without a word.
    ForgetsWaiting = "forgets-waiting",
    /// Gateway: a client that left is counted, and its request goes on.
    EndsTwice = "ends-twice",
    /// Gateway: sends a request to another replica though its client has bytes of the first.
    RetryAfterBytes = "retry-after-bytes",
    /// Routes: whoever may only ask for tokens is told what engines and hubs have said.
    TellsOverheard = "tells-overheard",
    /// Routes: a shortage names who holds the devices.
    NamesHolder = "names-holder",
    /// Users: a change finds the endpoint by its id, whoever asks.
    ChangesForeign = "changes-foreign",
    /// Store: the key that a request came with is kept.
    KeepsKey = "keeps-key",
    /// Running times: nothing is recorded before the end.
    NoBeats = "no-beats",
    /// Running times: who is not listed counts as alive.
    BillsUnseen = "bills-unseen",
    /// Running times: a late list counts as one of now.
    BillsLateList = "bills-late-list",
    /// Running times: a replica is billed from its reservation.
    BillsLoading = "bills-loading",
    /// Running times: they end when the devices are free.
    BillsUntilRelease = "bills-until-release",
    /// Running times: a late beat moves on what has ended.
    BeatsTheDead = "beats-the-dead",
    /// Plan: devices are freed when the process was told to go.
    FreeBeforeExit = "free-before-exit",
    /// Plan: a draining replica is stopped before the gateway let go of it.
    SkipDrainAck = "skip-drain-ack",
    /// Plan: a draining replica is stopped with requests on it.
    SkipInFlight = "skip-in-flight",
    /// Plan: draining may take for ever.
    NoDrainTimeout = "no-drain-timeout",
    /// Plan: devices are taken before the model is here.
    LaunchWithoutModel = "launch-without-model",
    /// Plan: what was reserved is started though its model has gone meanwhile.
    SpawnWithoutModel = "spawn-without-model",
    /// Plan: a request for a stopped endpoint starts it.
    WakeStopped = "wake-stopped",
    /// Plan: the process is started before its row is written.
    SpawnBeforeReserve = "spawn-before-reserve",
    /// Plan: STARTED is shown while the first replica loads.
    StartedWhileLaunching = "started-while-launching",
    /// Plan: STARTED is shown because a draining replica still answers.
    DrainingCounts = "draining-counts",
    /// Plan: devices are freed though their memory is not back.
    IgnoreLeftover = "ignore-leftover",
    /// Plan: devices whose memory can't be measured are freed at once.
    UnmeasuredIsFree = "unmeasured-is-free",
    /// Plan: devices are freed without a word that their memory was not measured.
    UnmeasuredIsUnsaid = "unmeasured-is-unsaid",
    /// Plan: devices with leftover memory are given out again.
    NoQuarantine = "no-quarantine",
    /// Plan: device memory is awaited for ever.
    NoReleaseWait = "no-release-wait",
    /// Plan: each launch is reserved twice.
    DoubleReserve = "double-reserve",
    /// Plan: failed replicas are replaced at once.
    NoBackoff = "no-backoff",
    /// Plan: failures that can't be mended are tried again.
    RetryTerminal = "retry-terminal",
    /// Plan: scaling down takes replicas that serve before those that load.
    DrainReadyFirst = "drain-ready-first",
    /// Plan: small requests overtake a large one.
    StarveLarge = "starve-large",
    /// Plan: who waits for the next try after a failure loses its turn.
    BackoffLosesTurn = "backoff-loses-turn",
    /// Plan: states are shown without the steps between.
    JumpState = "jump-state",
    /// Plan: a shortage is shown as ERROR.
    ErrorWithoutRetry = "error-without-retry",
    /// Plan: no load report counts as no load.
    MissingLoadIsIdle = "missing-load-is-idle",
    /// Plan: processes that no row knows are left alone.
    KeepStrangers = "keep-strangers",
    /// Plan: what an endpoint holds that is left out of the decision is nobody's.
    AsideIsGone = "aside-is-gone",
    /// Plan: faulty devices are used.
    IgnoreHealth = "ignore-health",
    /// Plan: an engine without its supervisor counts as loading.
    AdoptOrphan = "adopt-orphan",
    /// Plan: an engine that does not answer counts as ready.
    IgnoreHang = "ignore-hang",
    /// Plan: loading may take for ever.
    NoStartupDeadline = "no-startup-deadline",
    /// Plan: a failed replica is never replaced.
    NeverRetry = "never-retry",
    /// Plan: a pass claims to have seen more than it has.
    GenerationAhead = "generation-ahead",
    /// Plan: the order of the rows decides who is served.
    OrderMatters = "order-matters",
    /// Plan: whatever ends a replica is called scaling.
    BlamesScaling = "blames-scaling",
    /// Scaling: no load report means the minimum is enough.
    ScaleDownBlind = "scale-down-blind",
    /// Scaling: the size forgets that it has slept.
    NeverSleeps = "never-sleeps",
    /// Clock: waits follow the wall clock.
    RawClock = "raw-clock",
    /// Lease: nobody takes it over.
    NoTakeover = "no-takeover",
}

impl Bug {
    /// The bug of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|it| it.name() == name)
    }
}
