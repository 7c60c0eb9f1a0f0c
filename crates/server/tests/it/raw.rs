//! Requests byte by byte, as no proper client writes them: every refusal is JSON in the contract's form.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::plane::TestPlane;

/// Status, head and body of what is answered to these bytes.
fn exchange(plane: &TestPlane, bytes: &str) -> (u16, String, String) {
    let address = std::fs::read_to_string(plane.data().join("address")).unwrap();
    let mut stream = TcpStream::connect(address.trim()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(bytes.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head: {answer:?}"));
    let status = head.split(' ').nth(1).and_then(|it| it.parse().ok());
    (status.unwrap_or_else(|| panic!("no status: {head}")), head.to_ascii_lowercase(), body.to_owned())
}

/// A request with these header fields besides the two that it has anyway.
fn request(line: &str, fields: &[(String, String)]) -> String {
    let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields}\r\n")
}

/// The error of a refusal that has all a refusal must have.
fn refused(plane: &TestPlane, bytes: &str, status: u16) -> Value {
    let (got, head, body) = exchange(plane, bytes);
    assert_eq!(got, status, "{head}\n{body}");
    assert!(head.contains("content-type: application/json"), "{head}");
    let answer: Value = serde_json::from_str(&body).unwrap_or_else(|err| panic!("{err}: {body}"));
    let error = answer["error"].clone();
    assert!(error["message"].is_string() && error["type"] == "invalid_request_error", "{error}");
    error
}

fn fields(n: usize, bytes: usize) -> Vec<(String, String)> {
    (0..n).map(|it| (format!("x-{it}"), "v".repeat(bytes))).collect()
}

#[test]
fn a_head_beyond_the_limits_is_told_which() {
    let plane = TestPlane::start();
    for line in ["GET /healthz", "GET /v1/endpoints", "POST /v1/chat/completions", "GET /nothing"] {
        let error = refused(&plane, &request(line, &fields(63, 1)), 431);
        assert_eq!(error["code"], "headers_too_large");
        assert!(error["message"].as_str().unwrap().contains("64 header fields, this one has 65"), "{error}");
        let error = refused(&plane, &request(line, &fields(20, 1_000)), 431);
        assert!(error["message"].as_str().unwrap().contains("16384 bytes"), "{error}");
        let (method, path) = line.split_once(' ').unwrap();
        let long = format!("{method} {path}?{}", "x".repeat(9_000));
        assert_eq!(refused(&plane, &request(&long, &[]), 414)["code"], "uri_too_long");
    }
    // To the last field and nearly the last byte it is a request like any other.
    let (status, ..) = exchange(&plane, &request("GET /healthz", &fields(62, 1)));
    assert_eq!(status, 200);
    let (status, ..) = exchange(&plane, &request("GET /healthz", &fields(16, 1_000)));
    assert_eq!(status, 200);
    let (status, ..) = exchange(&plane, &request(&format!("GET /healthz?{}", "x".repeat(8_000)), &[]));
    assert_eq!(status, 200);
}

#[test]
fn unreadable_requests_are_refused_in_json() {
    let plane = TestPlane::start();
    let good = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for bytes in
        ["hello\r\n\r\n", "GET\r\n\r\n", "GET /a b HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\na\0: b\r\n\r\n"]
    {
        assert_eq!(refused(&plane, bytes, 400)["code"], "invalid_request", "{bytes:?}");
        // Behind a request that could be read.
        let (status, _, rest) = exchange(&plane, &format!("{good}{bytes}"));
        assert!(status == 200 && rest.contains("HTTP/1.1 400 "), "{rest}");
    }
    for bytes in [request("GET /healthz", &fields(200, 1)), request("GET /healthz", &fields(1, 100_000))] {
        assert_eq!(refused(&plane, &bytes, 431)["code"], "headers_too_large");
    }
}

#[test]
fn routes_that_are_only_read_say_so() {
    let plane = TestPlane::start();
    for path in ["/healthz", "/readyz", "/openapi.json"] {
        for method in ["POST", "DELETE", "PATCH"] {
            let bytes = request(&format!("{method} {path}"), &[]);
            assert_eq!(refused(&plane, &bytes, 405)["code"], "method_not_allowed");
            assert!(exchange(&plane, &bytes).1.contains("allow: get, head"));
        }
        assert_eq!(exchange(&plane, &request(&format!("HEAD {path}"), &[])).0, 200);
    }
}

/// The contract answers what can't be processed with 400; 422 is for servers that tell the two apart, and no client
/// of it does more for one than for the other.
#[test]
fn what_can_not_be_processed_is_400_and_never_422() {
    let plane = TestPlane::start();
    let document = plane.anonymous("/openapi.json").body;
    let mut asked = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            assert!(operation["responses"].get("422").is_none(), "{method} {path}");
            if operation.get("requestBody").is_none() {
                continue;
            }
            let path = path.replace("{endpointId}", "endpoint-00000000-0000-4000-8000-000000000000");
            for body in
                [json!({"model": 5, "autoscaling": "no", "role": [], "messages": "x"}), json!([]), json!("x")]
            {
                let body = body.to_string();
                let more = [
                    ("Authorization".to_owned(), format!("Bearer {}", plane.key())),
                    ("Content-Type".to_owned(), "application/json".to_owned()),
                    ("Content-Length".to_owned(), body.len().to_string()),
                ];
                let line = format!("{} {path}", method.to_ascii_uppercase());
                let (status, _, said) = exchange(&plane, &(request(&line, &more) + &body));
                assert!(matches!(status, 400 | 404), "{line} {body}: {status} {said}");
                assert!(serde_json::from_str::<Value>(&said).unwrap()["error"]["message"].is_string());
                asked += 1;
            }
        }
    }
    assert!(asked >= 21, "{asked}");
}

/// A proxy in front may see the end of a request elsewhere than this server does, on whatever route.
#[test]
fn framing_a_request_with_two_ends_is_refused_on_every_route() {
    let plane = TestPlane::start();
    for line in ["POST /v1/chat/completions", "POST /v1/endpoints", "GET /healthz", "POST /nothing"] {
        for headers in [
            "Content-Length: 5\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nContent-Length: 5",
            "Transfer-Encoding: chunked, chunked",
            "Transfer-Encoding: gzip, chunked",
            "Content-Length: 5\r\nContent-Length: 5",
        ] {
            let head = format!(
                "{line} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{headers}\r\n\r\n"
            );
            let smuggled = format!("{head}0\r\n\r\n{}", request("GET /healthz", &[]));
            let error = refused(&plane, &smuggled, 400);
            assert!(
                error["message"].as_str().unwrap().contains("Length")
                    || error["message"].as_str().unwrap().contains("Encoding"),
                "{error}"
            );
        }
        // What the library refuses by itself is told in the same form.
        for headers in
            ["Content-Length: +5", "Content-Length : 5", "Accept: a\r\n b", "Transfer-Encoding: gzip"]
        {
            let bytes = format!("{line} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n\r\n");
            assert_eq!(refused(&plane, &bytes, 400)["code"], "invalid_request", "{line} {headers}");
        }
        let (status, ..) = exchange(
            &plane,
            &format!("{line} HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
        );
        assert_eq!(status, 400, "{line}");
    }
}

#[test]
fn no_route_says_what_to_install_and_a_wrong_method_what_to_use() {
    let plane = TestPlane::start();
    for (line, step) in [
        ("GET /v2/projects/p/endpoints", "together>=2,<3"),
        ("POST /v1/v1/chat/completions", "has /v1 twice"),
        ("POST /chat/completions", "ends in /v1"),
    ] {
        let (status, _, body) = exchange(&plane, &request(line, &[]));
        assert!(
            status == 404 && body.contains(&format!("There is no route {line}")) && body.contains(step),
            "{body}"
        );
    }
    let error = refused(&plane, &request("PUT /v1/hardware", &[]), 405);
    assert!(
        error["message"].as_str().unwrap().contains("PUT is not a method of /v1/hardware; use GET"),
        "{error}"
    );
}

#[test]
fn cors_is_for_the_origins_that_the_config_names() {
    let plane = TestPlane::start_with("cors_origins = [\"https://app.example\"]");
    let with = |origin: &str| {
        [
            ("Origin".to_owned(), origin.to_owned()),
            ("Access-Control-Request-Method".to_owned(), "POST".to_owned()),
            ("Access-Control-Request-Headers".to_owned(), "authorization,x-stainless-os".to_owned()),
        ]
    };
    for path in ["/v1/chat/completions", "/v1/endpoints"] {
        let (status, head, _) =
            exchange(&plane, &request(&format!("OPTIONS {path}"), &with("https://app.example")));
        assert_eq!(status, 204, "{head}");
        assert!(head.contains("access-control-allow-origin: https://app.example"), "{head}");
        assert!(head.contains("access-control-allow-headers: authorization,x-stainless-os"), "{head}");
        let (status, head, _) =
            exchange(&plane, &request(&format!("OPTIONS {path}"), &with("https://evil.example")));
        assert!(status == 405 && !head.contains("access-control"), "{head}");
        // A refusal too may be read by the page.
        let (status, head, _) =
            exchange(&plane, &request(&format!("POST {path}"), &with("https://app.example")[..1]));
        assert!(matches!(status, 401 | 403), "{head}");
        assert!(head.contains("access-control-allow-origin: https://app.example"), "{head}");
    }
}
