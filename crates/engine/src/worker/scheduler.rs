//! The continuous batching loop: each step decodes one token of every reply and a part of the prompts that wait.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;

use crate::exit::Exit;
use crate::metrics::Metrics;
use crate::model::{Shape, TokenBytes};
use crate::sample::Scratch;

use super::queue::{FairQueue, Sender};
use super::sequence::{Request, Sequence};
use super::slots::Slots;
use super::{Event, Job, Message, QueuePermit};

// A step is the pause running replies see when somebody else's prompt is read, and the longest a hang-up goes
// unnoticed.
const STEP: Duration = Duration::from_millis(50);
// Without running replies only hang-ups wait, and larger parts are read faster.
const STEP_ALONE: Duration = Duration::from_millis(200);
const PROMPT_PART_MIN: usize = 16;
const FAILURES_MAX: u32 = 3;
// Each output position costs memory for the whole vocabulary.
const PROMPT_OUTPUTS_MAX: usize = 64;

/// What the loop works with.
pub struct Engine<'a> {
    /// The library's context.
    pub context: LlamaContext<'a>,
    /// The weights.
    pub model: &'a LlamaModel,
    /// The vocabulary's bytes.
    pub token_bytes: Arc<TokenBytes>,
    /// How the model is run.
    pub shape: Shape,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

/// Answers jobs until stopped.
pub fn run(engine: Engine<'_>, jobs: &Receiver<Message>) -> Exit {
    let reuse = !engine.model.is_recurrent() && !engine.model.is_hybrid();
    let slots = Slots::new(engine.shape.slots as usize, reuse);
    let ends = engine.model.vocab().tokens().map(|it| engine.model.vocab().is_eog(it)).collect();
    let batch = LlamaBatch::new(engine.shape.batch as usize, 1);
    let mut scheduler = Scheduler {
        engine,
        slots,
        ends,
        batch,
        outputs: Vec::new(),
        queue: FairQueue::default(),
        requests: 0,
        scratch: Scratch::default(),
        speed: PromptSpeed::default(),
        failures: 0,
    };
    loop {
        if !scheduler.take_jobs(jobs) {
            scheduler.end_all("the engine is stopping");
            return Exit::Stopped;
        }
        scheduler.forget_the_gone();
        scheduler.admit();
        if scheduler.slots.running() == 0 {
            continue;
        }
        scheduler.step();
        if scheduler.failures >= FAILURES_MAX {
            scheduler.end_all("the engine cannot decode any more");
            return Exit::Decode;
        }
    }
}

struct Scheduler<'a> {
    engine: Engine<'a>,
    slots: Slots<Sequence>,
    /// For each token, whether it ends a generation.
    ends: Vec<bool>,
    batch: LlamaBatch<'a>,
    /// What the current batch gives.
    outputs: Vec<Output>,
    queue: FairQueue<Waiting>,
    requests: u64,
    scratch: Scratch,
    speed: PromptSpeed,
    failures: u32,
}

/// Logits of the current batch: for which slot, and where they are.
#[derive(Clone, Copy)]
struct Output {
    slot: usize,
    /// Index in the batch.
    index: i32,
    /// The prompt's token that they are about; `None` where they are for sampling the next one.
    about: Option<usize>,
}

/// One reply that has no slot yet. The request's queue permit is released with the last one.
struct Waiting {
    request: Arc<(Request, QueuePermit)>,
    choice: u32,
}

impl Scheduler<'_> {
    /// False once stopped. Sleeps when there is nothing else to do.
    fn take_jobs(&mut self, jobs: &Receiver<Message>) -> bool {
        if self.slots.running() == 0 && self.queue.is_empty() {
            match jobs.recv() {
                Ok(Message::Job(job, permit)) => self.enqueue(job, permit),
                Ok(Message::Stop) | Err(_) => return false,
            }
        }
        loop {
            match jobs.try_recv() {
                Ok(Message::Job(job, permit)) => self.enqueue(job, permit),
                Err(TryRecvError::Empty) => return true,
                Ok(Message::Stop) | Err(TryRecvError::Disconnected) => return false,
            }
        }
    }

    fn enqueue(&mut self, job: Job, permit: QueuePermit) {
        match job {
            Job::Generate(job) => {
                self.requests += 1;
                let request = Arc::new((Request { number: self.requests, job: *job }, permit));
                for choice in 0..request.0.job.choices {
                    self.queue.push(request.0.job.sender, Waiting { request: Arc::clone(&request), choice });
                }
            }
            Job::Embed(job) => {
                let _client_may_be_gone =
                    job.reply.send(Err("this engine generates text and does not embed".to_owned()));
            }
        }
    }

    /// Frees the slots of clients that hung up. What they computed stays in the cache.
    fn forget_the_gone(&mut self) {
        self.queue.retain(|it| !it.request.0.job.events.is_closed());
        for slot in &mut self.slots.all {
            if slot.sequence.as_ref().is_some_and(Sequence::client_is_gone) {
                slot.sequence = None;
                self.engine.metrics.cancelled.inc();
                self.engine.metrics.running.dec();
            }
        }
    }

    /// Gives slots to those who wait: to the sender that holds the fewest, and of each sender first come first served;
    /// but further replies to a prompt that is being read wait until they can share it.
    fn admit(&mut self) {
        while self.slots.running() < self.slots.all.len() {
            let running = || self.slots.all.iter().filter_map(|it| it.sequence.as_ref());
            let held = |sender| running().filter(|it| it.sender == sender).count();
            let is_free = |waiting: &Waiting| {
                let request = waiting.request.0.number;
                waiting.choice == 0 || !running().any(|it| it.request == request && it.reads_prompt())
            };
            let Some((_, waiting)) = self.queue.take(held, is_free) else { return };
            let Some(placement) = self.slots.place(&waiting.request.0.job.prompt) else { return };
            let mut sequence = Sequence::new(&waiting.request.0, waiting.choice);
            // What is in the cache already gives no logits any more.
            let reusable = if sequence.reports_prompt() { 0 } else { placement.shared };
            let shared = self.share(placement.source, placement.slot, reusable);
            sequence.prompt_done = shared;
            self.engine.metrics.cached_tokens.inc_by(shared as u64);
            self.engine.metrics.running.inc();
            let prompt = Arc::clone(&sequence.prompt);
            self.slots.occupy(placement.slot, &prompt[..shared], sequence);
        }
    }

    /// Leaves exactly the first `shared` tokens of `source` in `slot`; fewer when the cache cannot be cut.
    fn share(&mut self, source: usize, slot: usize, shared: usize) -> usize {
        let context = &mut self.engine.context;
        let upto = u32::try_from(shared).ok();
        let id = |it: usize| u32::try_from(it).unwrap_or(0);
        if source == slot {
            if shared > 0 && context.clear_kv_cache_seq(Some(id(slot)), upto, None).unwrap_or(false) {
                return shared;
            }
            let _whole_is_always_removed = context.clear_kv_cache_seq(Some(id(slot)), None, None);
            return 0;
        }
        let _whole_is_always_removed = context.clear_kv_cache_seq(Some(id(slot)), None, None);
        let (from, to) = (i32::try_from(source).unwrap_or(0), i32::try_from(slot).unwrap_or(0));
        if shared > 0 && context.copy_kv_cache_seq(from, to, Some(0), upto).is_ok() { shared } else { 0 }
    }

    /// Decodes one batch and hands out what it gave.
    fn step(&mut self) {
        let prompt_tokens = self.fill_batch();
        let started = Instant::now();
        let metrics = Arc::clone(&self.engine.metrics);
        let stepping = metrics.step.begin();
        let decoded = self.engine.context.decode(&mut self.batch);
        self.engine.metrics.decodes.inc();
        if let Err(error) = decoded {
            self.failures += 1;
            tracing::error!("decoding {} tokens failed: {error}", self.batch.n_tokens());
            self.end_running("the engine could not decode this request; it may be short of memory");
            return;
        }
        self.failures = 0;
        if !self.outputs.is_empty() || prompt_tokens > 0 {
            self.engine.context.synchronize();
        }
        drop(stepping);
        self.speed.learn(prompt_tokens, started.elapsed());
        self.engine.metrics.prompt_tokens.inc_by(prompt_tokens as u64);
        let sampled = self.outputs.iter().filter(|it| it.about.is_none()).count();
        self.engine.metrics.generated_tokens.inc_by(sampled as u64);
        for &Output { slot, index, about } in &self.outputs {
            let slot = &mut self.slots.all[slot];
            let Some(sequence) = &mut slot.sequence else { continue };
            let logits = self.engine.context.get_logits_ith(index);
            if let Some(position) = about {
                sequence.report_prompt(logits, position);
                continue;
            }
            let is_end = |it: LlamaToken| {
                usize::try_from(it.0).ok().and_then(|it| self.ends.get(it)).copied().unwrap_or(false)
            };
            if sequence.advance(logits, is_end, &self.engine.token_bytes, &mut self.scratch) {
                slot.sequence = None;
                self.engine.metrics.completed.inc();
                self.engine.metrics.running.dec();
            }
        }
    }

    /// Puts one token of each reply into the batch, then parts of prompts, an equal part of each sender's; returns how
    /// many prompt tokens it holds.
    fn fill_batch(&mut self) -> usize {
        self.batch.clear();
        self.outputs.clear();
        for (slot_id, slot) in self.slots.all.iter_mut().enumerate() {
            let Some(sequence) = &slot.sequence else { continue };
            if !sequence.reads_prompt() {
                let output = Output { slot: slot_id, index: self.batch.n_tokens(), about: None };
                if add(&mut self.batch, sequence.next, slot.cached.len(), slot_id, true) {
                    slot.cached.push(sequence.next);
                    self.outputs.push(output);
                }
            }
        }
        let room = self.engine.shape.batch as usize - self.outputs.len();
        let mut left = self.speed.part(if self.outputs.is_empty() { STEP_ALONE } else { STEP }).min(room);
        let (before, mut n_prompt_outputs) = (left, 0);
        let mut parts = Parts::of(self.slots.all.iter().filter_map(|it| it.sequence.as_ref()), left);
        // What one sender leaves of its part is the others'.
        for is_rest in [false, true] {
            for (slot_id, slot) in self.slots.all.iter_mut().enumerate() {
                let Some(sequence) = &mut slot.sequence else { continue };
                let mut part = if is_rest { left } else { parts.left(sequence.sender).min(left) };
                while part > 0 && sequence.reads_prompt() {
                    let token = sequence.prompt[sequence.prompt_done];
                    let next = sequence.prompt_done + 1;
                    let about = (next < sequence.prompt.len()).then_some(next);
                    if about.is_some() && sequence.reports_prompt() && n_prompt_outputs >= PROMPT_OUTPUTS_MAX
                    {
                        break;
                    }
                    let output = Output { slot: slot_id, index: self.batch.n_tokens(), about };
                    let is_wanted = about.is_none() || sequence.reports_prompt();
                    if !add(&mut self.batch, token, slot.cached.len(), slot_id, is_wanted) {
                        break;
                    }
                    sequence.prompt_done = next;
                    slot.cached.push(token);
                    parts.take(sequence.sender);
                    (part, left) = (part - 1, left - 1);
                    if is_wanted {
                        n_prompt_outputs += usize::from(about.is_some());
                        self.outputs.push(output);
                    }
                }
            }
        }
        before - left
    }

    fn end_running(&mut self, why: &str) {
        for (slot_id, slot) in self.slots.all.iter_mut().enumerate() {
            let id = u32::try_from(slot_id).unwrap_or(0);
            let _whole_is_always_removed = self.engine.context.clear_kv_cache_seq(Some(id), None, None);
            slot.cached.clear();
            if let Some(sequence) = slot.sequence.take() {
                sequence.fail(why);
                self.engine.metrics.failed.inc();
                self.engine.metrics.running.dec();
            }
        }
    }

    fn end_all(&mut self, why: &str) {
        self.end_running(why);
        for waiting in self.queue.drain() {
            let _client_may_be_gone = waiting.request.0.job.events.send(Event::Failed(why.to_owned()));
        }
    }
}

/// What of a batch is for whose prompts.
struct Parts(Vec<(Sender, usize)>);

impl Parts {
    /// A like part of `tokens` for each sender that has a prompt to be read.
    fn of<'a>(sequences: impl Iterator<Item = &'a Sequence>, tokens: usize) -> Self {
        let mut parts: Vec<(Sender, usize)> = Vec::new();
        for sender in sequences.filter(|it| it.reads_prompt()).map(|it| it.sender) {
            if !parts.iter().any(|it| it.0 == sender) {
                parts.push((sender, 0));
            }
        }
        let each = tokens.div_ceil(parts.len().max(1));
        parts.iter_mut().for_each(|it| it.1 = each);
        Self(parts)
    }

    fn left(&self, sender: Sender) -> usize {
        self.0.iter().find(|it| it.0 == sender).map_or(0, |it| it.1)
    }

    fn take(&mut self, sender: Sender) {
        if let Some(part) = self.0.iter_mut().find(|it| it.0 == sender) {
            part.1 = part.1.saturating_sub(1);
        }
    }
}

fn add(batch: &mut LlamaBatch<'_>, token: LlamaToken, position: usize, slot: usize, output: bool) -> bool {
    let (Ok(position), Ok(slot)) = (i32::try_from(position), i32::try_from(slot)) else { return false };
    batch.add(token, position, &[slot], output).is_ok()
}

/// How fast prompts are read here, learned from what was read.
#[derive(Debug, Default)]
struct PromptSpeed {
    tokens_per_second: f64,
}

impl PromptSpeed {
    /// How many prompt tokens take about `time`.
    fn part(&self, time: Duration) -> usize {
        if self.tokens_per_second == 0.0 {
            return 256;
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded by the batch")]
        let tokens = (self.tokens_per_second * time.as_secs_f64()).min(1e6) as usize;
        tokens.max(PROMPT_PART_MIN)
    }

    fn learn(&mut self, tokens: usize, took: Duration) {
        if tokens < PROMPT_PART_MIN || took.is_zero() {
            return;
        }
        #[expect(clippy::cast_precision_loss, reason = "a batch's tokens")]
        let now = tokens as f64 / took.as_secs_f64();
        self.tokens_per_second =
            if self.tokens_per_second == 0.0 { now } else { 0.7 * self.tokens_per_second + 0.3 * now };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_prompts_follow_the_speed() {
        let mut speed = PromptSpeed::default();
        speed.learn(200, Duration::from_millis(100));
        assert_eq!(speed.part(Duration::from_millis(50)), 100);
        assert_eq!(speed.part(Duration::from_millis(1)), PROMPT_PART_MIN);
    }
}
