//! The letter of the contract, as clients of it send and match.

use axum::body::Body;
use http::{Request, StatusCode};
use serde_json::json;

use crate::ControlConfig;
use crate::testing::{FakeRuntime, Plane};

pub(super) const SMALLEST: &str =
    r#"{"model":"dedi/demo","hardware":"1x_cpu_8gb","autoscaling":{"min_replicas":1,"max_replicas":2}}"#;

#[tokio::test]
async fn a_create_answers_at_once_with_every_field_of_the_contract() {
    let plane = Plane::start().await;
    let answer = plane.call("POST", "/v1/endpoints", SMALLEST).await;
    assert_eq!(answer.status, StatusCode::OK);
    let it = answer.json();
    let name = it["name"].as_str().unwrap();
    assert!(name.starts_with("team/dedi/demo-") && name.len() == "team/dedi/demo-".len() + 8, "{name}");
    assert_eq!(it["display_name"].as_str().unwrap(), name.rsplit_once('/').unwrap().1);
    assert!(it["id"].as_str().unwrap().starts_with("endpoint-"));
    for (field, value) in [
        ("object", "endpoint"),
        ("model", "dedi/demo"),
        ("hardware", "1x_cpu_8gb"),
        ("type", "dedicated"),
        ("owner", "team"),
        ("state", "PENDING"),
        ("created_at", "2026-01-01T00:00:00.000Z"),
    ] {
        assert_eq!(it[field], value, "{field}");
    }
    assert_eq!(it["autoscaling"], json!({"min_replicas": 1, "max_replicas": 2}));
    assert_eq!(it["inactive_timeout"], 60);
    assert_eq!(it["status"]["reason"], "accepted");
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    assert!(answer.headers["x-request-id"].to_str().unwrap().starts_with("req_"));
}

#[tokio::test]
async fn what_the_official_clients_send_is_taken() {
    let plane = Plane::start().await;
    let v1 = r#"{"model":"dedi/demo","hardware":"1x_cpu_8gb","autoscaling":{"min_replicas":0,"max_replicas":1},
        "disable_prompt_cache":true,"disable_speculative_decoding":true,"state":"STARTED","new_field":{"a":[1]}}"#;
    let it = plane.call("POST", "/v1/endpoints", v1).await.json();
    // It sleeps and wakes: the server's timeout is for endpoints that keep a replica.
    assert_eq!((&it["disable_speculative_decoding"], &it["inactive_timeout"]), (&json!(true), &json!(null)));
    let one = v1.replace(r#""min_replicas":0"#, r#""min_replicas":1"#);
    assert_eq!(plane.call("POST", "/v1/endpoints", &one).await.json()["inactive_timeout"], 60);
    let v2 = r#"{"model":"dedi/demo","hardware":"1x_cpu_8gb","autoscaling":{"min_replicas":1,"max_replicas":1},
        "inactive_timeout":null,"display_name":"x","state":"STOPPED"}"#;
    let it = plane.call("POST", "/v1/endpoints?availability_zone=local", v2).await.json();
    assert_eq!(it["availability_zone"], "local");
    let both = v2.replace(r#""display_name":"x""#, r#""availability_zone":"local""#);
    let refused = plane.call("POST", "/v1/endpoints?availability_zone=mars", &both).await;
    assert_eq!(
        (refused.status, refused.param().as_deref()),
        (StatusCode::BAD_REQUEST, Some("availability_zone"))
    );
    assert_eq!((&it["inactive_timeout"], &it["state"]), (&json!(null), &json!("STOPPED")));

    let config = ControlConfig {
        inactive_timeout_minutes: 0,
        null_inactive_timeout_minutes: 60,
        ..ControlConfig::default()
    };
    let plane = Plane::with(config, FakeRuntime::with_cores(1)).await;
    assert_eq!(plane.call("POST", "/v1/endpoints", v1).await.json()["inactive_timeout"], json!(null));
    let it = plane.call("POST", "/v1/endpoints", v2).await.json();
    assert_eq!(it["inactive_timeout"], 60);
    let path = format!("/v1/endpoints/{}", it["id"].as_str().unwrap());
    let it = plane.call("PATCH", &path, r#"{"inactive_timeout":null}"#).await.json();
    assert_eq!(it["inactive_timeout"], json!(null), "an update's null is meant");
}

#[tokio::test]
async fn a_refused_create_names_the_field_in_the_words_that_clients_match() {
    let plane = Plane::start().await;
    let with = |model: &str, hardware: &str, pair: &str, more: &str| {
        format!(r#"{{"model":{model},"hardware":{hardware},"autoscaling":{pair}{more}}}"#)
    };
    let (model, hardware, pair) =
        (r#""dedi/demo""#, r#""1x_cpu_8gb""#, r#"{"min_replicas":1,"max_replicas":1}"#);
    let long = format!(r#","display_name":"{}""#, "é".repeat(257));
    let cases: Vec<(String, u16, Option<&str>, &str)> = vec![
        ("{}".into(), 400, Some("model"), "model is required"),
        (with(r#""""#, r#""""#, pair, ""), 400, Some("model"), "model is required"),
        (with(model, r#""""#, pair, ""), 400, Some("hardware"), "hardware is required"),
        (with(model, "null", pair, ""), 400, Some("hardware"), "hardware is required"),
        (with(model, hardware, "null", ""), 400, Some("autoscaling"), "autoscaling is required"),
        (
            with(model, hardware, r#"{"min_replicas":1}"#, ""),
            400,
            Some("autoscaling.max_replicas"),
            "autoscaling.max_replicas is required",
        ),
        (
            with(model, hardware, r#"{"min_replicas":1,"max_replicas":"2"}"#, ""),
            400,
            Some("autoscaling.max_replicas"),
            "must be an integer",
        ),
        (
            with(model, hardware, r#"{"min_replicas":1.5,"max_replicas":2}"#, ""),
            400,
            Some("autoscaling.min_replicas"),
            "must be an integer",
        ),
        (
            with(model, hardware, r#"{"min_replicas":-1,"max_replicas":2}"#, ""),
            400,
            Some("autoscaling.min_replicas"),
            "min_replicas must be >= 0, got -1",
        ),
        (
            with(model, hardware, r#"{"min_replicas":0,"max_replicas":0}"#, ""),
            400,
            Some("autoscaling.max_replicas"),
            "max_replicas must be >= 1, got 0",
        ),
        (
            with(model, hardware, r#"{"min_replicas":3,"max_replicas":2}"#, ""),
            400,
            Some("autoscaling.min_replicas"),
            "min_replicas must be <= max_replicas, got 3 and 2",
        ),
        (
            with(model, hardware, r#"{"min_replicas":1,"max_replicas":99999999999999999999}"#, ""),
            400,
            Some("autoscaling.max_replicas"),
            "must be an integer",
        ),
        (with(model, hardware, pair, r#","state":"READY""#), 400, Some("state"), "STARTED or STOPPED"),
        (with(model, hardware, pair, r#","inactive_timeout":-1"#), 400, Some("inactive_timeout"), "got -1"),
        (
            with(model, hardware, pair, r#","availability_zone":"mars""#),
            400,
            Some("availability_zone"),
            "mars",
        ),
        (with(model, hardware, pair, &long), 400, Some("display_name"), "it has 257"),
        (with(model, hardware, pair, r#","display_name":"a\u0007""#), 400, Some("display_name"), "control"),
        (with(r#""no/such""#, hardware, pair, ""), 404, None, "Model no/such not found"),
        (with(r#""../../etc""#, hardware, pair, ""), 404, None, "Model ../../etc not found"),
        (
            with(model, r#""8x_nvidia_h100_80gb_sxm""#, pair, ""),
            400,
            Some("hardware"),
            "Invalid hardware provided: 8x_nvidia_h100_80gb_sxm. Check the hardware API",
        ),
        (with(model, r#""bogus""#, pair, ""), 400, Some("hardware"), "Invalid hardware provided: bogus"),
        ("{".into(), 400, None, "not valid JSON"),
        ("[]".into(), 400, None, "must be a JSON object"),
        (r#"{"model":"a","model":"b"}"#.into(), 400, None, "the key `model` is there twice"),
        (r#"{"x":{"y":1,"y":2}}"#.into(), 400, None, "the key `y` is there twice"),
        (r#"{"x":1e999}"#.into(), 400, None, "not valid JSON"),
        (r#"{"x":NaN}"#.into(), 400, None, "not valid JSON"),
        (r#"{"model":"\ud800"}"#.into(), 400, None, "not valid JSON"),
        (format!("{}{}", "[".repeat(500), "]".repeat(500)), 400, None, "not valid JSON"),
    ];
    for (body, status, param, words) in cases {
        let answer = plane.call("POST", "/v1/endpoints", &body).await;
        assert_eq!(answer.status.as_u16(), status, "{body} {answer:?}");
        assert!(answer.message().contains(words), "{body}: {}", answer.message());
        assert_eq!(answer.param().as_deref(), param, "{body}");
        assert_eq!(answer.headers["x-should-retry"], "false", "{body}");
        // The command lines look for these words: no sentence may have those of another kind.
        let lower = answer.text.to_lowercase();
        let is_about_model = words.starts_with("Model");
        assert!(!(lower.contains("endpoint") && lower.contains("not found")), "{body}: {lower}");
        assert_eq!(answer.message().to_lowercase().contains("not found"), is_about_model, "{body}");
    }
    assert_eq!(plane.call("GET", "/v1/endpoints", "").await.json()["data"], json!([]));
}

#[tokio::test]
async fn an_update_merges_what_it_is_given() {
    let plane = Plane::start().await;
    let id = plane.create("").await;
    let path = format!("/v1/endpoints/{id}");
    let patch = async |body: &str| plane.call("PATCH", &path, body).await;
    // The v1 SDK updates nothing with no body and no type; the others with an empty object.
    for nothing in ["", "{}", r#"{"unknown":1}"#, r#"{"display_name":null}"#] {
        let answer = patch(nothing).await;
        assert_eq!(
            (answer.status, &answer.json()["status"]["generation"]),
            (StatusCode::OK, &json!(1)),
            "{nothing}"
        );
    }
    let answer = patch(r#"{"autoscaling":{"max_replicas":3}}"#).await;
    assert_eq!(answer.json()["autoscaling"], json!({"min_replicas": 1, "max_replicas": 3}));
    let answer = patch(r#"{"autoscaling":{"min_replicas":4}}"#).await;
    assert_eq!(
        (answer.status, answer.param().as_deref()),
        (StatusCode::BAD_REQUEST, Some("autoscaling.min_replicas"))
    );
    for (body, shown) in [("0", json!(null)), ("5", json!(5)), ("null", json!(null))] {
        let answer = patch(&format!(r#"{{"inactive_timeout":{body}}}"#)).await;
        assert_eq!(answer.json()["inactive_timeout"], shown);
    }
    assert_eq!(patch(r#"{"display_name":"z"}"#).await.json()["display_name"], "z");
    assert_eq!(patch(r#"{"model":"dedi/demo"}"#).await.status, StatusCode::OK);
    assert_eq!(patch(r#"{"model":"a/b"}"#).await.param().as_deref(), Some("model"));
    assert_eq!(patch(r#"{"hardware":"2x_cpu_8gb"}"#).await.param().as_deref(), Some("hardware"));
    assert_eq!(patch(r#"{"state":"ERROR"}"#).await.param().as_deref(), Some("state"));
    assert_eq!(patch(r#"{"state":5}"#).await.param().as_deref(), Some("state"));
}

#[tokio::test]
async fn an_endpoint_is_found_by_id_and_by_name_in_every_spelling() {
    let plane = Plane::start().await;
    let id = plane.create("").await;
    let name = plane.get(&id).await["name"].as_str().unwrap().to_owned();
    for spelled in [id.clone(), name.clone(), name.replace('/', "%2F"), name.replace('/', "%2f")] {
        for part in ["", "/events", "/logs", "/replicas"] {
            let answer = plane.call("GET", &format!("/v1/endpoints/{spelled}{part}"), "").await;
            assert_eq!(answer.status, StatusCode::OK, "{spelled}{part} {answer:?}");
        }
        let answer = plane.call("GET", &format!("/v1/endpoints/{spelled}/adapters"), "").await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert_eq!(answer.json()["error"]["code"], "adapters_unsupported");
    }
    let body = r#"{"model_id":"a:b"}"#;
    for method in ["POST", "DELETE"] {
        let answer = plane.call(method, &format!("/v1/endpoints/{id}/adapters"), body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{method}");
    }
    assert_eq!(plane.state(&id).await, "PENDING", "removing an adapter removes no endpoint");
}

#[tokio::test]
async fn a_deleted_endpoint_is_gone_at_once() {
    let plane = Plane::start().await;
    let id = plane.create("").await;
    let path = format!("/v1/endpoints/{id}");
    let answer = plane.call("DELETE", &path, "").await;
    assert_eq!((answer.status, answer.text.as_str()), (StatusCode::NO_CONTENT, ""));
    for method in ["DELETE", "GET", "PATCH"] {
        let answer = plane.call(method, &path, "").await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{method}");
        assert_eq!(answer.message(), format!("Endpoint {id} not found"));
    }
    assert_eq!(plane.call("GET", "/v1/endpoints", "").await.json()["data"], json!([]));
}

#[tokio::test]
async fn every_refusal_is_json_in_the_contracts_form() {
    let plane = Plane::start().await;
    let with = |method: &str, path: &str, headers: &[(&str, &str)], body: String| {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {}", plane.admin));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Body::from(body)).unwrap()
    };
    let json = ("content-type", "application/json");
    let cases = [
        (with("GET", "/v1/nothing", &[], String::new()), 404),
        (with("GET", "/", &[], String::new()), 404),
        (with("GET", "/v1/endpoints/", &[], String::new()), 404),
        (with("GET", "/v1/endpoints/%ff", &[], String::new()), 400),
        (with("GET", "/v1/endpoints/' OR 1=1 --".replace(' ', "%20").as_str(), &[], String::new()), 404),
        (with("PUT", "/v1/endpoints", &[], String::new()), 405),
        (with("POST", "/v1/hardware", &[], String::new()), 405),
        (with("POST", "/v1/endpoints/endpoint-x", &[], String::new()), 405),
        (with("POST", "/v1/endpoints", &[json], "x".repeat(70_000)), 413),
        (with("POST", "/v1/endpoints", &[("content-type", "text/plain")], SMALLEST.into()), 415),
        (with("POST", "/v1/endpoints", &[json, ("content-encoding", "gzip")], SMALLEST.into()), 415),
    ];
    for (request, status) in cases {
        let what = format!("{} {}", request.method(), request.uri());
        let answer = plane.send(request).await;
        assert_eq!(answer.status.as_u16(), status, "{what} {answer:?}");
        let body = answer.json();
        assert_eq!(body["id"], answer.headers["x-request-id"].to_str().unwrap(), "{what}");
        assert_eq!(answer.headers["content-type"], "application/json");
        let error = body["error"].as_object().unwrap();
        assert!(error["message"].is_string() && error["type"].is_string(), "{what}");
        assert!(error["param"].is_string() || error["param"].is_null(), "{what}");
        assert!(error["code"].is_string() || error["code"].is_null(), "{what}");
    }
}

#[tokio::test]
async fn a_repeated_create_with_the_same_idempotency_key_makes_one_endpoint() {
    let plane = Plane::start().await;
    let send = async |key: &str, body: &str| {
        let request = Request::post("/v1/endpoints")
            .header("authorization", format!("Bearer {}", plane.admin))
            .header("content-type", "application/json")
            .header("idempotency-key", key);
        plane.send(request.body(Body::from(body.to_owned())).unwrap()).await
    };
    let first = send("k1", SMALLEST).await.json();
    assert_eq!(send("k1", SMALLEST).await.json()["id"], first["id"]);
    assert_ne!(send("k2", SMALLEST).await.json()["id"], first["id"]);
    let other = send("k1", &SMALLEST.replace(":2", ":3")).await;
    assert_eq!((other.status, other.param().as_deref()), (StatusCode::BAD_REQUEST, Some("Idempotency-Key")));
    for key in ["", "a\tb", "é", &"k".repeat(256)] {
        assert_eq!(send(key, SMALLEST).await.param().as_deref(), Some("Idempotency-Key"), "{key:?}");
    }
    plane.later(25 * 3_600);
    assert_ne!(send("k1", SMALLEST).await.json()["id"], first["id"], "forgotten after a day");
}

#[tokio::test]
async fn an_account_has_a_most_number_of_endpoints() {
    let config = ControlConfig { endpoints_per_owner_max: 1, ..ControlConfig::default() };
    let plane = Plane::with(config, FakeRuntime::with_cores(1)).await;
    plane.create("").await;
    let answer = plane.call("POST", "/v1/endpoints", SMALLEST).await;
    assert_eq!(answer.json()["error"]["code"], "quota_exceeded");
}
