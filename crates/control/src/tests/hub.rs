//! Downloads against a hub of our own that misbehaves.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use dedi_testing::hub::{FakeHub, HubRepo, HubRequest, Trick};
use http::StatusCode;
use serde_json::Value;

use crate::testing::{FakeRuntime, Gguf, Plane, gguf};
use crate::{ControlConfig, HubConfig};

/// Longest any condition is waited for.
const PATIENCE: Duration = Duration::from_secs(20);
const TOKEN: &str = "hf_canary";

fn config(hub: &FakeHub) -> HubConfig {
    HubConfig {
        base_url: hub.base_url(),
        backoff_base_millis: 10,
        idle_timeout_secs: 2,
        disk_reserve_mib: 0,
        ..HubConfig::default()
    }
}

async fn plane(hub: HubConfig) -> Plane {
    Plane::with_hub(ControlConfig::default(), FakeRuntime::with_cores(4), hub).await
}

/// A valid model of some size.
fn weights() -> Vec<u8> {
    gguf(&Gguf { n_elements: 40_000, ..Gguf::default() })
}

async fn until<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if let Some(it) = condition().await {
            return it;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("waited {} s for {what}", PATIENCE.as_secs());
}

impl Plane {
    /// Pulls and waits for the end.
    async fn pull(&self, source: &str) -> Value {
        let answer = self.call("POST", "/v1/pulls", &format!(r#"{{"model":"{source}"}}"#)).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        let model = answer.json()["model"].as_str().unwrap().to_owned();
        until("the end of a pull", async || {
            let pull = self.call("GET", &format!("/v1/pulls/{model}"), "").await.json();
            matches!(pull["state"].as_str(), Some("done" | "failed")).then_some(pull)
        })
        .await
    }

    fn models(&self) -> PathBuf {
        self.dir.path().join("models")
    }

    fn stored(&self, path: &str) -> Option<Vec<u8>> {
        std::fs::read(self.models().join(path)).ok()
    }

    async fn listed(&self) -> Vec<String> {
        let list = self.call("GET", "/v1/models", "").await.json();
        list.as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap().to_owned()).collect()
    }
}

fn of_file<'a>(asked: &'a [HubRequest], name: &str) -> Vec<&'a HubRequest> {
    asked.iter().filter(|it| it.path.ends_with(name)).collect()
}

#[tokio::test]
async fn a_pulled_model_is_whole_pinned_and_can_be_deployed() {
    let hub = FakeHub::start();
    let repo = HubRepo::default()
        .file("x-Q8_0.gguf", b"not this one")
        .file("x-Q4_K_M.gguf", &weights())
        .file("README.md", b"hello")
        .file("pytorch_model.bin", b"pickle");
    hub.put("org/x", repo);
    let plane = plane(config(&hub)).await;
    let done = plane.pull("org/x").await;
    assert_eq!((done["state"].as_str(), done["percent"].as_u64()), (Some("done"), Some(100)), "{done}");
    assert_eq!(plane.stored("org/x/x-Q4_K_M.gguf").unwrap(), weights());
    assert_eq!(plane.stored("org/x/README.md").unwrap(), b"hello");
    assert!(plane.stored("org/x/x-Q8_0.gguf").is_none() && plane.stored("org/x/pytorch_model.bin").is_none());
    assert!(!plane.models().join(".pulls").exists(), "nothing is left of the download");
    let manifest: Value = serde_json::from_slice(&plane.stored("org/x/manifest.json").unwrap()).unwrap();
    assert_eq!(manifest["commit"], done["commit"]);
    assert_eq!(manifest["files"][0]["sha256"].as_str().unwrap().len(), 64);
    let files: Vec<_> = hub.asked().into_iter().filter(|it| it.path.contains("/resolve/")).collect();
    assert!(
        files.iter().all(|it| it.path.contains(done["commit"].as_str().unwrap())),
        "the commit is pinned"
    );
    assert_eq!(plane.listed().await, ["dedi/demo", "org/x"]);

    let n_asked = hub.asked().len();
    assert_eq!(plane.pull("org/x").await["state"], "done");
    assert_eq!(hub.asked().len(), n_asked + 1, "the same commit again is one question");

    let newer = gguf(&Gguf { n_layers: 5, ..Gguf::default() });
    hub.put("org/x", HubRepo::default().file("x-Q4_K_M.gguf", &newer));
    assert_eq!(plane.pull("org/x").await["state"], "done");
    assert_eq!(plane.stored("org/x/x-Q4_K_M.gguf").unwrap(), newer);
    assert!(plane.stored("org/x/README.md").is_none(), "the old revision is gone whole");
}

#[tokio::test]
async fn a_cut_download_goes_on_where_it_broke_off() {
    let hub = FakeHub::start();
    hub.put(
        "org/x",
        HubRepo::default().tricky("x.gguf", &weights(), Trick::Cuts { after: 50_000, times: 3 }),
    );
    let plane = plane(config(&hub)).await;
    let done = plane.pull("org/x").await;
    assert_eq!(done["state"], "done", "{done}");
    assert_eq!(plane.stored("org/x/x.gguf").unwrap(), weights());
    let asked = hub.asked();
    let ranges: Vec<_> = of_file(&asked, "x.gguf").iter().map(|it| it.range.clone()).collect();
    assert_eq!(ranges.len(), 4, "{ranges:?}");
    assert_eq!(ranges[1].as_deref(), Some("bytes=50000-"));
}

#[tokio::test]
async fn the_rest_of_another_file_is_not_appended() {
    let hub = FakeHub::start();
    hub.put(
        "org/x",
        HubRepo::default().tricky("x.gguf", &weights(), Trick::CutsAndChanges { after: 50_000 }),
    );
    let plane = plane(HubConfig { tries_max: 2, ..config(&hub) }).await;
    let failed = plane.pull("org/x").await;
    assert_eq!(failed["code"], "hash_mismatch", "{failed}");
    assert!(plane.stored("org/x/x.gguf").is_none());
}

#[tokio::test]
async fn a_lie_about_the_size_names_both_sizes_and_leaves_nothing() {
    let whole = weights();
    let n = whole.len();
    let hub = FakeHub::start();
    let plane = plane(config(&hub)).await;
    for (trick, said) in [
        (Trick::ListsBytes(n as u64 + 7), format!("lists {} bytes but its answer has {n}", n + 7)),
        (Trick::ListsBytes(9), format!("lists 9 bytes but its answer has {n}")),
        (Trick::ListsBytesAndHidesLength(9), "lists 9 bytes but sends more".to_owned()),
        (
            Trick::ListsBytesAndHidesLength(n as u64 + 7),
            format!("lists {} bytes but its answer says {n}", n + 7),
        ),
    ] {
        hub.put("org/x", HubRepo::default().tricky("x.gguf", &whole, trick));
        let failed = plane.pull("org/x").await;
        assert_eq!(failed["code"], "size_mismatch", "{failed}");
        assert!(failed["message"].as_str().unwrap().contains(&said), "{failed}");
        assert!(!plane.models().join(".pulls").exists() && !plane.models().join("org").exists());
    }
}

#[tokio::test]
async fn a_flipped_byte_is_found_and_the_file_thrown_away() {
    let hub = FakeHub::start();
    let plane = plane(HubConfig { tries_max: 2, ..config(&hub) }).await;
    for file in ["x.gguf", "README.md"] {
        let whole = HubRepo::default().file("y.gguf", &weights());
        hub.put("org/x", whole.clone().tricky(file, &weights(), Trick::Flips { at: 99, times: u32::MAX }));
        let failed = plane.pull(if file == "x.gguf" { "org/x:x" } else { "org/x" }).await;
        assert_eq!(failed["code"], "hash_mismatch", "{failed}");
        assert!(failed["message"].as_str().unwrap().starts_with(file), "{failed}");
        assert!(!plane.models().join("org").exists(), "nothing is accepted");
        assert!(!plane.models().join(".pulls/org/x").join(file).exists());
    }
    hub.put("org/x", HubRepo::default().tricky("x.gguf", &weights(), Trick::Flips { at: 99, times: 1 }));
    assert_eq!(plane.pull("org/x").await["state"], "done", "once is no verdict on the file");
}

#[tokio::test]
async fn whatever_the_hub_does_a_model_is_there_whole_or_not_at_all() {
    let (whole, hub) = (weights(), FakeHub::start());
    let plane = plane(HubConfig { tries_max: 2, backoff_base_millis: 1, ..config(&hub) }).await;
    let (mut n_done, mut seed) = (0, 0x9E37_79B9_7F4A_7C15_u64);
    let mut draw = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap() % below
    };
    for round in 0..60 {
        let at = draw(whole.len());
        let trick = match draw(6) {
            0 => Trick::Flips { at, times: 1 + u32::try_from(draw(3)).unwrap() },
            1 => Trick::CutsAndChanges { after: at },
            2 => Trick::ListsBytes(at as u64),
            3 => Trick::ListsBytesAndHidesLength((whole.len() + draw(3) - 1) as u64),
            _ => Trick::Cuts { after: at, times: u32::try_from(draw(4)).unwrap() },
        };
        hub.put("org/x", HubRepo::default().tricky("x.gguf", &whole, trick.clone()));
        let ended = plane.pull("org/x").await;
        let stored = plane.stored("org/x/x.gguf");
        let what = format!("round {round} {trick:?}: {ended}");
        if ended["state"] == "done" {
            assert!(stored.is_some_and(|it| it == whole), "{what}");
            n_done += 1;
        } else {
            assert!(stored.is_none() && !plane.models().join("org").exists(), "{what}");
        }
        // What a failed round left is there for the next one, which may go on with it.
        if round % 3 == 0 || ended["state"] == "done" {
            plane.call("DELETE", "/v1/models/org/x", "").await;
        }
    }
    assert!((10..55).contains(&n_done), "{n_done} of 60: the tricks are too hard or too easy");
}

#[tokio::test]
async fn a_redirect_is_followed_without_the_token() {
    let hub = FakeHub::start();
    let folder = tempfile::tempdir().unwrap();
    let token_file = folder.path().join("token");
    std::fs::write(&token_file, TOKEN).unwrap();
    let trick = Trick::Redirects(hub.other_url());
    hub.put("org/x", HubRepo::default().gated(TOKEN).tricky("x.gguf", &weights(), trick));
    let with_token = HubConfig { token_file, ..config(&hub) };

    let careful = plane(with_token.clone()).await;
    let refused = careful.pull("org/x").await;
    assert!(refused["message"].as_str().unwrap().contains("hub.private_addresses"), "{refused}");
    assert!(hub.asked().iter().all(|it| !it.host.starts_with("localhost")), "a private address was asked");

    let plane = plane(HubConfig { private_addresses: true, ..with_token }).await;
    let done = plane.pull("org/x").await;
    assert_eq!(done["state"], "done", "{done}");
    let asked = hub.asked();
    let (there, here): (Vec<_>, Vec<_>) = asked.iter().partition(|it| it.host.starts_with("localhost"));
    assert_eq!(there.len(), 1);
    assert_eq!(there[0].authorization, None, "the token went to another host");
    assert!(here.iter().all(|it| it.authorization.as_deref() == Some("Bearer hf_canary")));
}

#[tokio::test]
async fn gated_unknown_and_unsuitable_models_are_refused_with_a_sentence() {
    let hub = FakeHub::start();
    hub.put("org/gated", HubRepo::default().gated(TOKEN).file("x.gguf", &weights()));
    hub.put("org/pickled", HubRepo::default().file("pytorch_model.bin", b"x").file("config.json", b"{}"));
    // The real hub shows the list of a gated model to everybody and refuses its files.
    hub.put("org/half", HubRepo::default().tricky("x.gguf", &weights(), Trick::Status(403)));
    hub.put("org/down", HubRepo::default().tricky("x.gguf", &weights(), Trick::Status(503)));
    let plane = plane(config(&hub)).await;
    for (source, code, said) in [
        ("org/half", "gated", "does not give x.gguf of org/half to this server"),
        ("org/down", "hub_unavailable", "503 Service Unavailable for x.gguf of org/down"),
        ("org/gated", "gated", "accept its terms on the hub, then set HF_TOKEN or hub.token_file"),
        ("org/none", "not_found", "the hub has no model org/none"),
        ("org/pickled@v9", "not_found", "the hub has no model org/pickled@v9"),
        ("org/pickled", "unsuitable", "only as pickle files (pytorch_model.bin)"),
        ("dedi/demo", "unsuitable", "did not come from a hub"),
    ] {
        let failed = plane.pull(source).await;
        assert_eq!(failed["code"], code, "{failed}");
        assert!(failed["message"].as_str().unwrap().contains(said), "{failed}");
    }
    let answer = plane.call("POST", "/v1/pulls", r#"{"model":"../x"}"#).await;
    assert_eq!((answer.status, answer.param().as_deref()), (StatusCode::BAD_REQUEST, Some("model")));
}

#[tokio::test]
async fn a_disk_without_room_is_said_before_the_first_byte() {
    let hub = FakeHub::start();
    hub.put("org/x", HubRepo::default().file("x.gguf", &weights()));
    let plane = plane(HubConfig { disk_reserve_mib: 1 << 40, ..config(&hub) }).await;
    let failed = plane.pull("org/x").await;
    assert_eq!(failed["code"], "disk_full", "{failed}");
    assert!(of_file(&hub.asked(), "x.gguf").is_empty());
    assert!(!plane.models().join(".pulls").exists());
}

#[tokio::test]
async fn a_hub_that_falls_silent_ends_the_wait() {
    let hub = FakeHub::start();
    hub.put("org/x", HubRepo::default().tricky("x.gguf", &weights(), Trick::Stalls { after: 50_000 }));
    let plane = plane(HubConfig { idle_timeout_secs: 1, tries_max: 1, ..config(&hub) }).await;
    let failed = plane.pull("org/x").await;
    assert_eq!(failed["code"], "connection", "{failed}");
    assert!(failed["message"].as_str().unwrap().contains("nothing came for 1 s"), "{failed}");
}

#[tokio::test]
async fn an_endpoint_waits_for_its_model_and_says_how_far_it_is() {
    let hub = FakeHub::start();
    hub.put("org/x", HubRepo::default().tricky("x.gguf", &weights(), Trick::Stalls { after: 80_000 }));
    let plane = plane(HubConfig { fetch_on_create: true, tries_max: 1, ..config(&hub) }).await;
    let body =
        r#"{"model":"org/x","hardware":"1x_cpu_8gb","autoscaling":{"min_replicas":1,"max_replicas":1}}"#;
    let made = plane.call("POST", "/v1/endpoints", body).await;
    assert_eq!(made.status, StatusCode::OK, "{made:?}");
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let seen = until("some progress", async || {
        plane.settle_idle().await;
        let seen = plane.get(&id).await;
        (seen["status"]["progress"]["bytes_done"].as_u64() == Some(80_000)).then_some(seen)
    })
    .await;
    assert_eq!((&seen["state"], &seen["status"]["reason"]), (&"PENDING".into(), &"downloading".into()));
    assert_eq!(seen["status"]["progress"]["stage"], "downloading");
    assert_eq!(seen["status"]["progress"]["percent"], 49);
    assert!(plane.runtime.launched().is_empty(), "nothing is launched before the model is here");

    let failed = until("the failure", async || {
        plane.settle_idle().await;
        let seen = plane.get(&id).await;
        (seen["status"]["reason"] == "download_failed").then_some(seen)
    })
    .await;
    assert_eq!(failed["state"], "PENDING", "what may pass is no ERROR yet");
    assert!(failed["status"]["message"].as_str().unwrap().contains("nothing came for"), "{failed}");
    assert!(failed["status"]["next_retry_at"].is_string(), "{failed}");

    hub.put("org/x", HubRepo::default().file("x.gguf", &weights()));
    plane.later(1);
    until("the start", async || {
        plane.settle_idle().await;
        (plane.state(&id).await == "STARTED").then_some(())
    })
    .await;
    assert_eq!(plane.runtime.launched()[0].model.as_str(), "org/x");
}

#[tokio::test]
async fn a_model_that_is_not_there_is_an_error_until_it_is_mended() {
    let hub = FakeHub::start();
    let plane = plane(HubConfig { fetch_on_create: true, ..config(&hub) }).await;
    let body =
        r#"{"model":"org/x","hardware":"1x_cpu_8gb","autoscaling":{"min_replicas":0,"max_replicas":1}}"#;
    let id = plane.call("POST", "/v1/endpoints", body).await.json()["id"].as_str().unwrap().to_owned();
    let broken = until("the error", async || {
        plane.settle_idle().await;
        let seen = plane.get(&id).await;
        (seen["state"] == "ERROR").then_some(seen)
    })
    .await;
    assert_eq!(broken["status"]["reason"], "download_failed");
    assert!(broken["status"]["message"].as_str().unwrap().contains("the hub has no model org/x"), "{broken}");

    hub.put("org/x", HubRepo::default().file("x.gguf", &weights()));
    plane.later(1);
    plane.call("PATCH", &format!("/v1/endpoints/{id}"), r#"{"state":"STARTED"}"#).await;
    until("the sleep of an endpoint that needs no replica", async || {
        plane.settle_idle().await;
        (plane.state(&id).await == "STARTED").then_some(())
    })
    .await;
    let kinds = plane.events(&id).await;
    assert!(kinds.iter().any(|it| it.contains("PENDING -> ERROR")), "{kinds:?}");
}

#[tokio::test]
async fn a_stop_calls_the_download_off_and_a_start_goes_on_with_it() {
    let hub = FakeHub::start();
    hub.put("org/x", HubRepo::default().tricky("x.gguf", &weights(), Trick::Stalls { after: 80_000 }));
    let plane = plane(HubConfig { fetch_on_create: true, idle_timeout_secs: 60, ..config(&hub) }).await;
    let body =
        r#"{"model":"org/x","hardware":"1x_cpu_8gb","autoscaling":{"min_replicas":1,"max_replicas":1}}"#;
    let id = plane.call("POST", "/v1/endpoints", body).await.json()["id"].as_str().unwrap().to_owned();
    let part = plane.models().join(".pulls/org/x/x.gguf.part");
    until("some bytes on disk", async || {
        plane.settle_idle().await;
        std::fs::metadata(&part).is_ok_and(|it| it.len() == 80_000).then_some(())
    })
    .await;
    plane.call("PATCH", &format!("/v1/endpoints/{id}"), r#"{"state":"STOPPED"}"#).await;
    until("the stop", async || {
        plane.settle_idle().await;
        (plane.state(&id).await == "STOPPED").then_some(())
    })
    .await;
    assert!(plane.shared().pulls.all().is_empty(), "nobody waits, so nothing is fetched");

    hub.put("org/x", HubRepo::default().file("x.gguf", &weights()));
    plane.call("PATCH", &format!("/v1/endpoints/{id}"), r#"{"state":"STARTED"}"#).await;
    until("the start", async || {
        plane.settle_idle().await;
        (plane.state(&id).await == "STARTED").then_some(())
    })
    .await;
    let asked = hub.asked();
    assert_eq!(of_file(&asked, "x.gguf").last().unwrap().range.as_deref(), Some("bytes=80000-"));

    let refused = plane.call("DELETE", "/v1/models/org/x", "").await;
    assert_eq!(refused.json()["error"]["code"], "model_in_use", "{refused:?}");
    assert!(refused.message().contains(&id), "{refused:?}");
    assert_eq!(plane.call("DELETE", &format!("/v1/endpoints/{id}"), "").await.status, StatusCode::NO_CONTENT);
    plane.settle_idle().await;
    assert_eq!(plane.call("DELETE", "/v1/models/org/x", "").await.status, StatusCode::NO_CONTENT);
    assert!(!plane.models().join("org").exists());
    assert_eq!(plane.call("DELETE", "/v1/models/org/x", "").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_download_that_is_called_off_says_so_and_leaves_nothing() {
    let hub = FakeHub::start();
    hub.put("org/x", HubRepo::default().tricky("x.gguf", &weights(), Trick::Stalls { after: 80_000 }));
    let plane = plane(HubConfig { idle_timeout_secs: 60, ..config(&hub) }).await;
    plane.call("POST", "/v1/pulls", r#"{"model":"org/x"}"#).await;
    let queued = plane.call("POST", "/v1/pulls", r#"{"model":"org/y"}"#).await;
    assert_eq!(queued.json()["state"], "queued", "{queued:?}");
    let again = plane.call("POST", "/v1/pulls", r#"{"model":"org/x"}"#).await;
    assert_eq!(again.status, StatusCode::OK, "joined: {again:?}");
    let other = plane.call("POST", "/v1/pulls", r#"{"model":"org/x@v2"}"#).await;
    assert_eq!(other.json()["error"]["code"], "pull_in_progress", "{other:?}");
    let part = plane.models().join(".pulls/org/x/x.gguf.part");
    until("some bytes on disk", async || std::fs::metadata(&part).is_ok_and(|it| it.len() > 0).then_some(()))
        .await;
    assert_eq!(plane.call("DELETE", "/v1/models/org/x", "").await.status, StatusCode::NO_CONTENT);
    assert!(!part.exists());
    let pull = plane.call("GET", "/v1/pulls/org/x", "").await.json();
    assert_eq!((&pull["state"], &pull["code"]), (&"failed".into(), &"called_off".into()), "{pull}");
    let next = plane.pull("org/y").await;
    assert_eq!(next["code"], "not_found", "its turn came: {next}");
}

#[tokio::test]
async fn the_beginning_of_a_model_is_not_kept_for_ever() {
    let hub = FakeHub::start();
    let plane = plane(config(&hub)).await;
    for (model, days) in [("org/old", 8), ("org/new", 6)] {
        let folder = plane.models().join(".pulls").join(model);
        std::fs::create_dir_all(&folder).unwrap();
        let file = std::fs::File::create(folder.join("x.gguf.part")).unwrap();
        file.set_modified(std::time::SystemTime::now() - Duration::from_secs(days * 86_400)).unwrap();
    }
    plane.shared().pulls.forget_stale().await;
    assert!(!plane.models().join(".pulls/org/old").exists());
    assert!(plane.models().join(".pulls/org/new").exists());
}

#[tokio::test]
async fn without_the_operators_word_a_create_fetches_nothing() {
    let hub = FakeHub::start();
    hub.put("org/x", HubRepo::default().file("x.gguf", &weights()));
    let plane = plane(config(&hub)).await;
    let body =
        r#"{"model":"org/x","hardware":"1x_cpu_8gb","autoscaling":{"min_replicas":1,"max_replicas":1}}"#;
    assert_eq!(plane.call("POST", "/v1/endpoints", body).await.status, StatusCode::NOT_FOUND);
    assert!(hub.asked().is_empty());
}

#[tokio::test]
async fn a_file_that_was_cut_after_the_pull_is_named() {
    let hub = FakeHub::start();
    hub.put("org/x", HubRepo::default().file("x.gguf", &weights()));
    let plane = plane(config(&hub)).await;
    plane.pull("org/x").await;
    std::fs::write(plane.models().join("org/x/x.gguf"), &weights()[..100]).unwrap();
    let body =
        r#"{"model":"org/x","hardware":"1x_cpu_8gb","autoscaling":{"min_replicas":1,"max_replicas":1}}"#;
    let refused = plane.call("POST", "/v1/endpoints", body).await;
    assert!(refused.message().contains("x.gguf: it has 100 bytes, but had"), "{refused:?}");
    let done = plane.pull("org/x").await;
    assert_eq!(done["state"], "done", "{done}");
    assert_eq!(plane.stored("org/x/x.gguf").unwrap(), weights());
}
