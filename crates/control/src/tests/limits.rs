//! What a sender may take: keys it guesses, time for its body.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::body::Body;
use axum::extract::ConnectInfo;
use http::Request;
use hyper::body::Frame;

use crate::config::ControlConfig;
use crate::testing::{FakeRuntime, Plane};

async fn list(plane: &Plane, peer: &str, key: &str) -> crate::testing::Answer {
    let peer = SocketAddr::new(peer.parse::<IpAddr>().unwrap(), 1);
    let request = Request::get("/v1/endpoints").header("authorization", format!("Bearer {key}"));
    plane.send(request.extension(ConnectInfo(peer)).body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn the_eleventh_wrong_key_of_an_address_is_429_and_a_valid_one_passes() {
    let plane = Plane::start().await;
    let wrong = plane.admin.chars().rev().collect::<String>();
    for _ in 0..10 {
        assert_eq!(list(&plane, "2001:db8::1", &wrong).await.status, 403);
    }
    let limited = list(&plane, "2001:db8::2", &wrong).await;
    assert_eq!(
        (limited.status.as_u16(), limited.json()["error"]["code"].as_str()),
        (429, Some("too_many_failed_attempts"))
    );
    let header = |name: &str| limited.headers.get(name).map(|it| it.to_str().unwrap());
    assert_eq!(header("x-should-retry"), Some("false"), "a wrong key stays wrong");
    assert_eq!(
        (header("retry-after"), header("retry-after-ms")),
        (None, None),
        "v1 would wait five times as long"
    );
    assert!(limited.message().contains("in 60 s"));
    assert_eq!(list(&plane, "2001:db8::1", &plane.admin).await.status, 200);
    assert_eq!(list(&plane, "192.0.2.1", &wrong).await.status, 403, "of another address");
    plane.later(60);
    assert_eq!(list(&plane, "2001:db8::1", &wrong).await.status, 403);
}

#[tokio::test]
async fn key_failures_count_requests_without_a_readable_key_too() {
    for authorization in [None, Some("Bearer"), Some("Basic abc"), Some("Bearer ")] {
        let plane = Plane::start().await;
        let ask = async || {
            let mut request =
                Request::get("/v1/endpoints").extension(ConnectInfo(SocketAddr::from(([192, 0, 2, 1], 1))));
            if let Some(value) = authorization {
                request = request.header("authorization", value);
            }
            plane.send(request.body(Body::empty()).unwrap()).await.status
        };
        for _ in 0..10 {
            assert_eq!(ask().await, 403, "{authorization:?}");
        }
        assert_eq!(ask().await, 429, "{authorization:?}");
        assert_eq!(list(&plane, "192.0.2.1", &plane.admin).await.status, 200);
    }
}

/// A body that begins and never ends.
struct Slow(Option<&'static [u8]>);

impl hyper::body::Body for Slow {
    type Data = bytes::Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<bytes::Bytes>, Infallible>>> {
        match self.0.take() {
            Some(begin) => std::task::Poll::Ready(Some(Ok(Frame::data(bytes::Bytes::from_static(begin))))),
            None => std::task::Poll::Pending,
        }
    }
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_408_wherever_one_is_read() {
    let config = ControlConfig { body_idle_timeout_ms: 50, ..ControlConfig::default() };
    let plane = Plane::with(config, FakeRuntime::with_cores(1)).await;
    for (method, path) in [
        ("POST", "/v1/endpoints"),
        ("PATCH", "/v1/endpoints/endpoint-00000000-0000-4000-8000-000000000000"),
        ("POST", "/v1/keys"),
        ("POST", "/v1/pulls"),
    ] {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {}", plane.admin))
            .header("content-type", "application/json")
            .body(Body::new(Slow(Some(b"{"))))
            .unwrap();
        let answer = tokio::time::timeout(Duration::from_secs(10), plane.send(request)).await.expect(path);
        assert_eq!(
            (answer.status.as_u16(), answer.json()["error"]["code"].as_str()),
            (408, Some("body_timeout")),
            "{path}"
        );
        assert_eq!(answer.headers["connection"], "close", "{path}");
    }
}
