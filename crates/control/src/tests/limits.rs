//! What a sender may take: keys it guesses.

use std::net::{IpAddr, SocketAddr};

use axum::body::Body;
use axum::extract::ConnectInfo;
use http::Request;

use crate::testing::Plane;

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
    let header = |name: &str| limited.headers.get(name).unwrap().to_str().unwrap();
    assert_eq!((header("retry-after"), header("retry-after-ms")), ("60", "60000"));
    assert_eq!(header("x-should-retry"), "false", "SDKs would wait for a minute with a key that stays wrong");
    assert_eq!(list(&plane, "2001:db8::1", &plane.admin).await.status, 200);
    assert_eq!(list(&plane, "192.0.2.1", &wrong).await.status, 403, "of another address");
    plane.later(60);
    assert_eq!(list(&plane, "2001:db8::1", &wrong).await.status, 403);
}
