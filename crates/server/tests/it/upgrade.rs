//! A new server takes over from the running one while requests flow: none is dropped, whatever is ordered meanwhile.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::fakes;
use crate::held::Held;
use crate::load::{OnDrop, streamed, under_load};
use crate::plane::{PATIENCE, TestPlane, signal, until};

/// Takeovers under load. Each costs about a second, and the waits for replicas.
const TAKEOVERS: usize = 4;

#[test]
fn no_request_is_dropped_while_servers_take_over_from_each_other() {
    let mut plane = TestPlane::start_with("[control]\nscale_down_delay_secs = 0\n");
    let made = plane.create("1x_cpu_1gb", 1, 2);
    let id = made["id"].as_str().unwrap().to_owned();
    plane.until_state(&id, "STARTED");
    let engines = plane.engines();
    let client = plane.client();
    under_load(&mut plane, &id, |plane| {
        for n in 0..TAKEOVERS {
            let mut old = plane.begin_take_over();
            // One replica more, one fewer, and again: those that go may still have requests of the old server.
            let min = 2 - n % 2;
            let range = json!({"autoscaling": {"min_replicas": min, "max_replicas": min}});
            let scaled = client.patch(&format!("/endpoints/{id}"), &range);
            assert_eq!(scaled.status, 200, "{}", scaled.body);
            assert!(until("the old server's end", || old.try_wait().unwrap()).success());
            until("its replicas", || {
                let it = client.get(&format!("/endpoints/{id}")).body;
                let replicas = it["replicas"].as_array()?;
                let n_ready = replicas.iter().filter(|it| it["phase"] == "ready").count();
                (n_ready == min && replicas.len() == min).then_some(())
            });
        }
    });
    assert_eq!(plane.engines(), engines, "the first replica was started anew");
}

#[test]
fn no_management_request_is_refused_while_servers_take_over_from_each_other() {
    let mut plane = TestPlane::start();
    let id = plane.create("1x_cpu_1gb", 0, 1)["id"].as_str().unwrap().to_owned();
    let path = format!("/endpoints/{id}");
    let (client, keeping) = (plane.client(), plane.keeping_connections());
    let (stop, n_written, n_read) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let _stopping = OnDrop(&stop);
        for client in [&client, &keeping] {
            let (stop, n_written, n_read, path) = (&stop, &n_written, &n_read, &path);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let n = n_written.fetch_add(1, Ordering::Relaxed);
                    let key = client.post("/keys", &json!({"name": format!("key {n}")}));
                    assert_eq!(key.status, 200, "{}", key.body);
                    let gone = client.delete(&format!("/keys/{}", key.body["id"].as_str().unwrap()));
                    assert_eq!(gone.status, 204, "{}", gone.body);
                }
            });
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let read = client.get(path);
                    assert_eq!(read.status, 200, "{}", read.body);
                    n_read.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for _ in 0..TAKEOVERS {
            let (written, read) = (n_written.load(Ordering::Relaxed), n_read.load(Ordering::Relaxed));
            let mut old = plane.begin_take_over();
            assert!(until("the old server's end", || old.try_wait().unwrap()).success());
            until("more of both", || {
                let more =
                    n_written.load(Ordering::Relaxed) > written && n_read.load(Ordering::Relaxed) > read;
                more.then_some(())
            });
        }
    });
    assert!(
        plane.log().contains("passed on to the new server"),
        "nobody met a server that was being replaced"
    );
}

#[test]
fn of_servers_that_take_over_at_once_one_is_left_and_the_others_are_told_to_try_again() {
    const ROUNDS: usize = 6;
    const AT_ONCE: usize = 3;
    let mut plane = TestPlane::start();
    let id = plane.create("1x_cpu_1gb", 1, 1)["id"].as_str().unwrap().to_owned();
    plane.until_state(&id, "STARTED");
    let mut servers = vec![plane.take_server()];
    for _ in 0..ROUNDS {
        servers.extend((0..AT_ONCE).map(|_| plane.spawn("127.0.0.1:0", &["--takeover"])));
        until("one server to be left", || {
            servers.retain_mut(|it| {
                let ended = it.try_wait().unwrap();
                assert!(
                    ended.is_none_or(|it| matches!(it.code(), Some(0 | 3))),
                    "{ended:?}\n{}",
                    plane.log()
                );
                ended.is_none()
            });
            assert!(!servers.is_empty(), "no server is left\n{}", plane.log());
            (servers.len() == 1).then_some(())
        });
        assert_eq!(plane.chat(&id, "hello").status, 200);
    }
    let log = plane.log();
    let refused: Vec<&str> = log.lines().filter(|it| it.starts_with("error: ")).collect();
    let is_right = |it: &&str| it.contains("try again in a moment") || it.contains("wait for its end");
    assert!(!refused.is_empty() && refused.iter().all(is_right), "{refused:#?}");
    assert_eq!(plane.cli(&["down"]).0, Some(0));
    until("the last server's end", || servers[0].try_wait().unwrap());
}

#[test]
fn what_is_ordered_after_a_takeover_waits_for_the_old_servers_streams() {
    let mut plane = fakes::plane("", "");
    let ids: Vec<String> =
        ["slow-tokens.100", "slow-tokens.101"].iter().map(|it| fakes::create(&plane, it)).collect();
    for id in &ids {
        plane.until_state(id, "STARTED");
    }
    let client = plane.client();
    std::thread::scope(|scope| {
        let (begun, have_begun) = mpsc::channel();
        let streams: Vec<_> = ids
            .iter()
            .map(|id| {
                let (client, mut begun) = (&client, Some(begun.clone()));
                scope.spawn(move || {
                    let said = client
                        .stream(&streamed(id, 70), |_| begun.take().is_none_or(|it| it.send(()).is_ok()));
                    (said, Instant::now())
                })
            })
            .collect();
        for _ in &ids {
            have_begun.recv_timeout(Duration::from_secs(30)).unwrap();
        }
        let mut old = plane.begin_take_over();
        let stopped = client.patch(&format!("/endpoints/{}", ids[0]), &json!({"state": "STOPPED"}));
        assert_eq!(stopped.status, 200, "{}", stopped.body);
        assert_eq!(client.delete(&format!("/endpoints/{}", ids[1])).status, 204);
        until("the old server's stream in the new one's answer", || {
            let shown = client.get(&format!("/endpoints/{}", ids[0])).body;
            (shown["replicas"][0]["in_flight"] == 1).then_some(())
        });

        for stream in streams {
            let (events, ended_at) = stream.join().unwrap();
            assert_eq!(events.last().map(String::as_str), Some("[DONE]"), "{:?}", events.last());
            assert!(events.len() > 70, "cut after {} events", events.len());
            // Nobody waits longer than for the streams themselves.
            plane.until_state(&ids[0], "STOPPED");
            assert!(ended_at.elapsed() < Duration::from_secs(15));
        }
        assert!(until("the old server's end", || old.try_wait().unwrap()).success());
    });
}

#[test]
fn a_server_that_ends_before_its_successor_serves_still_says_what_an_earlier_one_carries() {
    let mut plane = fakes::plane("", "");
    let id = fakes::create(&plane, "slow-tokens.100");
    plane.until_state(&id, "STARTED");
    let client = plane.client();
    std::thread::scope(|scope| {
        let (begun, has_begun) = mpsc::channel();
        let (streaming, body) = (plane.client(), streamed(&id, 90));
        let mut begun = Some(begun);
        let stream = scope
            .spawn(move || streaming.stream(&body, |_| begun.take().is_none_or(|it| it.send(()).is_ok())));
        has_begun.recv_timeout(PATIENCE).unwrap();
        let mut first = plane.begin_take_over();
        let held = Held::new(&plane);
        let mut third = plane.spawn("127.0.0.1:0", &["--takeover"]);
        let written = held.until_held(&plane, &mut third);
        signal(plane.server_pid(), "TERM");
        until("the second server's order", || {
            plane.log().contains("stopping: running requests").then_some(())
        });
        held.let_go(written);
        until("the third server", || {
            let answer = client.patch(&format!("/endpoints/{id}"), &json!({"state": "STOPPED"}));
            (answer.status == 200).then_some(())
        });
        assert!(first.try_wait().unwrap().is_none(), "the stream was over too soon to see anything");
        let events = stream.join().unwrap();
        assert_eq!(events.last().map(String::as_str), Some("[DONE]"), "cut after {} events", events.len());
        assert!(until("the first server's end", || first.try_wait().unwrap()).success());
        plane.forget_server();
        plane.until_state(&id, "STOPPED");
        let (code, _, said) = plane.cli(&["down"]);
        assert_eq!(code, Some(0), "{said}");
        assert!(until("the third server's end", || third.try_wait().unwrap()).success());
    });
}
