//! What the engine costs: tokens per second over HTTP, with sampling and text, beside the library's bare decoding loop
//! on the same model, which is what llama.cpp's own benchmark measures: a limit. In turns in one run, so that the noise
//! of the machine meets both.
//!
//! `cargo bench -p dedi-engine`; `--test` makes it one short round.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    dead_code,
    reason = "a program for people, on the tests' helpers"
)]

#[path = "../../crates/engine/tests/it/client.rs"]
mod client;
#[path = "../../crates/engine/tests/it/engine.rs"]
mod engine;

use std::num::NonZeroU32;
use std::time::Instant;

use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::model::params::LlamaModelParams;
use llama_cpp_2::token::LlamaToken;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::engine::{Engine, demo_model};

/// Tokens of each reply.
const TOKENS: u32 = 256;
/// The token that ends a reply of the demo model; forbidden, so that replies have the length asked for.
const END: &str = "258";
/// Sequences at once.
const WIDTHS: [u32; 2] = [1, 8];

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let short = std::env::args().any(|it| it == "--test");
    let rounds = if short { 1 } else { 9 };
    let backend = LlamaBackend::init().unwrap();
    llama_cpp_2::send_logs_to_tracing(llama_cpp_2::LogOptions::default().with_logs_enabled(false));
    let model = LlamaModel::load_from_file(&backend, demo_model(), &LlamaModelParams::default()).unwrap();
    let engine = Engine::start(&["--slots", "8", "--context", "1024"]).await;
    for width in WIDTHS {
        let (mut served, mut bare) = (Vec::new(), Vec::new());
        for round in 0..=rounds {
            let pair = (serve(&engine, width).await, decode(&backend, &model, width));
            if round > 0 || short {
                served.push(pair.0); // the first is a warm-up
                bare.push(pair.1);
            }
        }
        let ratios: Vec<f64> = served.iter().zip(&bare).map(|(a, b)| a / b).collect();
        println!(
            "{width} at once: engine {:.0} tok/s, bare loop {:.0} tok/s; ratio {:.2}",
            median(served),
            median(bare),
            median(ratios)
        );
    }
}

/// Tokens per second of `width` replies at once.
async fn serve(engine: &Engine, width: u32) -> f64 {
    let body = json!({
        "model": "dedi/demo", "temperature": 0, "max_tokens": TOKENS, "logit_bias": {END: -100},
        "messages": [{"role": "user", "content": "What is the capital of France?"}],
    });
    let begun = Instant::now();
    let mut replies: JoinSet<Value> = JoinSet::new();
    for _ in 0..width {
        let (socket, body) = (engine.socket(), body.clone());
        replies.spawn(async move {
            let (status, answer) = client::post(&socket, "/v1/chat/completions", &body).await;
            assert_eq!(status, 200, "{answer}");
            answer
        });
    }
    let mut n_tokens = 0;
    while let Some(answer) = replies.join_next().await {
        n_tokens += answer.unwrap()["usage"]["completion_tokens"].as_u64().unwrap();
    }
    assert_eq!(n_tokens, u64::from(TOKENS * width));
    f64::from(TOKENS * width) / begun.elapsed().as_secs_f64()
}

/// Tokens per second of the library alone: one batch of `width` tokens after the other, nothing sampled.
fn decode(backend: &LlamaBackend, model: &LlamaModel, width: u32) -> f64 {
    let params = LlamaContextParams::default()
        .with_n_ctx(NonZeroU32::new(1024 * width))
        .with_n_seq_max(width)
        .with_n_threads(1)
        .with_n_threads_batch(1);
    let mut context = model.new_context(backend, params).unwrap();
    let mut batch = LlamaBatch::new(width as usize, 1);
    let begun = Instant::now();
    for position in 0..TOKENS.cast_signed() {
        batch.clear();
        for sequence in 0..width.cast_signed() {
            batch.add(LlamaToken(65), position, &[sequence], true).unwrap();
        }
        context.decode(&mut batch).unwrap();
    }
    f64::from(TOKENS * width) / begun.elapsed().as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
