//! What can be read: lists, hardware, models and who asks, in the shapes that clients read.

use std::collections::BTreeMap;

use axum::body::Body;
use dedi_domain::LoadReport;
use http::{Request, StatusCode};
use serde_json::json;

use super::contract::SMALLEST;
use crate::ControlConfig;
use crate::testing::{FakeRuntime, Gguf, Plane, gguf};

#[tokio::test]
async fn hardware_too_small_for_the_model_is_refused_with_the_numbers() {
    let plane = Plane::start().await;
    let dir = plane.dir.path().join("models/big/one");
    std::fs::create_dir_all(&dir).unwrap();
    // 40,000 layers: the cache alone is larger than a core's memory.
    let big = Gguf { n_layers: 40_000, context: 4_096, ..Gguf::default() };
    std::fs::write(dir.join("one.gguf"), gguf(&big)).unwrap();
    let body = |hardware: &str| SMALLEST.replace("dedi/demo", "big/one").replace("1x_cpu_8gb", hardware);
    let answer = plane.call("POST", "/v1/endpoints", &body("1x_cpu_8gb")).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    let said = answer.message();
    assert!(
        said.contains("not available for this model") && said.contains("Check the hardware API"),
        "{said}"
    );
    assert!(said.contains("GiB") && said.contains("nothing on this host is large enough"), "{said}");

    let middling = Gguf { n_layers: 4_000, context: 4_096, ..Gguf::default() };
    std::fs::write(dir.join("one.gguf"), gguf(&middling)).unwrap();
    let said = plane.call("POST", "/v1/endpoints", &body("1x_cpu_8gb")).await.message();
    assert!(said.contains("the smallest that fits is 2x_cpu_8gb"), "{said}");
    let plan = plane.call("POST", "/v1/endpoints?dry_run=true", &body("1x_cpu_8gb")).await.json();
    assert_eq!((&plan["fits"], &plan["nearest_hardware"]), (&json!(false), &json!("2x_cpu_8gb")));
    let parts = ["weights_bytes", "kv_cache_bytes", "compute_bytes", "margin_bytes"];
    let sum: u64 = parts.iter().map(|it| plan[it].as_u64().unwrap()).sum();
    assert_eq!(plan["needed_bytes"].as_u64().unwrap(), sum);
    assert_eq!(
        plane.call("GET", "/v1/endpoints", "").await.json()["data"],
        json!([]),
        "a plan creates nothing"
    );
    let list = plane.call("GET", "/v1/hardware?model=big%2Fone", "").await.json();
    let ids: Vec<&str> =
        list["data"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["2x_cpu_8gb", "3x_cpu_8gb", "4x_cpu_8gb"]);
    std::fs::write(dir.join("one.gguf"), b"GGUF").unwrap();
    let answer = plane.call("POST", "/v1/endpoints", &body("2x_cpu_8gb")).await;
    assert_eq!((answer.status, answer.param().as_deref()), (StatusCode::BAD_REQUEST, Some("model")));
    assert!(answer.message().contains("one.gguf"), "{}", answer.message());
}

#[tokio::test]
async fn the_list_is_filtered_as_clients_ask() {
    let plane = Plane::start().await;
    let first = plane.create("").await;
    plane.later(1);
    let second = plane.create("").await;
    let ids = async |query: &str| {
        let answer = plane.call("GET", &format!("/v1/endpoints{query}"), "").await;
        assert_eq!(answer.status, StatusCode::OK, "{query}");
        let list = answer.json();
        assert_eq!(list["object"], "list");
        list["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let both = [second, first];
    for query in
        ["", "?mine=true", "?mine=True", "?mine=FALSE", "?type=dedicated&usage_type=on-demand&mine=True"]
    {
        assert_eq!(ids(query).await, both, "{query}");
    }
    assert!(ids("?type=serverless").await.is_empty());
    assert!(ids("?usage_type=reserved").await.is_empty());
    for (query, param) in [("?type=x", "type"), ("?usage_type=x", "usage_type"), ("?mine=perhaps", "mine")] {
        let answer = plane.call("GET", &format!("/v1/endpoints{query}"), "").await;
        assert_eq!((answer.status, answer.param().as_deref()), (StatusCode::BAD_REQUEST, Some(param)));
    }
    let item = plane.call("GET", "/v1/endpoints", "").await.json()["data"][0].clone();
    let mut fields: Vec<&str> = item.as_object().unwrap().keys().map(String::as_str).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["created_at", "id", "model", "name", "object", "owner", "state", "type"]);
}

#[tokio::test]
async fn hardware_has_every_field_that_the_strict_client_needs() {
    let price = [("cpu_8gb".to_owned(), 0.5)].into();
    let config = ControlConfig { cents_per_device_minute: price, ..ControlConfig::default() };
    let plane = Plane::with(config, FakeRuntime::with_cores(2)).await;
    let list = plane.call("GET", "/v1/hardware", "").await.json();
    let pair = &list["data"][1];
    assert_eq!(pair["id"], "2x_cpu_8gb");
    assert_eq!(pair["pricing"], json!({"cents_per_minute": 1.0}));
    assert_eq!(
        pair["specs"],
        json!({"gpu_type": "cpu-8gb", "gpu_link": "", "gpu_memory": 8.0, "gpu_count": 2})
    );
    assert!(pair.get("availability").is_none() && pair["updated_at"].is_string());
    plane.create("").await;
    plane.settle_idle().await;
    let list = plane.call("GET", "/v1/hardware?model=dedi/demo", "").await.json();
    let status = |at: usize| list["data"][at]["availability"]["status"].as_str().unwrap().to_owned();
    assert_eq!([status(0), status(1)], ["available", "insufficient"]);
    assert_eq!(list["data"][0]["usage"]["free"], 1);
    let answer = plane.call("GET", "/v1/hardware?model=no/such", "").await;
    assert_eq!(
        (answer.status, answer.message().contains("Model no/such not found")),
        (StatusCode::NOT_FOUND, true)
    );
    let zones = plane.call("GET", "/v1/clusters/availability-zones", "").await.json();
    assert_eq!(zones, json!({"avzones": ["local"]}));
}

#[tokio::test]
async fn models_and_whoami_have_the_shapes_that_clients_read() {
    let plane = Plane::start().await;
    let id = plane.create("").await;
    plane.settle_idle().await;
    let name = plane.get(&id).await["name"].clone();
    let models = plane.call("GET", "/v1/models", "").await.json();
    let ids: Vec<_> = models.as_array().unwrap().iter().map(|it| it["id"].clone()).collect();
    assert_eq!(ids, [json!("dedi/demo"), name.clone()]);
    assert_eq!(models[0]["type"], "chat");
    assert_eq!(
        models[0]["pricing"],
        json!({"hourly":0.0,"input":0.0,"output":0.0,"base":0.0,"finetune":0.0})
    );
    assert_eq!(models[0]["context_length"], 512);
    let routed = plane.control.routes().borrow().routes[0].context_tokens;
    assert_eq!(routed, 512, "a refusal names the same number");
    let name = name.as_str().unwrap();
    for (path, at) in
        [("dedi/demo", 0), ("dedi%2Fdemo", 0), (name, 1), (name.replace('/', "%2F").as_str(), 1)]
    {
        let one = plane.call("GET", &format!("/v1/models/{path}"), "").await.json();
        assert_eq!(one, models[at], "{path}");
    }
    let stranger = plane.key("stranger", dedi_domain::Role::Admin).await;
    for (key, path) in [(&plane.admin, "no/such"), (&plane.admin, "none"), (&stranger, name)] {
        let answer = plane.call_as(Some(key), "GET", &format!("/v1/models/{path}"), "").await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        assert!(answer.message().starts_with(&format!("Model {path} not found")), "{answer:?}");
    }
    let dedicated = plane.call("GET", "/v1/models?dedicated=true", "").await.json();
    assert_eq!(dedicated.as_array().unwrap().len(), 1);
    for agent in ["OpenAI/Python 2.1.0", "AsyncOpenAI/Python 2.1.0", "OpenAI/JS 6.49.0"] {
        let request = Request::get("/v1/models")
            .header("authorization", format!("Bearer {}", plane.admin))
            .header("user-agent", agent);
        let list = plane.send(request.body(Body::empty()).unwrap()).await.json();
        assert_eq!((&list["object"], &list["data"]), (&json!("list"), &models), "{agent}");
    }
    let names = plane.call("GET", "/v1/autoscale/models", "").await.json();
    assert_eq!(names, json!([{"name": "dedi/demo"}]));
    let v3 = plane.call("GET", "/v3/whoami", "").await.json();
    assert_eq!((&v3["type"], &v3["organization"]["id"]), (&json!("project_api_key"), &json!("team")));
    assert_eq!(v3["project"]["slug"], "default");
    let v1 = plane.call("GET", "/v1/whoami", "").await.json();
    assert_eq!((&v1["organization_name"], &v1["user_id"]), (&json!("team"), &json!(null)));
}

#[tokio::test]
async fn whoami_tells_nobody_nothing_and_the_command_line_that_it_knows_nothing() {
    let plane = Plane::start().await;
    let ask = async |path: &str, agent: &str| {
        let request = Request::get(path).header("authorization", "Bearer wrong").header("user-agent", agent);
        plane.send(request.body(Body::empty()).unwrap()).await
    };
    for (path, agent, status) in [
        ("/v3/whoami", "curl/8", 403),
        ("/v1/whoami", "AsyncTogether/Python 2.42.0", 403),
        ("/v3/whoami", "AsyncTogether/Python 2.42.0", 204),
    ] {
        assert_eq!(ask(path, agent).await.status.as_u16(), status, "{path} {agent}");
    }
    assert!(ask("/v3/whoami", "AsyncTogether/Python 2.42.0").await.text.is_empty());
}

#[tokio::test]
async fn hardware_may_be_named_without_its_memory() {
    let plane = Plane::start().await;
    let body =
        r#"{"model":"dedi/demo","hardware":"2x_cpu","autoscaling":{"min_replicas":1,"max_replicas":1}}"#;
    assert_eq!(plane.call("POST", "/v1/endpoints", body).await.json()["hardware"], "2x_cpu_8gb");
    let answer = plane.call("POST", "/v1/endpoints", &body.replace("2x", "9x")).await;
    assert_eq!((answer.status, answer.param().as_deref()), (StatusCode::BAD_REQUEST, Some("hardware")));
}

#[tokio::test]
async fn devices_of_an_endpoint_that_is_being_deleted_are_said_to_be_that() {
    let plane = Plane::with(ControlConfig::default(), FakeRuntime::with_cores(1)).await;
    let id = plane.create("").await;
    plane.settle_idle().await;
    let name = plane.get(&id).await["name"].as_str().unwrap().to_owned();
    let users = async |plane: &Plane| {
        let list = plane.call("GET", "/v1/hardware", "").await.json();
        list["data"][0]["usage"]["used_by"].clone()
    };
    assert_eq!(users(&plane).await, json!([name]));
    let answer = plane.call("DELETE", &format!("/v1/endpoints/{id}"), "").await;
    assert!(answer.status.is_success(), "{}", answer.status);
    let busy = LoadReport {
        routes_version: plane.control.routes().borrow().version,
        in_flight: BTreeMap::from([(plane.runtime.live()[0].id, 1)]),
        unanswered: BTreeMap::new(),
        endpoints: BTreeMap::new(),
        keys_used: BTreeMap::new(),
        at: plane.now(),
    };
    plane.settle(&busy).await;
    assert_eq!(users(&plane).await, json!([format!("{name} (being deleted)")]));
    let waits = plane.create("").await;
    plane.settle(&LoadReport { at: plane.now(), ..busy }).await;
    let status = plane.get(&waits).await["status"].clone();
    assert_eq!((&status["reason"], &status["next_step"]), (&json!("no_capacity"), &json!(null)));
    let message = status["message"].as_str().unwrap();
    assert!(message.contains("is being deleted or stopped: it starts by itself"), "{message}");
    plane.settle_idle().await;
    assert_eq!(users(&plane).await, json!([plane.get(&waits).await["name"]]));
}
