//! A build with Vulkan on Mesa's software driver: a device like any other, but for the speed. `make test-vulkan` runs it.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::client;
use crate::engine::{Engine, demo_model};

/// Only the software driver, and the library has to be told to take it: by itself it takes no processor for a device.
const ENVIRONMENT: [(&str, &str); 5] = [
    ("VK_ICD_FILENAMES", "/usr/share/vulkan/icd.d/lvp_icd.x86_64.json"),
    ("VK_DRIVER_FILES", "/usr/share/vulkan/icd.d/lvp_icd.x86_64.json"),
    ("GGML_VK_VISIBLE_DEVICES", "0"),
    // Mesa 22.3's software driver crashes in one of the joined steps when a prompt has a few tokens only.
    ("GGML_VK_DISABLE_FUSION", "1"),
    ("DEDI_LOG", "info,llama-cpp-2=debug"),
];

fn device() -> Value {
    let asked = Command::new(env!("CARGO_BIN_EXE_dedi-engine"))
        .arg("--backends=json")
        .envs(ENVIRONMENT)
        .output()
        .unwrap();
    let all: Value = serde_json::from_slice(&asked.stdout).unwrap();
    let vulkan = all["backends"].as_array().unwrap().iter().find(|it| it["name"] == "vulkan").unwrap();
    assert_eq!(vulkan["devices"].as_array().unwrap().len(), 1, "{all}");
    vulkan["devices"][0].clone()
}

/// Memory of a process that no file backs: what the software driver hands out comes from there.
fn resident_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let field = |name| dedi_host_memory::kib_field(&status, name).unwrap_or(0);
    field("RssAnon:") + field("RssShmem:")
}

/// The line of the log with that text.
fn line<'a>(log: &'a str, text: &str) -> &'a str {
    log.lines().find(|it| it.contains(text)).unwrap_or_else(|| panic!("no {text:?} in {log}"))
}

async fn reply(engine: &Engine) -> Value {
    let body = json!({
        "model": "dedi/demo", "max_tokens": 24, "temperature": 0.0,
        "messages": [{"role": "user", "content": "What is the capital of France?"}],
    });
    let (status, reply_body) = client::post(&engine.socket(), "/v1/chat/completions", &body).await;
    assert_eq!(status, 200, "{reply_body}");
    reply_body
}

async fn ready(args: &[&str]) -> Engine {
    let engine = Engine::launch_in(&demo_model(), args, &ENVIRONMENT);
    engine
        .until("healthy", async || client::get(&engine.socket(), "/health").await.is_ok_and(|it| it.0 == 200))
        .await;
    engine
}

#[tokio::test]
async fn vulkan_has_the_layers_on_its_device_generates_and_frees_its_memory() {
    let seen = device();
    println!("device: {seen}");
    let mut engine = ready(&["--gpu-layers", "999"]).await;
    let log = engine.log();
    let layers = line(&log, "offloaded ");
    let (done, all) = layers.split_once("offloaded ").unwrap().1.split_once('/').unwrap();
    assert_eq!(done, all.split_once(' ').unwrap().0, "{layers}");
    println!(
        "{layers}\n{}\n{}",
        line(&log, "Vulkan0 model buffer size"),
        line(&log, "Vulkan0 KV buffer size")
    );

    let begun = std::time::Instant::now();
    let reply_body = reply(&engine).await;
    let tokens = reply_body["usage"]["completion_tokens"].as_u64().unwrap();
    println!("{tokens} tokens in {:?}: {}", begun.elapsed(), reply_body["choices"][0]["message"]["content"]);
    assert!(tokens > 0);

    let short = json!({"model": "dedi/demo", "prompt": "Hello", "max_tokens": 1});
    let (status, reply_body) = client::post(&engine.socket(), "/v1/completions", &short).await;
    assert_eq!(status, 200, "{reply_body}");

    let pid = engine.pid();
    println!("memory of the process while it serves: {} MiB", resident_bytes(pid) >> 20);
    engine.terminate();
    assert_eq!(engine.exit().await.code(), Some(0), "{}", engine.log());
    assert_eq!(resident_bytes(pid), 0, "its memory is still there");
    println!("device afterwards: {}", device());
}

#[tokio::test]
async fn vulkan_device_is_left_alone_without_layers() {
    let engine = ready(&["--gpu-layers", "0"]).await;
    reply(&engine).await;
    let log = engine.log();
    assert!(!log.contains("Vulkan0 model buffer") && !log.contains("Vulkan0 compute buffer"), "{log}");
}

#[tokio::test]
async fn vulkan_build_that_sees_no_device_says_so_and_ends() {
    let no_driver = [("VK_ICD_FILENAMES", "/nowhere"), ("VK_DRIVER_FILES", "/nowhere")];
    let mut engine = Engine::launch_in(&demo_model(), &["--gpu-layers", "999"], &no_driver);
    let ended = tokio::time::timeout(Duration::from_secs(30), engine.exit()).await.unwrap();
    assert_eq!(ended.code(), Some(9), "{}", engine.log());
    assert!(engine.log().contains("vulkan, sees no GPU"), "{}", engine.log());
}
