//! The description that a running server gives of itself.

use serde_json::Value;

use crate::plane::TestPlane;

#[test]
fn anybody_may_read_what_can_be_asked() {
    // Each request without a key counts as one with a wrong key.
    let plane = TestPlane::start_with("[gateway]\nkey_failures_per_minute_max = 1000");
    let answer = plane.anonymous("/openapi.json");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body["openapi"], "3.1.0");
    assert_eq!(answer.body["info"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(answer.body["components"]["securitySchemes"]["bearerAuth"]["scheme"], "bearer");
    for (path, item) in answer.body["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let is_open = operation["security"] == Value::Array(Vec::new());
            assert_eq!(is_open, operation["tags"][0] == "Server", "{method} {path}");
            if method == "get" {
                let status = plane.anonymous(&path.replace("{endpointId}", "e")).status;
                assert_eq!(status, if is_open { 200 } else { 403 }, "{path}");
            }
        }
    }
}
