//! Fair queueing. Each sender has a queue of its own; the next slot goes to the sender with the fewest slots, and among
//! those to the one served longest ago. Queue permits are shared between senders as well, once half are taken.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::metrics::Metrics;

/// Who sent a request: a hash of the name the gateway gives. Requests without a name share one sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Sender(u64);

impl Sender {
    /// The sender with this name in the gateway.
    #[must_use]
    pub fn named(name: &[u8]) -> Self {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// Waiting items by sender; the sender served longest ago comes first.
#[derive(Debug)]
pub(super) struct FairQueue<T> {
    senders: VecDeque<(Sender, VecDeque<T>)>,
}

impl<T> Default for FairQueue<T> {
    fn default() -> Self {
        Self { senders: VecDeque::new() }
    }
}

impl<T> FairQueue<T> {
    pub(super) fn is_empty(&self) -> bool {
        self.senders.is_empty()
    }

    /// Appends to the sender's queue.
    pub(super) fn push(&mut self, sender: Sender, item: T) {
        match self.senders.iter_mut().find(|it| it.0 == sender) {
            Some((_, waiting)) => waiting.push_back(item),
            None => self.senders.push_back((sender, VecDeque::from([item]))),
        }
    }

    /// Puts it first in the sender's queue; a new sender comes last.
    pub(super) fn push_front(&mut self, sender: Sender, item: T) {
        match self.senders.iter_mut().find(|it| it.0 == sender) {
            Some((_, waiting)) => waiting.push_front(item),
            None => self.senders.push_back((sender, VecDeque::from([item]))),
        }
    }

    /// Takes the next item: of the sender with the fewest slots by `held`, the first that is `free`.
    pub(super) fn take(
        &mut self,
        held: impl Fn(Sender) -> usize,
        free: impl Fn(&T) -> bool,
    ) -> Option<(Sender, T)> {
        let next = self.senders.iter().enumerate().filter_map(|(index, (sender, waiting))| {
            let item = waiting.iter().position(&free)?;
            Some((held(*sender), index, item))
        });
        let (_, index, item) = next.min()?;
        let (sender, mut waiting) = self.senders.remove(index)?;
        let item = waiting.remove(item);
        if !waiting.is_empty() {
            self.senders.push_back((sender, waiting));
        }
        item.map(|it| (sender, it))
    }

    /// Drops items for which `keep` is false.
    pub(super) fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        self.senders.retain_mut(|(_, waiting)| {
            waiting.retain(&keep);
            !waiting.is_empty()
        });
    }

    /// Empties the queue.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = T> + use<'_, T> {
        self.senders.drain(..).flat_map(|it| it.1)
    }
}

/// Permits that requests hold until they start; their number bounds the queue.
#[derive(Debug)]
pub(super) struct QueuePermits {
    max: usize,
    taken: Mutex<HashMap<Sender, usize>>,
    metrics: Arc<Metrics>,
}

/// One place in the queue, released when dropped.
#[derive(Debug)]
pub struct QueuePermit {
    permits: Arc<QueuePermits>,
    sender: Sender,
}

impl QueuePermits {
    pub(super) fn new(max: usize, metrics: Arc<Metrics>) -> Self {
        // A job holds a permit until it starts, so one is needed even when nothing may wait.
        Self { max: max.max(1), taken: Mutex::default(), metrics }
    }

    /// `None` when all permits are taken, or half of them and the sender has its share.
    pub(super) fn enter(self: &Arc<Self>, sender: Sender) -> Option<QueuePermit> {
        let mut taken = self.taken.lock();
        let all: usize = taken.values().sum();
        let own = taken.get(&sender).copied().unwrap_or(0);
        let n_senders = taken.len() + usize::from(own == 0);
        let is_over_share = all >= self.max / 2 && own >= share(self.max, n_senders);
        if all >= self.max || is_over_share {
            return None;
        }
        *taken.entry(sender).or_default() += 1;
        drop(taken);
        self.metrics.waiting.inc();
        Some(QueuePermit { permits: Arc::clone(self), sender })
    }
}

/// Permits for each of `n_senders` once half are taken. A single sender leaves a tenth free for the next one.
fn share(max: usize, n_senders: usize) -> usize {
    match n_senders {
        0 | 1 => max - max / 10,
        n => (max / n).max(1),
    }
}

impl Drop for QueuePermit {
    fn drop(&mut self) {
        let mut taken = self.permits.taken.lock();
        if let Some(own) = taken.get_mut(&self.sender) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.sender);
            }
        }
        drop(taken);
        self.permits.metrics.waiting.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender(name: &str) -> Sender {
        Sender::named(name.as_bytes())
    }

    #[test]
    fn queue_a_free_slot_goes_to_whoever_holds_the_fewest() {
        let (greedy, modest) = (sender("greedy"), sender("modest"));
        let mut queue = FairQueue::default();
        (0..1_000).for_each(|it| queue.push(greedy, it));
        queue.push(modest, -1);
        queue.push(modest, -2);
        let mut holds: HashMap<Sender, usize> = HashMap::new();
        let mut next = |queue: &mut FairQueue<i32>| {
            let (of, item) = queue.take(|it| holds.get(&it).copied().unwrap_or(0), |_| true).unwrap();
            *holds.entry(of).or_default() += 1;
            item
        };
        assert_eq!([0; 4].map(|_| next(&mut queue)), [0, -1, 1, -2], "two of four each");
        assert_eq!([0; 2].map(|_| next(&mut queue)), [2, 3]);
        queue.push(modest, -3);
        assert_eq!(next(&mut queue), -3);
    }

    #[test]
    fn queue_equals_take_turns_and_what_is_not_free_is_passed_over() {
        let mut queue = FairQueue::default();
        for item in 0..4 {
            ["a", "b", "c"].iter().for_each(|it| queue.push(sender(it), format!("{it}{item}")));
        }
        let order: Vec<String> =
            std::iter::from_fn(|| queue.take(|_| 0, |it| it != "b0").map(|it| it.1)).collect();
        assert_eq!(order, ["a0", "b1", "c0", "a1", "b2", "c1", "a2", "b3", "c2", "a3", "c3"]);
        queue.retain(|it| it != "b0");
        assert!(queue.is_empty());
    }

    #[test]
    fn queue_permits_are_shared_once_they_get_scarce() {
        let metrics = Arc::new(Metrics::default());
        let permits = Arc::new(QueuePermits::new(64, metrics));
        let all = |name| std::iter::from_fn(|| permits.enter(sender(name))).collect::<Vec<_>>();
        let greedy = all("greedy");
        assert_eq!(greedy.len(), 58);
        assert_eq!(all("modest").len(), 6);
        drop(greedy);
        assert_eq!(all("greedy").len(), 58);
        assert!(permits.taken.lock().is_empty());
        let few = Arc::new(QueuePermits::new(0, Arc::new(Metrics::default())));
        let one = few.enter(sender("a"));
        assert!(one.is_some() && few.enter(sender("a")).is_none());
    }
}
