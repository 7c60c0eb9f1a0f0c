//! The loop that embeds: as many whole texts in one batch as fit, one vector of length one for each.

use std::sync::mpsc::Receiver;

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::token::LlamaToken;

use crate::exit::Exit;
use crate::metrics::Metrics;

use super::queue::{FairQueue, QueuePermit};
use super::{EmbedJob, Event, Job, Message};

/// What the loop works with.
pub struct Embedder<'a> {
    /// The library's context, made for embeddings.
    pub context: LlamaContext<'a>,
    /// Texts one batch may hold.
    pub slots: usize,
    /// Tokens one batch may hold.
    pub batch: usize,
    /// What is counted.
    pub metrics: std::sync::Arc<Metrics>,
}

/// A job that has begun, or waits to.
struct Begun {
    job: EmbedJob,
    vectors: Vec<Vec<f32>>,
    /// Its place in the queue; released when it begins.
    permit: Option<QueuePermit>,
}

/// Answers jobs until stopped. Senders take turns, a batch each.
pub fn run(mut embedder: Embedder<'_>, jobs: &Receiver<Message>) -> Exit {
    let mut batch = LlamaBatch::new(embedder.batch, 1);
    let mut queue = FairQueue::default();
    loop {
        let message = if queue.is_empty() { jobs.recv().ok() } else { jobs.try_recv().ok() };
        match message {
            Some(Message::Job(Job::Embed(job), permit)) => {
                queue.push(job.sender, Begun { job, vectors: Vec::new(), permit: Some(permit) });
                continue;
            }
            Some(Message::Job(Job::Generate(job), _)) => {
                let why = "this engine embeds and does not generate text".to_owned();
                let _client_may_be_gone = job.events.send(Event::Failed(why));
                continue;
            }
            Some(Message::Stop) => return Exit::Stopped,
            None => {}
        }
        // Nothing has come, and nothing is left to be done: who would send more is gone.
        let Some((sender, begun)) = queue.take(|_| 0, |_| true) else { return Exit::Stopped };
        if let Some(begun) = embedder.go_on(begun, &mut batch) {
            queue.push_front(sender, begun);
        }
    }
}

impl Embedder<'_> {
    /// Embeds one batch of the job's texts; gives the job back until it is done.
    fn go_on(&mut self, mut begun: Begun, batch: &mut LlamaBatch<'_>) -> Option<Begun> {
        if begun.permit.take().is_some() {
            self.metrics.running.inc();
        }
        let texts = &begun.job.texts[begun.vectors.len()..];
        let done = if begun.job.reply.is_closed() {
            self.metrics.cancelled.inc();
            None
        } else if texts.is_empty() {
            Some(Ok(std::mem::take(&mut begun.vectors)))
        } else {
            match self.embed(&texts[..self.fitting(texts)], batch) {
                Ok(more) => {
                    begun.vectors.extend(more);
                    if begun.vectors.len() < begun.job.texts.len() {
                        return Some(begun);
                    }
                    Some(Ok(std::mem::take(&mut begun.vectors)))
                }
                Err(error) => Some(Err(error)),
            }
        };
        self.metrics.running.dec();
        if let Some(done) = done {
            let counter = if done.is_ok() { &self.metrics.completed } else { &self.metrics.failed };
            counter.inc();
            let _client_may_be_gone = begun.job.reply.send(done);
        }
        None
    }

    /// How many texts fit into one batch; at least one.
    fn fitting(&self, texts: &[Vec<LlamaToken>]) -> usize {
        let mut tokens = 0;
        let fits = |it: &&Vec<LlamaToken>| {
            tokens += it.len();
            tokens <= self.batch
        };
        texts.iter().take(self.slots).take_while(fits).count().max(1)
    }

    fn embed(
        &mut self,
        texts: &[Vec<LlamaToken>],
        batch: &mut LlamaBatch<'_>,
    ) -> Result<Vec<Vec<f32>>, String> {
        batch.clear();
        self.context.clear_kv_cache();
        let mut tokens = 0;
        for (index, text) in (0..).zip(texts) {
            for (position, token) in (0..).zip(text) {
                // Every token counts into the pooled vector.
                batch.add(*token, position, &[index], true).map_err(|it| it.to_string())?;
                tokens += 1;
            }
        }
        let _stepping = self.metrics.step.begin();
        self.context.decode(batch).map_err(|it| format!("the text could not be embedded: {it}"))?;
        self.metrics.decodes.inc();
        self.metrics.prompt_tokens.inc_by(tokens);
        (0..)
            .zip(texts)
            .map(|(index, _)| {
                let vector = self.context.embeddings_seq_ith(index).map_err(|it| it.to_string())?;
                Ok(normalised(vector))
            })
            .collect()
    }
}

fn normalised(vector: &[f32]) -> Vec<f32> {
    let length = vector.iter().map(|it| it * it).sum::<f32>().sqrt();
    let scale = if length > 0.0 { 1.0 / length } else { 0.0 };
    vector.iter().map(|it| it * scale).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_have_length_one() {
        assert_eq!(normalised(&[3.0, 4.0]), [0.6, 0.8]);
        assert_eq!(normalised(&[0.0, 0.0]), [0.0, 0.0]);
    }
}
