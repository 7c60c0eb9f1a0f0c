//! The loop that embeds: as many whole texts in one batch as fit, one vector of length one for each.

use std::sync::mpsc::Receiver;

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::token::LlamaToken;

use crate::exit::Exit;
use crate::metrics::Metrics;

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

/// Answers jobs until told to stop.
pub fn run(mut embedder: Embedder<'_>, jobs: &Receiver<Message>) -> Exit {
    let mut batch = LlamaBatch::new(embedder.batch, 1);
    while let Ok(Message::Job(job, place)) = jobs.recv() {
        drop(place);
        match job {
            Job::Embed(job) => {
                embedder.metrics.running.up();
                embedder.answer(job, &mut batch);
                embedder.metrics.running.down();
            }
            Job::Generate(job) => {
                let why = "this engine embeds and does not generate text".to_owned();
                let _client_may_be_gone = job.events.send(Event::Failed(why));
            }
        }
    }
    Exit::Stopped
}

impl Embedder<'_> {
    fn answer(&mut self, job: EmbedJob, batch: &mut LlamaBatch<'_>) {
        let mut vectors = Vec::with_capacity(job.texts.len());
        let mut rest = &job.texts[..];
        while !rest.is_empty() {
            if job.reply.is_closed() {
                self.metrics.cancelled.add(1);
                return;
            }
            let texts = &rest[..self.fitting(rest)];
            match self.embed(texts, batch) {
                Ok(more) => vectors.extend(more),
                Err(error) => {
                    self.metrics.failed.add(1);
                    let _client_may_be_gone = job.reply.send(Err(error));
                    return;
                }
            }
            rest = &rest[texts.len()..];
        }
        self.metrics.finished.add(1);
        let _client_may_be_gone = job.reply.send(Ok(vectors));
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
        for (place, text) in (0..).zip(texts) {
            for (position, token) in (0..).zip(text) {
                // Every token counts into the pooled vector.
                batch.add(*token, position, &[place], true).map_err(|it| it.to_string())?;
                tokens += 1;
            }
        }
        let _stepping = self.metrics.step.begin();
        self.context.decode(batch).map_err(|it| format!("the text could not be embedded: {it}"))?;
        self.metrics.decodes.add(1);
        self.metrics.prompt_tokens.add(tokens);
        (0..)
            .zip(texts)
            .map(|(place, _)| {
                let vector = self.context.embeddings_seq_ith(place).map_err(|it| it.to_string())?;
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
