//! What one tenant may do with what another one pulled: nothing.

use dedi_domain::Role;
use dedi_testing::hub::{FakeHub, HubRepo, Trick};
use http::StatusCode;
use serde_json::Value;

use super::{config, plane, until, weights};
use crate::HubConfig;
use crate::testing::{Answer, Gguf, Plane, gguf};

fn create_of(model: &str) -> String {
    format!(
        r#"{{"model":"{model}","hardware":"1x_cpu_8gb","autoscaling":{{"min_replicas":1,"max_replicas":1}},"state":"STOPPED"}}"#
    )
}

impl Plane {
    async fn pull_as(&self, key: &str, source: &str) -> Answer {
        let body = format!(r#"{{"model":"{source}"}}"#);
        self.call_as(Some(key), "POST", "/v1/pulls", &body).await
    }

    /// The pull's end, which the admin may see.
    async fn ended(&self, model: &str) -> Value {
        until("the end of a pull", async || {
            let pull = self.call("GET", &format!("/v1/pulls/{model}"), "").await.json();
            matches!(pull["state"].as_str(), Some("done" | "failed")).then_some(pull)
        })
        .await
    }

    async fn listed_as(&self, key: &str) -> Vec<String> {
        let list = self.call_as(Some(key), "GET", "/v1/models", "").await.json();
        list.as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap().to_owned()).collect()
    }
}

#[tokio::test]
async fn tenant_pull_never_replaces_weights_of_another_tenants_endpoint() {
    let hub = FakeHub::start();
    hub.put("org/x", HubRepo::default().file("x.gguf", &weights()));
    let plane = plane(config(&hub)).await;
    let (a, b) = (plane.key("aa", Role::Owner).await, plane.key("bb", Role::Owner).await);
    plane.pull_as(&a, "org/x").await;
    assert_eq!(plane.ended("org/x").await["state"], "done");
    let made = plane.call_as(Some(&a), "POST", "/v1/endpoints", &create_of("org/x")).await;
    assert_eq!(made.status, StatusCode::OK, "{made:?}");

    hub.put("org/x", HubRepo::default().file("x.gguf", &gguf(&Gguf { n_layers: 5, ..Gguf::default() })));
    plane.pull_as(&b, "org/x@refs/pr/1").await;
    let refused = plane.ended("org/x").await;
    assert_eq!(plane.stored("org/x/x.gguf").unwrap(), weights(), "{refused}");
    assert_eq!(refused["state"], "failed", "{refused}");
}

#[tokio::test]
async fn tenant_model_is_absent_for_every_role_of_another_tenant() {
    let hub = FakeHub::start();
    hub.put("org/x", HubRepo::default().file("x.gguf", &weights()));
    let plane = plane(config(&hub)).await;
    let a = plane.key("aa", Role::Owner).await;
    plane.pull_as(&a, "org/x").await;
    assert_eq!(plane.ended("org/x").await["state"], "done");
    assert_eq!(plane.listed_as(&a).await, ["dedi/demo", "org/x"]);
    for role in [Role::Inference, Role::Viewer, Role::Developer, Role::Owner] {
        let b = plane.key("bb", role).await;
        assert_eq!(plane.listed_as(&b).await, ["dedi/demo"], "{role:?}");
        for (method, path, body) in [
            ("GET", "/v1/models/org/x", String::new()),
            ("GET", "/v1/hardware?model=org/x", String::new()),
            ("POST", "/v1/endpoints", create_of("org/x")),
            ("POST", "/v1/endpoints?dry_run=true", create_of("org/x")),
            ("DELETE", "/v1/models/org/x", String::new()),
            ("GET", "/v1/pulls/org/x", String::new()),
            ("POST", "/v1/checks", r#"{"model":"org/x"}"#.to_owned()),
        ] {
            let answer = plane.call_as(Some(&b), method, path, &body).await;
            assert!(
                [StatusCode::NOT_FOUND, StatusCode::FORBIDDEN].contains(&answer.status),
                "{role:?} {method} {path}: {answer:?}"
            );
        }
        let names = plane.call_as(Some(&b), "GET", "/v1/autoscale/models", "").await.text;
        assert!(!names.contains("org/x"), "{names}");
        let pulls = plane.call_as(Some(&b), "GET", "/v1/pulls", "").await.text;
        assert!(!pulls.contains("org/x"), "{pulls}");
    }
    assert!(plane.stored("org/x/x.gguf").is_some());
}

#[tokio::test]
async fn tenant_calls_off_no_download_of_another_tenant() {
    let hub = FakeHub::start();
    hub.put("org/x", HubRepo::default().tricky("x.gguf", &weights(), Trick::Stalls { after: 80_000 }));
    let plane = plane(HubConfig { idle_timeout_secs: 60, ..config(&hub) }).await;
    let (a, b) = (plane.key("aa", Role::Owner).await, plane.key("bb", Role::Owner).await);
    plane.pull_as(&a, "org/x").await;
    let refused = plane.call_as(Some(&b), "DELETE", "/v1/models/org/x", "").await;
    assert_eq!(refused.status, StatusCode::NOT_FOUND, "{refused:?}");
    let pull = plane.call("GET", "/v1/pulls/org/x", "").await.json();
    assert_eq!(pull["state"], "running", "{pull}");
    let called_off = plane.call_as(Some(&a), "DELETE", "/v1/models/org/x", "").await;
    assert_eq!(called_off.status, StatusCode::NO_CONTENT, "{called_off:?}");
}

#[tokio::test]
async fn tenant_pull_that_trickles_holds_up_no_other_tenant() {
    let hub = FakeHub::start();
    hub.put("org/slow", HubRepo::default().tricky("x.gguf", &weights(), Trick::Stalls { after: 80_000 }));
    hub.put("org/x", HubRepo::default().file("x.gguf", &weights()));
    let plane = plane(HubConfig { idle_timeout_secs: 60, ..config(&hub) }).await;
    let (a, b) = (plane.key("aa", Role::Owner).await, plane.key("bb", Role::Owner).await);
    plane.pull_as(&a, "org/slow").await;
    plane.pull_as(&b, "org/x").await;
    assert_eq!(plane.ended("org/x").await["state"], "done");
    plane.call("DELETE", "/v1/models/org/slow", "").await;
}

#[tokio::test]
async fn tenant_model_of_a_stopped_endpoint_is_not_removed() {
    let hub = FakeHub::start();
    hub.put("org/x", HubRepo::default().file("x.gguf", &weights()));
    let plane = plane(config(&hub)).await;
    let (a, b) = (plane.key("aa", Role::Owner).await, plane.key("bb", Role::Owner).await);
    plane.pull_as(&a, "org/x").await;
    plane.ended("org/x").await;
    let made = plane.call_as(Some(&a), "POST", "/v1/endpoints", &create_of("org/x")).await;
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let refused = plane.call_as(Some(&b), "DELETE", "/v1/models/org/x", "").await;
    assert_eq!(refused.status, StatusCode::NOT_FOUND, "{refused:?}");
    let refused = plane.call_as(Some(&a), "DELETE", "/v1/models/org/x", "").await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{refused:?}");
    assert!(refused.message().contains(&id), "{refused:?}");
    assert!(plane.stored("org/x/x.gguf").is_some());
    let removed = plane.call_as(Some(&a), "DELETE", "/v1/models/org/x?force=true", "").await;
    assert_eq!(removed.status, StatusCode::NO_CONTENT, "{removed:?}");
    assert!(plane.stored("org/x/x.gguf").is_none());
}

#[tokio::test]
async fn tenant_that_fetches_the_same_revision_holds_it_too() {
    let hub = FakeHub::start();
    hub.put("org/x", HubRepo::default().file("x.gguf", &weights()));
    let plane = plane(config(&hub)).await;
    let (a, b) = (plane.key("aa", Role::Owner).await, plane.key("bb", Role::Owner).await);
    plane.pull_as(&a, "org/x").await;
    assert_eq!(plane.ended("org/x").await["state"], "done");
    plane.pull_as(&b, "org/x").await;
    assert_eq!(plane.ended("org/x").await["state"], "done");
    assert_eq!(plane.listed_as(&b).await, ["dedi/demo", "org/x"]);
    // Neither takes it from the other.
    let accept = r#"{"model":"org/x","accept":true}"#;
    let refused = plane.call_as(Some(&b), "POST", "/v1/checks", accept).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{refused:?}");
    hub.put("org/x", HubRepo::default().file("x.gguf", &gguf(&Gguf { n_layers: 5, ..Gguf::default() })));
    plane.pull_as(&b, "org/x").await;
    let held = plane.ended("org/x").await;
    assert_eq!((&held["state"], &held["code"]), (&"failed".into(), &"held".into()), "{held}");
    assert_eq!(plane.stored("org/x/x.gguf").unwrap(), weights());
    let gone = plane.call_as(Some(&a), "DELETE", "/v1/models/org/x", "").await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT, "{gone:?}");
    assert_eq!(plane.listed_as(&a).await, ["dedi/demo"]);
    assert_eq!(plane.listed_as(&b).await, ["dedi/demo", "org/x"], "its part stays");
    let gone = plane.call_as(Some(&b), "DELETE", "/v1/models/org/x", "").await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT, "{gone:?}");
    assert!(plane.stored("org/x/x.gguf").is_none(), "the files go with the last holder");
}

#[tokio::test]
async fn tenant_endpoint_loads_no_other_revision_than_its_own() {
    let hub = FakeHub::start();
    hub.put("org/x", HubRepo::default().file("x.gguf", &weights()));
    let plane = plane(config(&hub)).await;
    let a = plane.key("aa", Role::Owner).await;
    plane.pull_as(&a, "org/x").await;
    plane.ended("org/x").await;
    let made = plane.call_as(Some(&a), "POST", "/v1/endpoints", &create_of("org/x")).await;
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let removed = plane.call_as(Some(&a), "DELETE", "/v1/models/org/x?force=true", "").await;
    assert_eq!(removed.status, StatusCode::NO_CONTENT, "{removed:?}");
    let newer = gguf(&Gguf { n_layers: 5, ..Gguf::default() });
    hub.put("org/x", HubRepo::default().file("x.gguf", &newer));
    plane.pull_as(&a, "org/x").await;
    assert_eq!(plane.ended("org/x").await["state"], "done");
    plane.settle_idle().await;
    let path = format!("/v1/endpoints/{id}");
    let n_told = async || {
        plane.settle_idle().await;
        let events = plane.call_as(Some(&a), "GET", &format!("{path}/events"), "").await.json();
        let events = events["data"].as_array().unwrap().clone();
        events.iter().filter(|it| it["kind"] == "model_changed").count()
    };
    assert_eq!(n_told().await, 1, "told while it is stopped, and once");
    plane.call_as(Some(&a), "PATCH", &path, r#"{"state":"STARTED"}"#).await;
    until("the refusal", async || {
        plane.settle_idle().await;
        plane.later(1);
        let seen = plane.call_as(Some(&a), "GET", &path, "").await.json();
        seen["status"]["last_failure"]["message"]
            .as_str()
            .is_some_and(|it| it.contains("revision"))
            .then_some(())
    })
    .await;
    assert!(plane.runtime.launched().is_empty(), "nothing else is served silently");

    plane.call_as(Some(&a), "PATCH", &path, r#"{"state":"STOPPED"}"#).await;
    plane.settle_idle().await;
    plane.call_as(Some(&a), "POST", "/v1/pulls", r#"{"model":"org/x","replace":true}"#).await;
    assert_eq!(plane.ended("org/x").await["state"], "done");
    assert_eq!(n_told().await, 2, "and that it was taken");
    plane.call_as(Some(&a), "PATCH", &path, r#"{"state":"STARTED"}"#).await;
    until("the start", async || {
        plane.settle_idle().await;
        plane.later(1);
        let seen = plane.call_as(Some(&a), "GET", &path, "").await.json();
        (seen["state"] == "STARTED").then_some(())
    })
    .await;
}

#[tokio::test]
async fn tenant_revision_pull_over_its_own_endpoints_is_asked_for_by_name() {
    let hub = FakeHub::start();
    hub.put("org/x", HubRepo::default().file("x.gguf", &weights()));
    let plane = plane(config(&hub)).await;
    let a = plane.key("aa", Role::Owner).await;
    plane.pull_as(&a, "org/x").await;
    plane.ended("org/x").await;
    let made = plane.call_as(Some(&a), "POST", "/v1/endpoints", &create_of("org/x")).await;
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let newer = gguf(&Gguf { n_layers: 5, ..Gguf::default() });
    hub.put("org/x", HubRepo::default().file("x.gguf", &newer));
    plane.pull_as(&a, "org/x").await;
    let held = plane.ended("org/x").await;
    assert!(held["message"].as_str().unwrap().contains(&id), "{held}");
    assert_eq!(plane.stored("org/x/x.gguf").unwrap(), weights());
    plane.call_as(Some(&a), "POST", "/v1/pulls", r#"{"model":"org/x","replace":true}"#).await;
    assert_eq!(plane.ended("org/x").await["state"], "done");
    assert_eq!(plane.stored("org/x/x.gguf").unwrap(), newer);
}

#[tokio::test]
async fn tenant_models_are_given_and_taken_by_the_operator_alone() {
    let hub = FakeHub::start();
    hub.put("org/x", HubRepo::default().file("x.gguf", &weights()));
    let plane = plane(config(&hub)).await;
    let (a, b) = (plane.key("aa", Role::Owner).await, plane.key("bb", Role::Owner).await);
    plane.pull("org/x").await;
    assert_eq!(plane.listed_as(&a).await, ["dedi/demo", "org/x"], "an admin fetches for everyone");
    let refused = plane.call_as(Some(&a), "DELETE", "/v1/models/org/x", "").await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{refused:?}");
    let only = r#"{"holders":["aa"]}"#;
    let refused = plane.call_as(Some(&a), "PATCH", "/v1/models/org/x", only).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{refused:?}");
    let given = plane.call("PATCH", "/v1/models/org/x", only).await;
    assert_eq!(given.json()["holders"], serde_json::json!(["aa"]), "{given:?}");
    assert_eq!(plane.listed_as(&b).await, ["dedi/demo"]);
    // What somebody put there, too; and it stays so after a restart.
    plane.call("PATCH", "/v1/models/dedi/demo", only).await;
    let plane = plane.restart().await;
    assert!(plane.listed_as(&b).await.is_empty());
    plane.call("PATCH", "/v1/models/dedi/demo", r#"{"holders":null}"#).await;
    assert_eq!(plane.listed_as(&b).await, ["dedi/demo"]);
    let many: Vec<String> = (0..1_001).map(|it| format!("t{it}")).collect();
    let body = serde_json::json!({ "holders": many }).to_string();
    let refused = plane.call("PATCH", "/v1/models/org/x", &body).await;
    assert_eq!((refused.status, refused.param().as_deref()), (StatusCode::BAD_REQUEST, Some("holders")));
}

#[tokio::test]
async fn tenant_create_that_fetches_makes_the_model_its_own() {
    let hub = FakeHub::start();
    hub.put("org/x", HubRepo::default().file("x.gguf", &weights()));
    let plane = plane(HubConfig { fetch_on_create: true, ..config(&hub) }).await;
    let (a, b) = (plane.key("aa", Role::Developer).await, plane.key("bb", Role::Developer).await);
    let create =
        r#"{"model":"org/x","hardware":"1x_cpu_8gb","autoscaling":{"min_replicas":1,"max_replicas":1}}"#;
    let made = plane.call_as(Some(&a), "POST", "/v1/endpoints", create).await;
    assert_eq!(made.status, StatusCode::OK, "{made:?}");
    until("the model", async || {
        plane.settle_idle().await;
        plane.listed_as(&a).await.contains(&"org/x".to_owned()).then_some(())
    })
    .await;
    assert_eq!(plane.listed_as(&b).await, ["dedi/demo"]);
    // Whoever would have fetched the same joins without another download.
    let made = plane.call_as(Some(&b), "POST", "/v1/endpoints", create).await;
    assert_eq!(made.status, StatusCode::OK, "{made:?}");
    assert_eq!(plane.listed_as(&b).await, ["dedi/demo", "org/x"]);
}

/// Another tenant fetches another revision of what the first one asked for, and has it for itself.
async fn must_be_free_for(plane: &Plane, (a, b): (&str, &str), hub: &FakeHub) {
    plane.later(61);
    plane.settle_idle().await;
    hub.put("org/x", HubRepo::default().file("y.gguf", &weights()));
    let pulled = plane.pull_as(b, "org/x:y.gguf").await;
    assert_eq!(pulled.status, StatusCode::OK, "{pulled:?}");
    assert_eq!(plane.ended("org/x").await["state"], "done");
    plane.settle_idle().await;
    assert_eq!(plane.listed_as(b).await, ["dedi/demo", "org/x"]);
    assert_eq!(plane.listed_as(a).await, ["dedi/demo"], "it gave its claim up");
}

#[tokio::test]
async fn claim_of_a_deleted_endpoint_keeps_the_name_from_nobody() {
    let hub = FakeHub::start();
    hub.put("org/x", HubRepo::default().tricky("x.gguf", &weights(), Trick::Stalls { after: 80_000 }));
    let plane = plane(HubConfig { fetch_on_create: true, idle_timeout_secs: 60, ..config(&hub) }).await;
    let (a, b) = (plane.key("aa", Role::Owner).await, plane.key("bb", Role::Owner).await);
    let create = create_of("org/x").replace("STOPPED", "STARTED");
    let made = plane.call_as(Some(&a), "POST", "/v1/endpoints", &create).await;
    plane.later(61);
    plane.settle_idle().await;
    let kept = plane.pull_as(&b, "org/x:y.gguf").await;
    assert_eq!(kept.status, StatusCode::BAD_REQUEST, "it is being fetched: {kept:?}");
    let path = format!("/v1/endpoints/{}", made.json()["id"].as_str().unwrap());
    assert_eq!(plane.call_as(Some(&a), "DELETE", &path, "").await.status, StatusCode::NO_CONTENT);
    plane.settle_idle().await;
    must_be_free_for(&plane, (&a, &b), &hub).await;
}

#[tokio::test]
async fn claim_of_a_download_that_a_restart_ended_keeps_the_name_from_nobody() {
    let hub = FakeHub::start();
    hub.put("org/x", HubRepo::default().tricky("x.gguf", &weights(), Trick::Stalls { after: 80_000 }));
    let plane = plane(HubConfig { idle_timeout_secs: 60, ..config(&hub) }).await;
    let (a, b) = (plane.key("aa", Role::Owner).await, plane.key("bb", Role::Owner).await);
    plane.pull_as(&a, "org/x").await;
    let plane = plane.restart().await;
    must_be_free_for(&plane, (&a, &b), &hub).await;
}

#[tokio::test]
async fn claim_is_given_up_as_soon_as_its_download_has_failed() {
    let hub = FakeHub::start();
    let plane = plane(config(&hub)).await;
    let (a, b) = (plane.key("aa", Role::Owner).await, plane.key("bb", Role::Owner).await);
    plane.pull_as(&a, "org/x").await;
    assert_eq!(plane.ended("org/x").await["state"], "failed");
    plane.settle_idle().await;
    hub.put("org/x", HubRepo::default().file("x.gguf", &weights()));
    plane.pull_as(&b, "org/x").await;
    assert_eq!(plane.ended("org/x").await["state"], "done");
    assert_eq!(plane.listed_as(&b).await, ["dedi/demo", "org/x"]);
    assert_eq!(plane.listed_as(&a).await, ["dedi/demo"]);
}

#[tokio::test]
async fn claim_to_a_model_that_has_come_stays_when_its_disk_is_away() {
    let hub = FakeHub::start();
    hub.put("org/x", HubRepo::default().file("x.gguf", &weights()));
    let plane = plane(config(&hub)).await;
    let (a, b) = (plane.key("aa", Role::Owner).await, plane.key("bb", Role::Owner).await);
    plane.pull_as(&a, "org/x").await;
    assert_eq!(plane.ended("org/x").await["state"], "done");
    plane.settle_idle().await;
    let folder = plane.models().join("org");
    let away = plane.models().with_file_name("away");
    std::fs::rename(&folder, &away).unwrap();
    let plane = plane.restart().await;
    plane.later(3_600);
    plane.settle_idle().await;
    assert_eq!(plane.listed_as(&a).await, ["dedi/demo"]);
    std::fs::rename(&away, &folder).unwrap();
    plane.settle_idle().await;
    assert_eq!(plane.listed_as(&a).await, ["dedi/demo", "org/x"]);
    assert_eq!(plane.listed_as(&b).await, ["dedi/demo"]);
}

#[tokio::test]
async fn tenant_share_of_downloads_counts_those_of_its_endpoints() {
    let hub = FakeHub::start();
    let plane = plane(HubConfig { fetch_on_create: true, idle_timeout_secs: 60, ..config(&hub) }).await;
    let a = plane.key("aa", Role::Owner).await;
    for n in 0..20 {
        let model = format!("org/m{n}");
        hub.put(&model, HubRepo::default().tricky("x.gguf", &weights(), Trick::Stalls { after: 80_000 }));
        let create = create_of(&model).replace("STOPPED", "STARTED");
        let made = plane.call_as(Some(&a), "POST", "/v1/endpoints", &create).await;
        assert_eq!(made.status, StatusCode::OK, "{made:?}");
    }
    plane.settle_idle().await;
    let refused = plane.pull_as(&a, "org/one-more").await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{refused:?}");
    assert!(refused.message().contains("20 downloads of this tenant"), "{refused:?}");
    let b = plane.key("bb", Role::Owner).await;
    assert_eq!(plane.pull_as(&b, "org/other").await.status, StatusCode::OK);
}
