//! Downloads that are refused, fall silent or are called off say so in a sentence; a token stays with the hub.

use dedi_testing::hub::{FakeHub, HubRepo, Trick};
use http::StatusCode;

use super::{TOKEN, config, of_file, plane, until, weights};
use crate::HubConfig;

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
async fn a_download_that_is_called_off_says_so_and_leaves_nothing() {
    let hub = FakeHub::start();
    hub.put("org/x", HubRepo::default().tricky("x.gguf", &weights(), Trick::Stalls { after: 80_000 }));
    let plane = plane(HubConfig { idle_timeout_secs: 60, ..config(&hub) }).await;
    plane.call("POST", "/v1/pulls", r#"{"model":"org/x"}"#).await;
    let queued = plane.call("POST", "/v1/pulls", r#"{"model":"org/y"}"#).await;
    assert_eq!(queued.json()["state"], "queued", "{queued:?}");
    let said = queued.json()["message"].as_str().unwrap().to_owned();
    assert!(said.starts_with("waits for 1 other download; the running one has 0 of "), "{said}");
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
