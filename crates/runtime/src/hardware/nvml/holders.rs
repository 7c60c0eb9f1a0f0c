//! Who has a device's memory: we, strangers, or nobody any more. The driver names holders by their pid, and goes on
//! naming one whose teardown is stuck.

use std::collections::{BTreeMap, BTreeSet};

use dedi_domain::DeviceId;
use dedi_shim::identity::{self, ProcessId};
use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::struct_wrappers::device::ProcessInfo;

use crate::hardware::Engines;
use crate::hardware::cpu::{anonymous_bytes, size, used_by};

/// Used memory that no process explains and nobody can be blamed for: the driver's own.
const UNEXPLAINED_BYTES: u64 = 512 << 20;

/// Whose the memory is that a pid is listed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    /// A live engine's of ours.
    Ours,
    /// Of a program that is none of ours, as far as is known.
    Stranger,
    /// Left over: what held it has ended, or belonged to a replica that has.
    Leftover,
}

/// What is remembered of pids from look to look. Both lists hold what was live or listed at the last look and no
/// more, so a pid that is given away again later starts with nothing.
#[derive(Debug, Default)]
pub(super) struct Holders {
    /// Engines' processes that run now.
    live: BTreeSet<i32>,
    /// Start times of all that are or were engines' processes.
    engines: BTreeMap<i32, u64>,
    /// Listed ones that were seen to run: from here, they can be seen.
    seen: BTreeSet<i32>,
    /// Named by the driver at this look.
    listed: BTreeSet<i32>,
    /// Devices that live engines were given.
    given: BTreeSet<DeviceId>,
    /// Devices on which an engine was since nothing was held on them: what is held there may be left of it.
    touched: BTreeSet<DeviceId>,
}

impl Holders {
    /// Begins a look.
    pub(super) fn begin(&mut self, ours: &Engines) {
        self.live = ours.processes.iter().map(|it| it.pid).collect();
        self.engines.extend(ours.former.iter().map(|it| (it.pid, it.start_time)));
        self.engines.extend(ours.processes.iter().map(|it| (it.pid, it.start_time)));
        self.listed.clear();
        self.given = ours.devices.iter().map(|it| it.id.clone()).collect();
        self.touched.extend(self.given.iter().cloned());
        self.touched.extend(ours.former_devices.iter().cloned());
    }

    /// Ends it. What no device names any more is forgotten, provided that all have answered.
    pub(super) fn end(&mut self, all_answered: bool) {
        if all_answered {
            let Self { live, engines, seen, listed, given: _, touched: _ } = self;
            engines.retain(|pid, _| live.contains(pid) || listed.contains(pid));
            seen.retain(|pid| listed.contains(pid));
        }
    }

    /// Whose a listed pid is. In a container the driver may name processes that can't be seen here, so that there
    /// is no such process says something only of one that was seen before, or where all can be seen.
    pub(super) fn holder(&mut self, pid: i32) -> Holder {
        self.listed.insert(pid);
        if self.live.contains(&pid) {
            return Holder::Ours;
        }
        let engine = self.engines.get(&pid).map(|it| ProcessId { pid, start_time: *it });
        match ProcessId::of(pid) {
            // It outlived its replica.
            Ok(Some(now)) if engine == Some(now) => Holder::Leftover,
            Ok(Some(_)) => {
                self.seen.insert(pid);
                Holder::Stranger
            }
            Ok(None) => {
                let was_there = engine.is_some() || self.seen.contains(&pid);
                let is_gone = was_there || identity::is_certainly_gone(pid);
                if is_gone { Holder::Leftover } else { Holder::Stranger }
            }
            Err(_) => Holder::Stranger,
        }
    }
}

/// Who has a device's memory.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Use {
    pub(super) foreign_bytes: u64,
    /// By what they use, most first: `72 GiB used by python (pid 4711)`.
    pub(super) strangers: Vec<String>,
    pub(super) leftover_bytes: u64,
}

/// Whose memory is that no listed process explains, where it is more than the driver's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unexplained {
    /// What an engine of ours has left, or a process that could be seen if it were there.
    Leftover,
    /// A process's that can't be seen from here, as another container's.
    Unseen,
}

impl Holders {
    /// Divides the used bytes of a device among us, strangers and the dead. Without a list of processes, the sum alone
    /// counts.
    pub(super) fn account(
        &mut self,
        device: &DeviceId,
        used_bytes: u64,
        processes: Option<&[ProcessInfo]>,
    ) -> Use {
        let is_ours = self.given.contains(device) && processes.is_none();
        let can_see = processes.is_some() && identity::sees_all_pids();
        let unexplained = if can_see || self.touched.contains(device) {
            Unexplained::Leftover
        } else {
            Unexplained::Unseen
        };
        let usage =
            account(used_bytes, processes.unwrap_or_default(), is_ours, unexplained, |pid| self.holder(pid));
        if usage.leftover_bytes == 0 && !self.given.contains(device) {
            self.touched.remove(device);
        }
        usage
    }

    /// Memory of the host that engines' processes have.
    pub(super) fn our_host_bytes(&self) -> u64 {
        self.live.iter().map(|it| anonymous_bytes(*it)).sum()
    }
}

fn account(
    used_bytes: u64,
    processes: &[ProcessInfo],
    mut is_ours: bool,
    unexplained_is: Unexplained,
    mut holder: impl FnMut(i32) -> Holder,
) -> Use {
    // One that computes and draws is listed twice, each time with all it uses.
    let mut by_pid: BTreeMap<i32, Option<u64>> = BTreeMap::new();
    for process in processes {
        let bytes = match process.used_gpu_memory {
            UsedGpuMemory::Used(bytes) => Some(bytes),
            UsedGpuMemory::Unavailable => None,
        };
        let known = by_pid.entry(i32::try_from(process.pid).unwrap_or(0)).or_default();
        *known = (*known).max(bytes);
    }
    let named: u64 = by_pid.values().flatten().sum();
    let unexplained = used_bytes.saturating_sub(named);
    let mut strangers: Vec<(Option<u64>, i32)> = Vec::new();
    let mut dead: Vec<Option<u64>> = Vec::new();
    for (pid, bytes) in by_pid {
        match holder(pid) {
            Holder::Ours => is_ours = true,
            Holder::Stranger => strangers.push((bytes, pid)),
            Holder::Leftover => dead.push(bytes),
        }
    }
    let mut foreign_bytes: u64 = strangers.iter().filter_map(|it| it.0).sum();
    let mut leftover_bytes: u64 = dead.iter().flatten().sum();
    let n_silent = strangers.iter().filter(|it| it.0.is_none()).count();
    let mut unseen = None;
    if is_ours {
        // What a context of ours costs beyond what is listed for it.
    } else if n_silent > 0 {
        foreign_bytes += unexplained;
        if let ([one], 1) =
            (strangers.iter_mut().filter(|it| it.0.is_none()).collect::<Vec<_>>().as_mut_slice(), n_silent)
        {
            one.0 = Some(unexplained);
        }
    } else if dead.contains(&None) {
        leftover_bytes += unexplained;
    } else if unexplained <= UNEXPLAINED_BYTES {
        foreign_bytes += unexplained;
    } else {
        match unexplained_is {
            Unexplained::Leftover => leftover_bytes += unexplained,
            Unexplained::Unseen => {
                foreign_bytes += unexplained;
                unseen =
                    Some(format!("{} used by processes that can't be seen from here", size(unexplained)));
            }
        }
    }
    strangers.sort_unstable_by(|a, b| b.cmp(a));
    let named = strangers.into_iter().map(|(bytes, pid)| used_by(bytes, pid));
    Use { foreign_bytes, strangers: unseen.into_iter().chain(named).collect(), leftover_bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn process(pid: u32, bytes: Option<u64>) -> ProcessInfo {
        let used_gpu_memory = bytes.map_or(UsedGpuMemory::Unavailable, UsedGpuMemory::Used);
        ProcessInfo { pid, used_gpu_memory, gpu_instance_id: None, compute_instance_id: None }
    }

    /// Pid 7 is ours, 9 is gone, all others are strangers.
    fn holder(pid: i32) -> Holder {
        match pid {
            7 => Holder::Ours,
            9 => Holder::Leftover,
            _ => Holder::Stranger,
        }
    }

    /// Where all processes can be seen.
    fn seen(used_bytes: u64, processes: &[ProcessInfo]) -> Use {
        account(used_bytes, processes, false, Unexplained::Leftover, holder)
    }

    #[test]
    fn memory_that_nobody_has_is_leftover_only_where_nobody_could_have_it() {
        let none: [ProcessInfo; 0] = [];
        assert_eq!(seen(0, &none), Use::default());
        assert_eq!(seen(GIB / 4, &none).foreign_bytes, GIB / 4, "the driver's own");
        assert_eq!(seen(9 * GIB, &none).leftover_bytes, 9 * GIB);
        let ours = seen(9 * GIB, &[process(7, Some(8 * GIB))]);
        assert_eq!(ours, Use::default(), "a context costs more than is listed");
        let silent = seen(9 * GIB, &[process(8, None)]);
        assert_eq!((silent.foreign_bytes, silent.leftover_bytes), (9 * GIB, 0));
    }

    #[test]
    fn memory_of_processes_that_cannot_be_seen_is_strangers_and_said_to_be_that() {
        let none: [ProcessInfo; 0] = [];
        let hidden = account(72 * GIB, &none, false, Unexplained::Unseen, holder);
        assert_eq!((hidden.foreign_bytes, hidden.leftover_bytes), (72 * GIB, 0));
        assert_eq!(hidden.strangers, ["72 GiB used by processes that can't be seen from here"]);
        let own = account(GIB / 4, &none, false, Unexplained::Unseen, holder);
        assert_eq!((own.foreign_bytes, own.strangers.len()), (GIB / 4, 0), "the driver's own");
        // The sum alone, on a device that an engine of ours has.
        assert_eq!(account(72 * GIB, &none, true, Unexplained::Unseen, holder), Use::default());
    }

    #[test]
    fn memory_after_an_engine_is_its_leftover_until_it_is_gone_and_a_strangers_afterwards() {
        let device = DeviceId::local("GPU-0");
        let given = |holders: &mut Holders, is_given: bool| {
            let kind =
                dedi_domain::DeviceKind { product: "nvidia_x".into(), memory_gb: 80, link: String::new() };
            let assigned = dedi_domain::launch::AssignedDevice { id: device.clone(), kind, index: 0 };
            let devices = if is_given { vec![assigned] } else { Vec::new() };
            holders.begin(&Engines { devices, ..Engines::default() });
            // The driver does not list processes.
            let seen = holders.account(&device, 30 * GIB, None);
            (seen.foreign_bytes / GIB, seen.leftover_bytes / GIB)
        };
        let mut holders = Holders::default();
        assert_eq!(given(&mut holders, false), (30, 0), "nobody of ours was there");
        assert_eq!(given(&mut holders, true), (0, 0));
        assert_eq!(given(&mut holders, false), (0, 30));
        assert_eq!(given(&mut holders, false), (0, 30));
        holders.begin(&Engines::default());
        assert_eq!(holders.account(&device, 0, None), Use::default());
        assert_eq!(given(&mut holders, false), (30, 0), "somebody came after it was clear");
    }

    #[test]
    fn strangers_are_counted_once_and_named_by_what_they_use() {
        let me = std::process::id();
        let name = std::fs::read_to_string("/proc/self/comm").unwrap();
        let listed = [process(0, Some(GIB)), process(me, Some(3 * GIB)), process(0, Some(GIB))];
        let usage = seen(4 * GIB, &listed);
        assert_eq!((usage.foreign_bytes, usage.leftover_bytes), (4 * GIB, 0));
        let named = format!("3.0 GiB used by {} (pid {me})", name.trim());
        assert_eq!(
            usage.strangers,
            [named, "1.0 GiB used by a process that can't be seen from here".to_owned()]
        );
        // The driver names it without a figure, as in some containers: the sum tells.
        let silent = seen(72 * GIB, &[process(me, None)]);
        assert_eq!(silent.strangers, [format!("72 GiB used by {} (pid {me})", name.trim())]);
    }

    #[test]
    fn what_the_dead_are_listed_with_is_leftover_beside_whoever_else_is_there() {
        let dead = process(9, Some(6 * GIB));
        let alone = seen(6 * GIB + GIB / 4, std::slice::from_ref(&dead));
        assert_eq!((alone.foreign_bytes, alone.leftover_bytes), (GIB / 4, 6 * GIB));
        let both = seen(8 * GIB, &[process(0, Some(2 * GIB)), dead.clone()]);
        assert_eq!((both.foreign_bytes, both.leftover_bytes, both.strangers.len()), (2 * GIB, 6 * GIB, 1));
        let ours = seen(8 * GIB, &[process(7, Some(GIB)), dead]);
        assert_eq!((ours.foreign_bytes, ours.leftover_bytes), (0, 6 * GIB));
        let silent = seen(GIB / 4, &[process(9, None)]);
        assert_eq!((silent.foreign_bytes, silent.leftover_bytes), (0, GIB / 4));
    }

    fn own() -> ProcessId {
        ProcessId::of(i32::try_from(std::process::id()).unwrap()).unwrap().unwrap()
    }

    #[test]
    fn an_ended_engine_is_remembered_as_long_as_the_driver_names_it() {
        // No process has such a pid.
        let (pid, other) = (i32::MAX - 1, i32::MAX - 2);
        let engine = ProcessId { pid, start_time: 1 };
        let mut holders = Holders::default();
        holders.begin(&Engines { processes: vec![engine], ..Engines::default() });
        assert_eq!(holders.holder(pid), Holder::Ours);
        holders.end(true);
        // Its record is gone, and one device did not answer.
        holders.begin(&Engines::default());
        holders.end(false);
        holders.begin(&Engines::default());
        assert_eq!(holders.holder(pid), Holder::Leftover);
        holders.end(true);
        assert_eq!(holders.engines.len(), 1);
        holders.begin(&Engines::default());
        holders.end(true);
        assert_eq!((holders.engines.len(), holders.seen.len()), (0, 0));
        holders
            .begin(&Engines { former: vec![ProcessId { pid: other, start_time: 1 }], ..Engines::default() });
        assert_eq!(holders.holder(other), Holder::Leftover, "its record alone says so");
    }

    #[test]
    fn a_pid_that_was_an_engines_and_is_somebody_elses_now_is_a_strangers() {
        let now = own();
        let mut holders = Holders::default();
        let before = ProcessId { start_time: now.start_time - 1, ..now };
        holders.begin(&Engines { former: vec![before], ..Engines::default() });
        assert_eq!(holders.holder(now.pid), Holder::Stranger);
        // The same process, and its replica is gone.
        holders.begin(&Engines { former: vec![now], ..Engines::default() });
        assert_eq!(holders.holder(now.pid), Holder::Leftover);
    }

    #[test]
    fn a_stranger_that_was_seen_to_run_and_does_no_more_has_left_what_it_held() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let mut holders = Holders::default();
        holders.begin(&Engines::default());
        assert_eq!(holders.holder(pid), Holder::Stranger);
        holders.end(true);
        child.kill().unwrap();
        child.wait().unwrap();
        holders.begin(&Engines::default());
        assert_eq!(holders.holder(pid), Holder::Leftover);
        assert_eq!(holders.holder(0), Holder::Stranger, "the driver did not say which");
    }
}
