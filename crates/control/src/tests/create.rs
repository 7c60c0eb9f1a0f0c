//! What a create waits for.

use std::time::{Duration, Instant};

use crate::testing::Plane;

#[tokio::test]
async fn create_is_routed_when_it_is_answered_and_waits_for_no_look() {
    let plane = Plane::start().await;
    // The loop hangs, and so would whoever waited for its next look; the runtime answers nobody.
    plane.parts().barrier.set_running(true);
    plane.runtime.set_down(true);
    let n_passes = plane.parts().barrier.n_begun();
    let start = Instant::now();
    let id = plane.create("").await;
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    let table = plane.control.routes().borrow().clone();
    let route = table.routes.iter().find(|it| it.endpoint.to_string() == id).expect("the next chat finds it");
    assert_eq!((route.state.as_str(), route.replicas.len()), ("PENDING", 0));
    assert_eq!(plane.parts().barrier.n_begun(), n_passes);
    // What is read afterwards is what was answered.
    let shown = plane.get(&id).await;
    assert_eq!((&shown["status"]["reason"], &shown["state"]), (&"accepted".into(), &"PENDING".into()));
}

#[tokio::test]
async fn create_answers_what_a_read_answers() {
    let plane = Plane::start().await;
    let body =
        r#"{"model":"dedi/demo","hardware":"1x_cpu","autoscaling":{"min_replicas":0,"max_replicas":2}}"#;
    let created = plane.call("POST", "/v1/endpoints", body).await.json();
    assert_eq!(created, plane.get(created["id"].as_str().unwrap()).await);
    assert_eq!(created["hardware"], "1x_cpu_8gb", "by its whole name");
}
