//! The cases. Which failpoints an operation passes is traced, not listed, so that a new one is swept by itself.

use std::collections::{BTreeMap, VecDeque};

use crate::audit::Finding;
use crate::dice::Dice;
use crate::life::{Failpoint, Killed, Life};
use crate::operation::Operation;

/// Cases of the first round that are no failpoint's, of each kind.
const OTHERS: usize = 6;

/// One kill, or one thing as bad.
#[derive(Clone, Debug)]
pub(crate) enum Case {
    /// A death at a failpoint during an operation; perhaps with the server; perhaps another in the recovery.
    At { operation: Operation, at: Failpoint, both: bool, again: Option<Failpoint> },
    /// The death of the endpoint's engines while somebody is at a failpoint of an operation.
    Engines { operation: Operation, at: Failpoint },
    /// A death at a failpoint on an empty folder.
    FirstBoot { at: Failpoint },
    /// One of two servers dies while one takes over from the other.
    TakeOver { operation: Operation, at: Failpoint, both: bool },
    /// `dedi down` ends everything, and it or the server dies.
    Down { at: Failpoint },
    /// Anybody dies at a random instant.
    Random { seed: u64 },
    /// Everybody dies, and strangers get the pids.
    Reuse { seed: u64 },
    /// A second server is started, and refused.
    Second { seed: u64 },
}

impl Case {
    /// The row of the table that it counts in.
    pub(crate) fn kind(&self) -> String {
        match self {
            Self::At { operation, .. } => format!("{operation:?}").to_lowercase(),
            Self::Engines { .. } => "engine".to_owned(),
            Self::FirstBoot { .. } => "first boot".to_owned(),
            Self::TakeOver { .. } => "takeover".to_owned(),
            Self::Down { .. } => "down".to_owned(),
            Self::Random { .. } => "random".to_owned(),
            Self::Reuse { .. } => "pid reuse".to_owned(),
            Self::Second { .. } => "2nd server".to_owned(),
        }
    }

    /// Does it on a plane at rest.
    pub(crate) fn run(&self, life: &mut Life) -> Result<Killed, Vec<Finding>> {
        match self {
            Self::At { operation, at, both, again } => life.kill_at(*operation, at, *both, again.as_ref()),
            Self::Engines { operation, at } => life.kill_engines_at(*operation, at),
            Self::FirstBoot { at } => Life::kill_at_first_boot(at),
            Self::TakeOver { operation, at, both } => life.kill_at_takeover(*operation, at, *both),
            Self::Down { at } => life.kill_at_down(at),
            Self::Random { seed } => life.kill_at_random(&mut Dice::new(*seed)),
            Self::Reuse { seed } => life.kill_and_reuse(&mut Dice::new(*seed)),
            Self::Second { seed } => life.start_seconds(&mut Dice::new(*seed)),
        }
    }
}

/// What undisturbed runs passed.
pub(crate) struct Traced {
    boot: Passed,
    takeover: Passed,
    down: Passed,
    operations: BTreeMap<Operation, Passed>,
}

/// Failpoints, each with how often it was passed.
type Passed = BTreeMap<String, usize>;

fn counted(names: Vec<String>) -> Passed {
    let mut counts = Passed::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    counts
}

/// Any of the times that any of them was passed, the `n_max` first at most.
fn draw(passed: &Passed, n_max: usize, dice: &mut Dice) -> Failpoint {
    let all: Vec<(&String, &usize)> = passed.iter().collect();
    let (name, count) = all[dice.below(all.len())];
    Failpoint { name: name.clone(), n: 1 + dice.below((*count).min(n_max)) }
}

impl Traced {
    /// One plane through everything, without a death.
    pub(crate) fn new() -> Self {
        let mut life = Life::begin(true).unwrap_or_else(|found| panic!("a plane does not start: {found:?}"));
        let boot = counted(life.trace_of_first_boot());
        let mut operations = BTreeMap::new();
        for operation in Operation::ALL {
            let names = life.trace(operation).unwrap_or_else(|found| panic!("{operation:?}: {found:?}"));
            operations.insert(operation, counted(names));
        }
        let is_of_shim = |name: &String| name.starts_with("shim.");
        assert!(
            operations.values().flat_map(BTreeMap::keys).any(is_of_shim),
            "no shim can be told where to die: `make kill-sweep` builds one that can"
        );
        let takeover = life.trace_takeover().unwrap_or_else(|found| panic!("a takeover: {found:?}"));
        let down = life.trace_down().unwrap_or_else(|found| panic!("down: {found:?}"));
        life.end().unwrap_or_else(|found| panic!("an undisturbed plane: {found:?}"));
        Self { boot, takeover: counted(takeover), down: counted(down), operations }
    }

    /// Each failpoint once, and a few of the other kinds; then as many more as make `n`. Fewer than that takes
    /// every k-th, so that each kind keeps its share.
    pub(crate) fn cases(&self, n: usize, dice: &mut Dice) -> Vec<Case> {
        let mut cases = self.first_round();
        for _ in 0..OTHERS {
            cases.push(self.of_engines(dice));
            cases.push(Case::Reuse { seed: dice.seed() });
            cases.push(Case::Second { seed: dice.seed() });
        }
        println!("{} cases in the first round, {n} wanted", cases.len());
        while cases.len() < n {
            cases.push(self.another(dice));
        }
        let n_all = cases.len();
        (0..n).map(|it| cases[it * n_all / n].clone()).collect()
    }

    /// In the operations' order, a life at a time: what one case leaves is what the next one needs.
    fn first_round(&self) -> Vec<Case> {
        let first = |name: &String| Failpoint { name: name.clone(), n: 1 };
        let mut queues: Vec<VecDeque<Case>> = Vec::new();
        for (operation, counts) in &self.operations {
            let operation = *operation;
            let cases = counts.keys().zip(0..).map(|(name, position)| {
                let both = position % 2 == 0;
                Case::At { operation, at: first(name), both, again: None }
            });
            queues.push(cases.collect());
        }
        let mut cases = Vec::new();
        while queues.iter().any(|it| !it.is_empty()) {
            cases.extend(queues.iter_mut().filter_map(VecDeque::pop_front));
        }
        cases.extend(self.boot.keys().map(|name| Case::FirstBoot { at: first(name) }));
        cases.extend(self.down.keys().map(|name| Case::Down { at: first(name) }));
        for (name, position) in self.takeover.keys().zip(0..) {
            let operation = Operation::ALL[1 + position % 5];
            cases.push(Case::TakeOver { operation, at: first(name), both: position % 2 == 0 });
        }
        cases
    }

    /// Engines that die at any failpoint of an operation that finds some.
    fn of_engines(&self, dice: &mut Dice) -> Case {
        const OPERATIONS: [Operation; 4] =
            [Operation::ScaleUp, Operation::ScaleDown, Operation::Stop, Operation::Delete];
        let operation = OPERATIONS[dice.below(OPERATIONS.len())];
        let names: Vec<&String> = self.operations[&operation].keys().collect();
        let at = Failpoint { name: names[dice.below(names.len())].clone(), n: 1 };
        Case::Engines { operation, at }
    }

    /// Any case: half of them at any hit of a failpoint, where half of the recoveries die too.
    fn another(&self, dice: &mut Dice) -> Case {
        let operation = Operation::ALL[dice.below(Operation::ALL.len())];
        let passed = &self.operations[&operation];
        let both = dice.below(2) == 0;
        match dice.below(22) {
            20 | 21 => self.of_engines(dice),
            0 => Case::Reuse { seed: dice.seed() },
            1 => Case::Second { seed: dice.seed() },
            2 | 3 => Case::TakeOver { operation, at: draw(&self.takeover, 2, dice), both },
            4 => Case::Down { at: draw(&self.down, 4, dice) },
            5..=9 => Case::Random { seed: dice.seed() },
            _ => {
                let again = (dice.below(2) == 0).then(|| draw(passed, 2, dice));
                Case::At { operation, at: draw(passed, usize::MAX, dice), both, again }
            }
        }
    }
}
