//! Which tokens each slot's part of the cache holds, and which slot suits a prompt best.

use llama_cpp_2::token::LlamaToken;

/// One slot of the cache; its number is the library's sequence id.
#[derive(Debug, Default)]
pub(super) struct Slot<S> {
    /// Tokens whose keys and values are in the cache, or are in the current batch.
    pub(super) cached: Vec<LlamaToken>,
    /// What is being generated here.
    pub(super) sequence: Option<S>,
    last_used: u64,
}

/// All slots.
#[derive(Debug)]
pub(super) struct Slots<S> {
    pub(super) all: Vec<Slot<S>>,
    uses: u64,
    reuse: bool,
}

/// Where a prompt goes and what of it is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Placement {
    /// The slot to use.
    pub(super) slot: usize,
    /// The slot that has the longest part of the prompt; may be the same.
    pub(super) source: usize,
    /// How many tokens of the prompt it has.
    pub(super) shared: usize,
}

impl<S> Slots<S> {
    /// `reuse` is off for models whose state cannot be cut back to a prefix.
    pub(super) fn new(count: usize, reuse: bool) -> Self {
        let empty = || Slot { cached: Vec::new(), sequence: None, last_used: 0 };
        Self { all: (0..count).map(|_| empty()).collect(), uses: 0, reuse }
    }

    /// Chooses a free slot. The prompt's last token is never shared: decoding it gives the first logits.
    pub(super) fn place(&self, prompt: &[LlamaToken]) -> Option<Placement> {
        let oldest =
            self.free().min_by_key(|&it| (!self.all[it].cached.is_empty(), self.all[it].last_used))?;
        let mut best = Placement { slot: oldest, source: oldest, shared: 0 };
        if !self.reuse {
            return Some(best);
        }
        let most = prompt.len().saturating_sub(1);
        for (source, slot) in self.all.iter().enumerate() {
            let shared = slot.cached.iter().zip(&prompt[..most]).take_while(|(a, b)| a == b).count();
            // Going on in the slot itself throws away what it has beyond the shared part; that is fine when it
            // is the smaller part, else the shared part is copied, which costs nothing in a common cache.
            let goes_on = slot.sequence.is_none() && shared * 2 >= slot.cached.len();
            if shared > best.shared || (shared == best.shared && shared > 0 && goes_on) {
                best = Placement { slot: if goes_on { source } else { oldest }, source, shared };
            }
        }
        Some(best)
    }

    /// Puts a sequence into a slot.
    pub(super) fn occupy(&mut self, slot: usize, cached: &[LlamaToken], sequence: S) {
        self.uses += 1;
        let slot = &mut self.all[slot];
        slot.cached.clear();
        slot.cached.extend_from_slice(cached);
        slot.sequence = Some(sequence);
        slot.last_used = self.uses;
    }

    pub(super) fn running(&self) -> usize {
        self.all.iter().filter(|it| it.sequence.is_some()).count()
    }

    fn free(&self) -> impl Iterator<Item = usize> {
        self.all.iter().enumerate().filter(|(_, it)| it.sequence.is_none()).map(|(index, _)| index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Vec<LlamaToken> {
        text.bytes().map(|it| LlamaToken(i32::from(it))).collect()
    }

    fn slots(cached: &[&str]) -> Slots<()> {
        let mut slots = Slots::new(cached.len(), true);
        for (index, text) in cached.iter().enumerate() {
            slots.occupy(index, &tokens(text), ());
            slots.all[index].sequence = None;
        }
        slots
    }

    #[test]
    fn a_conversation_goes_on_where_it_was() {
        let slots = slots(&["other", "hello you"]);
        let placed = slots.place(&tokens("hello you there")).unwrap();
        assert_eq!(placed, Placement { slot: 1, source: 1, shared: 9 });
    }

    #[test]
    fn a_busy_slots_prefix_is_shared_without_disturbing_it() {
        let mut slots = slots(&["system: a", ""]);
        slots.all[0].sequence = Some(());
        let placed = slots.place(&tokens("system: b")).unwrap();
        assert_eq!(placed, Placement { slot: 1, source: 0, shared: 8 });
    }

    #[test]
    fn slots_keep_a_long_cached_text_rather_than_a_short_shared_part() {
        let slots = slots(&["ab, a very long text", ""]);
        let placed = slots.place(&tokens("abc")).unwrap();
        assert_eq!(placed, Placement { slot: 1, source: 0, shared: 2 });
    }

    #[test]
    fn the_last_token_is_always_decoded() {
        assert_eq!(slots(&["same"]).place(&tokens("same")).unwrap().shared, 3);
    }

    #[test]
    fn slots_place_nothing_when_all_are_busy() {
        let mut slots = slots(&["a"]);
        slots.all[0].sequence = Some(());
        assert_eq!(slots.place(&tokens("a")), None);
    }
}
