//! Mirrors that tell less than the hub, hubs that have too much to do, and what a file says of itself.

use std::time::Instant;

use dedi_testing::hub::{FakeHub, HubRepo, Trick};
use serde_json::json;

use super::{config, of_file, plane, until, weights};
use crate::HubConfig;
use crate::testing::{Gguf, gguf};

fn mirror(etag: &'static str, gives_parts: bool, times: u32) -> Trick {
    Trick::CutsAsMirror { after: 80_000, times, etag, gives_parts }
}

#[tokio::test]
async fn mirror_without_a_strong_etag_is_gone_on_with_by_range() {
    for etag in ["", "W/\"abc\"", "\"strong\""] {
        let hub = FakeHub::start();
        hub.put("org/x", HubRepo::default().tricky("x.gguf", &weights(), mirror(etag, true, 1)));
        let plane = plane(config(&hub)).await;
        let done = plane.pull("org/x").await;
        assert_eq!(done["state"], "done", "{etag}: {done}");
        assert_eq!(plane.stored("org/x/x.gguf").unwrap(), weights());
        let asked = hub.asked();
        let ranges: Vec<_> = of_file(&asked, "x.gguf").iter().map(|it| it.range.clone()).collect();
        assert_eq!(ranges, [None, Some("bytes=80000-".to_owned())], "{etag}");
    }
}

#[tokio::test]
async fn bytes_kept_are_told_where_they_are_of_use() {
    // That it does not send parts is known when it was asked for one.
    for (gives_parts, tries_max, kept) in [(true, 1, 80_000), (false, 2, 0)] {
        let hub = FakeHub::start();
        hub.put("org/x", HubRepo::default().tricky("x.gguf", &weights(), mirror("", gives_parts, u32::MAX)));
        let plane = plane(HubConfig { tries_max, ..config(&hub) }).await;
        let failed = plane.pull("org/x").await;
        assert_eq!(failed["code"], "connection", "{failed}");
        assert_eq!(failed["bytes_kept"], kept, "{failed}");
    }
}

#[tokio::test]
async fn hub_that_asks_to_wait_is_waited_for_and_that_is_told() {
    let hub = FakeHub::start();
    let busy = |status| Trick::Busy { status, retry_after: "1".to_owned(), times: 1 };
    let repo = HubRepo::default().busy_list(429, "1", 1);
    hub.put("org/x", repo.tricky("x.gguf", &weights(), busy(503)));
    let plane = plane(config(&hub)).await;
    let begun = Instant::now();
    plane.call("POST", "/v1/pulls", r#"{"model":"org/x"}"#).await;
    for said in [
        "the hub answered 429 Too Many Requests for model org/x and asks to wait 1 s; it is asked again in ",
        "the hub answered 503 Service Unavailable for x.gguf of org/x and asks to wait 1 s; it is asked again in ",
    ] {
        until("a word of the wait", async || {
            let pull = plane.call("GET", "/v1/pulls/org/x", "").await.json();
            let message = pull["message"].as_str().unwrap_or_default().to_owned();
            (pull["state"] == "running" && message.starts_with(said)).then_some(())
        })
        .await;
    }
    let done = plane.pull("org/x").await;
    assert_eq!((&done["state"], &done["message"]), (&json!("done"), &json!(null)), "{done}");
    assert!(begun.elapsed().as_millis() >= 2_000, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn hub_that_asks_for_too_long_a_wait_fails_with_its_words() {
    let hub = FakeHub::start();
    hub.put("org/x", HubRepo::default().busy_list(429, "301", u32::MAX).file("x.gguf", &weights()));
    let plane = plane(config(&hub)).await;
    let failed = plane.pull("org/x").await;
    assert_eq!(failed["code"], "hub_unavailable", "{failed}");
    let said = "asks to wait 301 s, longer than hub.retry_after_secs_max = 300 allows; try again then";
    assert!(failed["message"].as_str().unwrap().ends_with(said), "{failed}");
    assert_eq!(hub.asked().len(), 1);
}

#[tokio::test]
async fn file_that_is_no_model_is_refused_by_its_first_bytes_and_the_next_one_taken() {
    let other = |kind| gguf(&Gguf { kind, n_elements: 2_000_000, ..Gguf::default() });
    let hub = FakeHub::start();
    let repo = HubRepo::default().file("a-Q4_K_M.gguf", &other("mmproj")).file("b-Q8_0.gguf", &weights());
    hub.put("org/x", repo);
    hub.put("org/y", HubRepo::default().file("y.gguf", &other("adapter")));
    let plane = plane(config(&hub)).await;
    let done = plane.pull("org/x").await;
    assert_eq!(done["state"], "done", "{done}");
    assert_eq!(plane.stored("org/x/b-Q8_0.gguf").unwrap(), weights());
    assert!(plane.stored("org/x/a-Q4_K_M.gguf").is_none());
    for (source, said) in [
        ("org/x:Q4_K_M", "a-Q4_K_M.gguf of org/x is a projector, which reads images or sound for a model"),
        ("org/y", "y.gguf of org/y is an adapter (LoRA), which changes another model, and no model"),
    ] {
        let failed = plane.pull(source).await;
        assert_eq!(failed["code"], "unsuitable", "{failed}");
        assert!(failed["message"].as_str().unwrap().starts_with(said), "{failed}");
        assert!(failed["bytes_done"].as_u64().unwrap() < 4_000_000, "not all of it came: {failed}");
    }
}
