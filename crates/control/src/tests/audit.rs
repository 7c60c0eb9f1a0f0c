//! Who did what to which object; when keys were last used; and keys with a list.

use dedi_domain::Role;
use http::StatusCode;
use serde_json::Value;

use crate::testing::Plane;

impl Plane {
    async fn audit_as(&self, key: &str, query: &str) -> Vec<Value> {
        let answer = self.call_as(Some(key), "GET", &format!("/v1/audit{query}"), "").await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.json()["data"].as_array().unwrap().clone()
    }
}

fn id_of(key: &str) -> String {
    key.split('_').nth(1).unwrap().to_owned()
}

fn told(log: &[Value]) -> Vec<String> {
    log.iter().map(|it| it["action"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn audit_tells_who_did_what_and_to_whom_it_belongs() {
    let plane = Plane::start().await;
    let (owner, other) = (plane.key("aa", Role::Owner).await, plane.key("bb", Role::Owner).await);
    let body = r#"{"model":"dedi/demo","hardware":"1x_cpu_8gb","autoscaling":{"min_replicas":1,"max_replicas":1},"display_name":"hush"}"#;
    let made = plane.call_as(Some(&owner), "POST", "/v1/endpoints", body).await;
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/endpoints/{id}");
    for change in [r#"{"state":"STOPPED"}"#, r#"{"state":"STARTED"}"#, r#"{"display_name":"x"}"#, "{}"] {
        plane.call_as(Some(&owner), "PATCH", &path, change).await;
    }
    plane.call_as(Some(&owner), "DELETE", &path, "").await;
    let key = plane.call_as(Some(&owner), "POST", "/v1/keys", r#"{"role":"viewer"}"#).await.json();
    let viewer = key["key"].as_str().unwrap().to_owned();
    plane.call_as(Some(&viewer), "POST", "/v1/endpoints?x=secret", body).await;
    plane.call_as(Some(&owner), "DELETE", &format!("/v1/keys/{}", id_of(&viewer)), "").await;
    plane.call_as(Some(&owner), "POST", "/v1/checks", r#"{"model":"dedi/demo"}"#).await;

    let log = plane.audit_as(&owner, "").await;
    assert_eq!(
        told(&log),
        [
            "key.create",
            "endpoint.create",
            "endpoint.stop",
            "endpoint.start",
            "endpoint.update",
            "endpoint.delete",
            "key.create",
            "refused",
            "key.revoke",
            "model.verify"
        ],
        "what changed nothing is not in it"
    );
    let create = &log[1];
    assert_eq!((create["target"].as_str(), create["owner"].as_str()), (Some(id.as_str()), Some("aa")));
    assert_eq!(
        (create["by_key"].as_str(), create["by_owner"].as_str()),
        (Some(id_of(&owner).as_str()), Some("aa"))
    );
    assert_eq!(log[7]["target"], "POST /v1/endpoints", "without what follows the path");
    let text = serde_json::to_string(&log).unwrap();
    for secret in [&owner, &viewer, "secret"] {
        assert!(!text.contains(secret), "{secret}");
    }
    // Another tenant sees nothing of it, the operator everything, others nothing at all.
    assert!(plane.audit_as(&other, "").await.iter().all(|it| it["owner"] == "bb"));
    let all = plane.audit_as(&plane.admin, "").await;
    assert!(all.len() > log.len() && all.iter().any(|it| it["owner"] == "team"));
    assert_eq!(plane.audit_as(&plane.admin, "?owner=aa").await, log);
    let foreign = plane.call_as(Some(&other), "GET", "/v1/audit?owner=aa", "").await;
    assert_eq!(foreign.status, StatusCode::FORBIDDEN);
    // Pages: the newest by default, and those after one.
    let newest = plane.audit_as(&owner, "?limit=2").await;
    assert_eq!(newest, log[8..]);
    let after = plane.audit_as(&owner, &format!("?limit=3&after={}", log[1]["id"])).await;
    assert_eq!(after, log[2..5]);
}

#[tokio::test]
async fn audit_is_only_added_to_and_goes_by_age() {
    let plane = Plane::start().await;
    let store = &plane.parts().store;
    let writer = plane.writer();
    for sql in ["UPDATE audit SET message = 'x'", "DELETE FROM audit", "UPDATE audit_kept SET from_at = -1"] {
        assert!(sqlx::query(sql).execute(&writer).await.is_err(), "{sql}");
    }
    let n = plane.audit_as(&plane.admin, "").await.len();
    assert!(n > 0);
    plane.later(86_400);
    plane.key("aa", Role::Owner).await;
    let gone = store.forget_audit(plane.now()).await.unwrap();
    assert_eq!(usize::try_from(gone).unwrap(), n);
    assert_eq!(plane.audit_as(&plane.admin, "").await.len(), 1, "the one of this moment stays");
}

#[tokio::test]
async fn audit_writes_some_refusals_of_a_minute_and_no_more() {
    let plane = Plane::start().await;
    let viewer = plane.key("aa", Role::Viewer).await;
    let n_refused = async || {
        let log = plane.audit_as(&plane.admin, "?limit=1000").await;
        told(&log).iter().filter(|it| *it == "refused").count()
    };
    for _ in 0..=crate::service::REFUSALS_PER_MINUTE_MAX {
        plane.call_as(Some(&viewer), "GET", "/v1/keys", "").await;
    }
    assert_eq!(n_refused().await, crate::service::REFUSALS_PER_MINUTE_MAX as usize);
    plane.later(61);
    plane.call_as(Some(&viewer), "GET", "/v1/keys", "").await;
    assert_eq!(n_refused().await, crate::service::REFUSALS_PER_MINUTE_MAX as usize + 1);
}

#[tokio::test]
async fn key_shows_when_it_was_last_used() {
    let plane = Plane::start().await;
    let viewer = plane.key("team", Role::Viewer).await;
    let shown = async || {
        let keys = plane.call("GET", "/v1/keys", "").await.json();
        let keys = keys["data"].as_array().unwrap().clone();
        keys.into_iter().find(|it| it["id"] == id_of(&viewer)).unwrap()["last_used_at"].clone()
    };
    plane.settle_idle().await;
    assert_eq!(shown().await, Value::Null);
    plane.later(61);
    plane.call_as(Some(&viewer), "GET", "/v1/endpoints", "").await;
    let used_at = crate::text::time(plane.now());
    plane.settle_idle().await;
    assert_eq!(shown().await, used_at.as_str());
    // Inference is told by the gateway.
    plane.later(61);
    let id = dedi_domain::KeyId(id_of(&viewer));
    let report = dedi_domain::LoadReport {
        keys_used: [(id, plane.now())].into(),
        at: plane.now(),
        ..dedi_domain::LoadReport::default()
    };
    let used_at = crate::text::time(plane.now());
    plane.settle(&report).await;
    assert_eq!(shown().await, used_at.as_str());
}

#[tokio::test]
async fn key_with_a_list_meets_nothing_outside_of_it_on_any_route() {
    let plane = Plane::start().await;
    let folder = plane.dir.path().join("models/org/other");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::copy(plane.dir.path().join("models/dedi/demo/demo.gguf"), folder.join("other.gguf")).unwrap();
    let id = plane.create("").await;
    plane.settle_idle().await;
    let name = plane.get(&id).await["name"].as_str().unwrap().to_owned();
    let made = plane.call("POST", "/v1/keys", r#"{"role":"admin","models":["org/*"]}"#).await.json();
    assert_eq!(made["models"], serde_json::json!(["org/*"]));
    let key = made["key"].as_str().unwrap().to_owned();
    let create = |model: &str| {
        format!(
            r#"{{"model":"{model}","hardware":"1x_cpu_8gb","autoscaling":{{"min_replicas":0,"max_replicas":1}},"state":"STOPPED"}}"#
        )
    };
    for named in [&id, &name] {
        for (method, path, body) in [
            ("GET", format!("/v1/endpoints/{named}"), String::new()),
            ("PATCH", format!("/v1/endpoints/{named}"), r#"{"state":"STOPPED"}"#.to_owned()),
            ("DELETE", format!("/v1/endpoints/{named}"), String::new()),
            ("GET", format!("/v1/endpoints/{named}/events"), String::new()),
            ("GET", format!("/v1/endpoints/{named}/logs"), String::new()),
            ("GET", format!("/v1/endpoints/{named}/replicas"), String::new()),
            ("POST", format!("/v1/endpoints/{named}/adapters"), String::new()),
            ("GET", format!("/v1/usage?endpoint={named}"), String::new()),
            ("GET", format!("/v1/models/{named}"), String::new()),
            ("POST", "/v1/endpoints".to_owned(), create("dedi/demo")),
            ("POST", "/v1/endpoints?dry_run=true".to_owned(), create("dedi/demo")),
            ("GET", "/v1/hardware?model=dedi/demo".to_owned(), String::new()),
            ("GET", "/v1/models/dedi/demo".to_owned(), String::new()),
            ("DELETE", "/v1/models/dedi/demo".to_owned(), String::new()),
            ("PATCH", "/v1/models/dedi/demo".to_owned(), "{}".to_owned()),
            ("POST", "/v1/pulls".to_owned(), r#"{"model":"dedi/demo"}"#.to_owned()),
            ("GET", "/v1/pulls/dedi/demo".to_owned(), String::new()),
            ("POST", "/v1/checks".to_owned(), r#"{"model":"dedi/demo"}"#.to_owned()),
            ("GET", "/v1/checks/dedi/demo".to_owned(), String::new()),
        ] {
            let answer = plane.call_as(Some(&key), method, &path, &body).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{method} {path}: {answer:?}");
        }
    }
    for path in ["/v1/endpoints", "/v1/models", "/v1/autoscale/models", "/v1/usage", "/v1/pulls"] {
        let text = plane.call_as(Some(&key), "GET", path, "").await.text;
        assert!(!text.contains("dedi/demo"), "{path}: {text}");
    }
    for (method, path) in
        [("GET", "/v1/keys"), ("POST", "/v1/keys"), ("DELETE", "/v1/keys/x"), ("GET", "/v1/audit")]
    {
        let answer = plane.call_as(Some(&key), method, path, "").await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{method} {path}: a list is never widened");
    }
    let made = plane.call_as(Some(&key), "POST", "/v1/endpoints", &create("org/other")).await;
    assert_eq!(made.status, StatusCode::OK, "{made:?}");
    let own = made.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(
        plane.call_as(Some(&key), "GET", &format!("/v1/endpoints/{own}"), "").await.status,
        StatusCode::OK
    );
    for wrong in [r#"[]"#, r#"["*"]"#, r#"[1]"#, r#""org/x""#] {
        let refused = plane.call("POST", "/v1/keys", &format!(r#"{{"models":{wrong}}}"#)).await;
        assert_eq!((refused.status, refused.param().as_deref()), (StatusCode::BAD_REQUEST, Some("models")));
    }
    // It survives a restart.
    let plane = plane.restart().await;
    let again = plane.call_as(Some(&key), "GET", &format!("/v1/endpoints/{id}"), "").await;
    assert_eq!(again.status, StatusCode::NOT_FOUND);
}
