//! Picks the next token from the model's logits. Pure: the same parameters, seed and logits give the same token.
//!
//! Order: bias and penalties, then the grammar's mask, temperature, min-p, top-k, top-p, then the draw.

use std::collections::HashMap;

use llguidance::toktrie::SimpleVob;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

/// How tokens are picked; checked, so every number is in range.
#[derive(Clone, Debug, PartialEq)]
pub struct SamplingParams {
    /// 0 takes the most likely token.
    pub temperature: f32,
    /// In (0, 1].
    pub top_p: f32,
    /// 0 keeps all.
    pub top_k: usize,
    /// In [0, 1].
    pub min_p: f32,
    /// Greater than 0; 1 is none.
    pub repetition_penalty: f32,
    /// 0 is none.
    pub presence_penalty: f32,
    /// 0 is none.
    pub frequency_penalty: f32,
    /// Added to these tokens' logits.
    pub logit_bias: Vec<(u32, f32)>,
    /// Seed of the draws.
    pub seed: u64,
}

impl Default for SamplingParams {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_p: 1.0,
            top_k: 0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            logit_bias: Vec::new(),
            seed: 0,
        }
    }
}

impl SamplingParams {
    fn changes_logits(&self) -> bool {
        !self.logit_bias.is_empty() || self.repeats() || self.counts()
    }

    #[expect(clippy::float_cmp, reason = "exactly 1 is the value that means none")]
    fn repeats(&self) -> bool {
        self.repetition_penalty != 1.0
    }

    fn counts(&self) -> bool {
        self.presence_penalty != 0.0 || self.frequency_penalty != 0.0
    }
}

/// Memory that samplers of one thread share.
#[derive(Debug, Default)]
pub struct Scratch {
    logits: Vec<f32>,
    candidates: Vec<(f32, u32)>,
}

/// One sequence's sampler.
#[derive(Debug)]
pub struct Sampler {
    params: SamplingParams,
    rng: SmallRng,
    generated: HashMap<u32, u32>,
    // Tokens the repetition penalty is for; kept only when there is one.
    occurred: Vec<u32>,
}

impl Sampler {
    /// A sampler for a sequence that begins with `prompt`.
    #[must_use]
    pub fn new(params: SamplingParams, prompt: impl Iterator<Item = u32>) -> Self {
        let mut occurred = Vec::new();
        if params.repeats() {
            occurred.extend(prompt);
            occurred.sort_unstable();
            occurred.dedup();
        }
        Self { rng: SmallRng::seed_from_u64(params.seed), params, generated: HashMap::new(), occurred }
    }

    /// The next token, or nothing when the mask allows none.
    pub fn sample(&mut self, logits: &[f32], mask: Option<&SimpleVob>, scratch: &mut Scratch) -> Option<u32> {
        let token = if self.params.changes_logits() || mask.is_some() {
            scratch.logits.clear();
            scratch.logits.extend_from_slice(logits);
            self.change(&mut scratch.logits);
            if let Some(mask) = mask {
                apply_mask(&mut scratch.logits, mask);
            }
            let Scratch { logits, candidates } = scratch;
            self.pick(logits, candidates)
        } else {
            self.pick(logits, &mut scratch.candidates)
        }?;
        if self.params.counts() || self.params.repeats() {
            *self.generated.entry(token).or_insert(0) += 1;
            if self.params.repeats()
                && let Err(index) = self.occurred.binary_search(&token)
            {
                self.occurred.insert(index, token);
            }
        }
        Some(token)
    }

    fn change(&self, logits: &mut [f32]) {
        for &(token, bias) in &self.params.logit_bias {
            if let Some(logit) = logits.get_mut(token as usize) {
                *logit += bias;
            }
        }
        for &token in &self.occurred {
            if let Some(logit) = logits.get_mut(token as usize) {
                let penalty = self.params.repetition_penalty;
                *logit = if *logit > 0.0 { *logit / penalty } else { *logit * penalty };
            }
        }
        if self.params.counts() {
            for (&token, &count) in &self.generated {
                if let Some(logit) = logits.get_mut(token as usize) {
                    #[expect(clippy::cast_precision_loss, reason = "a count of tokens in one reply")]
                    let count = count as f32;
                    *logit -= self.params.presence_penalty + count * self.params.frequency_penalty;
                }
            }
        }
    }

    fn pick(&mut self, logits: &[f32], candidates: &mut Vec<(f32, u32)>) -> Option<u32> {
        let (best, best_logit) = argmax(logits)?;
        if best_logit == f32::NEG_INFINITY {
            return None;
        }
        if self.params.temperature <= 0.0 {
            return Some(best);
        }
        let scale = 1.0 / self.params.temperature;
        // min_p relative to the best candidate, as a bound on logits.
        let least = if self.params.min_p > 0.0 {
            best_logit + self.params.min_p.ln() * self.params.temperature
        } else {
            f32::MIN
        };
        let draw: f32 = self.rng.random();
        if self.params.top_k == 0 && self.params.top_p >= 1.0 {
            return Some(draw_among(logits, best, best_logit, scale, least, draw));
        }
        candidates.clear();
        candidates.extend(
            (0_u32..).zip(logits).filter(|&(_, &logit)| logit >= least).map(|(token, &logit)| (logit, token)),
        );
        let kept = self.keep(candidates, best_logit, scale);
        Some(draw_weighted(&candidates[..kept], draw).unwrap_or(best))
    }

    /// Leaves the candidates to draw from at the front, logits turned into weights; returns how many.
    fn keep(&self, candidates: &mut [(f32, u32)], best_logit: f32, scale: f32) -> usize {
        let by_logit = |a: &(f32, u32), b: &(f32, u32)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
        let mut len = candidates.len();
        if self.params.top_k > 0 && self.params.top_k < len {
            len = self.params.top_k;
            candidates.select_nth_unstable_by(len - 1, by_logit);
        }
        let candidates = &mut candidates[..len];
        let mut total = 0.0;
        for candidate in &*candidates {
            total += ((candidate.0 - best_logit) * scale).exp();
        }
        let wanted = if self.params.top_p >= 1.0 { f32::INFINITY } else { total * self.params.top_p };
        // Sorting grows from the front: the nucleus is nearly always within the first few dozen.
        let (mut sorted, mut sum) = (0, 0.0);
        while sorted < len {
            let upto = (sorted * 8).max(64).min(len);
            if upto < len {
                candidates[sorted..].select_nth_unstable_by(upto - sorted - 1, by_logit);
            }
            candidates[sorted..upto].sort_unstable_by(by_logit);
            for (index, candidate) in candidates.iter_mut().enumerate().take(upto).skip(sorted) {
                candidate.0 = ((candidate.0 - best_logit) * scale).exp();
                sum += candidate.0;
                if sum >= wanted {
                    return index + 1;
                }
            }
            sorted = upto;
        }
        len
    }
}

/// The natural logarithms of the token's and the `top` most likely tokens' probabilities.
#[must_use]
pub fn log_probabilities(logits: &[f32], token: u32, top: usize) -> (f32, Vec<(u32, f32)>) {
    let best = argmax(logits).map_or(0.0, |it| it.1);
    let log_sum = best + logits.iter().map(|it| (it - best).exp()).sum::<f32>().ln();
    let own = logits.get(token as usize).map_or(f32::NEG_INFINITY, |it| it - log_sum);
    let mut most: Vec<(u32, f32)> = Vec::with_capacity(top + 1);
    if top > 0 {
        for (token, &logit) in (0_u32..).zip(logits) {
            if most.len() == top && most.last().is_some_and(|it| it.1 >= logit) {
                continue;
            }
            let index = most.partition_point(|it| it.1 >= logit);
            most.insert(index, (token, logit));
            most.truncate(top);
        }
    }
    for candidate in &mut most {
        candidate.1 -= log_sum;
    }
    (own, most)
}

/// The first of the greatest logits.
fn argmax(logits: &[f32]) -> Option<(u32, f32)> {
    // Two passes without a dependency between lanes are several times faster than one that carries the index.
    const LANES: usize = 16;
    let mut greatest = [f32::NEG_INFINITY; LANES];
    let mut chunks = logits.chunks_exact(LANES);
    for chunk in &mut chunks {
        for (kept, &logit) in greatest.iter_mut().zip(chunk) {
            *kept = if logit > *kept { logit } else { *kept };
        }
    }
    let rest = chunks.remainder().iter();
    let best = greatest.iter().chain(rest).fold(f32::NEG_INFINITY, |a, &b| if b > a { b } else { a });
    #[expect(clippy::float_cmp, reason = "the value was taken from this very list")]
    let index = logits.iter().position(|&it| it == best)?;
    Some((u32::try_from(index).unwrap_or(0), best))
}

fn apply_mask(logits: &mut [f32], mask: &SimpleVob) {
    for (token, logit) in (0_u32..).zip(logits) {
        if !mask.is_allowed(token) {
            *logit = f32::NEG_INFINITY;
        }
    }
}

fn draw_among(logits: &[f32], best: u32, best_logit: f32, scale: f32, least: f32, draw: f32) -> u32 {
    let weight = |logit: f32| if logit >= least { ((logit - best_logit) * scale).exp() } else { 0.0 };
    let total: f32 = logits.iter().map(|&it| weight(it)).sum();
    let mut left = draw * total;
    for (token, &logit) in (0_u32..).zip(logits) {
        let weight = weight(logit);
        if weight > 0.0 {
            left -= weight;
            if left < 0.0 {
                return token;
            }
        }
    }
    best
}

fn draw_weighted(candidates: &[(f32, u32)], draw: f32) -> Option<u32> {
    let mut left = draw * candidates.iter().map(|it| it.0).sum::<f32>();
    for &(weight, token) in candidates {
        left -= weight;
        if left < 0.0 {
            return Some(token);
        }
    }
    candidates.first().map(|it| it.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(params: SamplingParams, logits: &[f32], times: usize) -> Vec<u32> {
        let mut sampler = Sampler::new(params, [].into_iter());
        let mut scratch = Scratch::default();
        (0..times).map(|_| sampler.sample(logits, None, &mut scratch).unwrap()).collect()
    }

    fn greedy() -> SamplingParams {
        SamplingParams { temperature: 0.0, ..SamplingParams::default() }
    }

    #[test]
    fn zero_temperature_takes_the_most_likely() {
        let logits: Vec<f32> =
            (0_u16..100).map(|it| if it == 37 { 9.0 } else { f32::from(it) * 0.01 }).collect();
        assert_eq!(draw(greedy(), &logits, 3), [37, 37, 37]);
    }

    #[test]
    fn the_same_seed_draws_the_same() {
        let logits = [1.0, 1.1, 0.9, 1.0];
        let params = SamplingParams { seed: 7, ..SamplingParams::default() };
        assert_eq!(draw(params.clone(), &logits, 50), draw(params.clone(), &logits, 50));
        assert_ne!(
            draw(params.clone(), &logits, 50),
            draw(SamplingParams { seed: 8, ..params }, &logits, 50)
        );
    }

    #[test]
    fn draws_follow_the_probabilities() {
        let logits = [0.0_f32, 3.0_f32.ln()];
        let ones = draw(SamplingParams::default(), &logits, 4000).iter().filter(|&&it| it == 1).count();
        assert!((2850..3150).contains(&ones), "{ones} of 4000, and 3000 were expected");
    }

    #[test]
    fn top_k_keeps_that_many() {
        let params = SamplingParams { top_k: 2, temperature: 100.0, ..SamplingParams::default() };
        let drawn = draw(params, &[5.0, 1.0, 4.0, 3.0], 200);
        assert!(drawn.iter().all(|it| [0, 2].contains(it)) && drawn.contains(&2));
    }

    #[test]
    fn top_p_keeps_the_nucleus_and_at_least_one() {
        let logits = [10.0, 0.0, 0.0];
        let params = SamplingParams { top_p: 0.5, ..SamplingParams::default() };
        assert!(draw(params, &logits, 100).iter().all(|&it| it == 0));
        let flat: Vec<f32> = vec![0.0; 1000];
        let half = draw(SamplingParams { top_p: 0.5, ..SamplingParams::default() }, &flat, 2000);
        assert!(half.iter().all(|&it| it <= 500) && half.iter().any(|&it| it > 400));
    }

    #[test]
    fn min_p_drops_the_unlikely() {
        let params = SamplingParams { min_p: 0.5, ..SamplingParams::default() };
        assert!(draw(params, &[0.0, -1.0, -0.5], 300).iter().all(|it| [0, 2].contains(it)));
    }

    #[test]
    fn penalties_and_bias_change_the_choice() {
        let biased = SamplingParams { logit_bias: vec![(1, 5.0)], ..greedy() };
        assert_eq!(draw(biased, &[2.0, 1.0], 1), [1]);
        let frequency = SamplingParams { frequency_penalty: 0.6, ..greedy() };
        assert_eq!(draw(frequency, &[2.0, 1.0], 4), [0, 0, 1, 0]);
        let presence = SamplingParams { presence_penalty: 1.5, ..greedy() };
        assert_eq!(draw(presence, &[2.0, 1.0], 3), [0, 1, 0]);
        let mut repeated =
            Sampler::new(SamplingParams { repetition_penalty: 3.0, ..greedy() }, [0].into_iter());
        assert_eq!(repeated.sample(&[2.0, 1.0], None, &mut Scratch::default()), Some(1));
    }

    #[test]
    fn log_probabilities_add_up_to_one() {
        let (own, top) = log_probabilities(&[1.0, 2.0, 3.0], 1, 3);
        assert_eq!(top.iter().map(|it| it.0).collect::<Vec<_>>(), [2, 1, 0]);
        let sum: f32 = top.iter().map(|it| it.1.exp()).sum();
        assert!((sum - 1.0).abs() < 1e-5 && (own - top[1].1).abs() < 1e-6);
    }
}
