//! A model is there whole or not at all, whatever the hub does on the way.

use std::time::Duration;

use dedi_testing::hub::{FakeHub, HubRepo, Trick};
use serde_json::Value;

use super::{config, of_file, plane, weights};
use crate::HubConfig;
use crate::testing::{Gguf, gguf};

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
async fn the_beginning_of_a_model_is_not_kept_for_ever() {
    let hub = FakeHub::start();
    let plane = plane(config(&hub)).await;
    for (model, days) in [("org/old", 8), ("org/new", 6)] {
        let folder = plane.models().join(".pulls").join(model);
        std::fs::create_dir_all(&folder).unwrap();
        let file = std::fs::File::create(folder.join("x.gguf.part")).unwrap();
        file.set_modified(std::time::SystemTime::now() - Duration::from_secs(days * 86_400)).unwrap();
    }
    plane.parts().pulls.forget_stale().await;
    assert!(!plane.models().join(".pulls/org/old").exists());
    assert!(plane.models().join(".pulls/org/new").exists());
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
