//! A second engine that dedi knows nothing of but its spec: it listens on TCP, has flags, health answers and exit codes of
//! its own, echoes no mark, says how far it is in its log, and is interrupted.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use dedi_domain::{Address, EngineKind, EngineSpec, FailureCause, ReplicaPhase};
use dedi_runtime::process::{IsolationSetting, ProcessRuntime, ProcessSetup, isolation_level};
use dedi_runtime_api::{Launch, ModelUnavailable, Runtime, RuntimeError};
use dedi_testing::host::has;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::host::{Host, launch, phase, until, until_exited, until_gone, until_ready};

/// As a file would have it.
fn foreign() -> EngineSpec {
    let spec = json!({
        "kind": "foreign",
        "program": dedi_testing::fake_engine(),
        "args": ["foreign", "--weights", "{model}", "--listen", "127.0.0.1:{port}", "--served-as={model_name}",
                 "--served-as", "{model_name}", "--window", "{context_total}"],
        "environment": [["FOREIGN_CACHE", "{folder}/cache"]],
        "transport": "loopback",
        "health": {
            "path": "/ready", "ready": [204], "loading": [425], "nonce": null, "timeout_ms": 900, "interval_ms": 60,
            "progress": {"log": [{"says": "stage: reading weights", "percent": 30}, {"says": "stage: warm", "percent": 90}]}
        },
        "stop": {"signal": "int", "grace_secs": 2, "drains": false},
        "exits": [
            {"code": 40, "cause": "model_unusable"},
            {"code": 41, "says": "line 150 before", "was_ready": false, "cause": "device_out_of_memory"}
        ],
        "formats": ["gguf"]
    });
    serde_json::from_value(spec).unwrap()
}

/// A host with both engines.
async fn both(host: &Host) -> ProcessRuntime {
    let mut setup = host.setup();
    setup.engines.push(foreign());
    ProcessRuntime::open(setup).await.unwrap()
}

fn on_foreign(mode: &str) -> Launch {
    Launch { engine: EngineKind::parse("foreign").unwrap(), ..launch(mode) }
}

async fn address(runtime: &ProcessRuntime, launch: &Launch) -> SocketAddr {
    match phase(runtime, launch).await {
        Some(ReplicaPhase::Ready { address: Address::Tcp(address) }) => address,
        other => panic!("{other:?}"),
    }
}

/// The whole answer to one request.
async fn asked(address: SocketAddr, method: &str, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let n_bytes = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {n_bytes}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn engine_known_by_its_spec_alone_starts_answers_and_ends() {
    let host = Host::new();
    let runtime = both(&host).await;
    let (launch, embedded) = (on_foreign("ok"), launch("ok"));
    runtime.ensure(&launch).await.unwrap();
    runtime.ensure(&embedded).await.unwrap();
    until_ready(&runtime, &launch).await;
    until_ready(&runtime, &embedded).await;
    let address = address(&runtime, &launch).await;
    assert_eq!(address.ip(), Ipv4Addr::LOCALHOST);
    let chat = r#"{"model":"fake/ok","messages":[{"role":"user","content":"hi"}]}"#;
    let answer = asked(address, "POST", "/v1/chat/completions", chat).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("wörld"), "{answer}");

    // A server that starts anew finds it where it was, and does not launch it again.
    runtime.shutdown().await;
    drop(runtime);
    let runtime = both(&host).await;
    runtime.ensure(&launch).await.unwrap();
    assert_eq!(self::address(&runtime, &launch).await, address);

    runtime.end(launch.replica, launch.nonce).await.unwrap();
    let exit = until_exited(&runtime, &launch).await;
    assert_eq!((exit.cause, exit.code), (FailureCause::Stopped, Some(0)));
    let log = host.log(&launch);
    assert!(log.contains("interrupted") && !log.contains("asked to end"), "{log}");
    for it in [&launch, &embedded] {
        runtime.remove(it.replica, it.nonce).await.unwrap();
        until_gone(&runtime, it).await;
    }
    assert!(TcpListener::bind(address).is_ok(), "its port is free again");
}

#[tokio::test]
async fn engine_says_how_far_it_is_in_its_log() {
    let host = Host::new();
    let runtime = both(&host).await;
    let launch = on_foreign("slow-load.1500");
    runtime.ensure(&launch).await.unwrap();
    let is_30 =
        |it: Option<&ReplicaPhase>| matches!(it, Some(ReplicaPhase::Launching { percent: Some(30), .. }));
    until(&runtime, &launch, "at 30 %", is_30).await;
    until_ready(&runtime, &launch).await;
    runtime.remove(launch.replica, launch.nonce).await.unwrap();
    until_gone(&runtime, &launch).await;
}

#[tokio::test]
async fn engine_ends_mean_what_its_spec_says() {
    let host = Host::new();
    let runtime = both(&host).await;
    for (mode, cause) in [
        ("crash-at-start.40", FailureCause::ModelUnusable),
        ("crash-at-start.41", FailureCause::DeviceOutOfMemory),
        // The embedded engine's code for that is nothing to this one.
        ("crash-at-start.3", FailureCause::EngineExited),
    ] {
        let launch = on_foreign(mode);
        runtime.ensure(&launch).await.unwrap();
        assert_eq!(until_exited(&runtime, &launch).await.cause, cause, "{mode}");
    }
}

#[tokio::test]
async fn engine_on_tcp_is_not_taken_for_whoever_else_listens_on_its_port() {
    let host = Host::new();
    let runtime = both(&host).await;
    // It never listens, so somebody else can.
    let launch = on_foreign("deaf");
    runtime.ensure(&launch).await.unwrap();
    let record = std::fs::read(host.dir(&launch).join("launch.json")).unwrap();
    let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
    let port = u16::try_from(record["port"].as_u64().unwrap()).unwrap();
    let stranger = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    let answers = async {
        for _ in 0..20 {
            let (mut stream, _) = stranger.accept().await.unwrap();
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await;
        }
    };
    answers.await;
    let seen = phase(&runtime, &launch).await;
    assert!(matches!(seen, Some(ReplicaPhase::Launching { .. })), "{seen:?}");
    // Another launch gets another port.
    let other = on_foreign("ok");
    runtime.ensure(&other).await.unwrap();
    until_ready(&runtime, &other).await;
    assert_ne!(address(&runtime, &other).await.port(), port);
    for it in [&launch, &other] {
        runtime.remove(it.replica, it.nonce).await.unwrap();
        until_gone(&runtime, it).await;
    }
}

#[tokio::test]
async fn engine_on_tcp_is_kept_apart_like_any_other() {
    let level = isolation_level(IsolationSetting::Auto).level();
    if !has(level == Some(1), "Landlock and a filter of system calls") {
        return;
    }
    let mut host = Host::new();
    host.config.isolation = IsolationSetting::Level1;
    let runtime = both(&host).await;
    let launch = on_foreign("ok");
    runtime.ensure(&launch).await.unwrap();
    until_ready(&runtime, &launch).await;
    assert_eq!(runtime.list().await.unwrap().replicas[0].isolation, Some(1));
    runtime.remove(launch.replica, launch.nonce).await.unwrap();
    until_gone(&runtime, &launch).await;
}

#[tokio::test]
async fn engine_that_a_host_lacks_or_a_model_that_it_cannot_load_is_refused_before_anything_starts() {
    let host = Host::new();
    let runtime = both(&host).await;
    let unknown = Launch { engine: EngineKind::parse("other").unwrap(), ..launch("ok") };
    let said = runtime.ensure(&unknown).await.unwrap_err();
    assert!(matches!(said, RuntimeError::Launch { .. }), "{said:?}");
    assert!(said.to_string().ends_with("this host has no engine `other`"), "{said}");
    let mut unfit = on_foreign("ok");
    unfit.model.revision = Some(host.root.path().to_string_lossy().into_owned());
    let Err(RuntimeError::Model { why: ModelUnavailable::Unusable(why), .. }) = runtime.ensure(&unfit).await
    else {
        panic!("a folder of safetensors was taken for GGUF")
    };
    assert_eq!(why, "unsupported format: safetensors; the engine `foreign` needs GGUF");
    assert_eq!(runtime.list().await.unwrap().replicas, []);
}

#[tokio::test]
async fn engine_whose_spec_makes_no_sense_keeps_the_runtime_from_opening() {
    let host = Host::new();
    let broken = EngineSpec { args: Vec::new(), ..foreign() };
    let opened = ProcessRuntime::open(ProcessSetup { engines: vec![broken], ..host.setup() }).await;
    let said = opened.unwrap_err().to_string();
    assert_eq!(said, "engine foreign: its transport is loopback, and no argument has {port}");
}
