//! A proxy that cuts the connection at every place where the answer to a create can get lost, and a client that
//! sends the same create again. However it is cut, one endpoint is there afterwards, and one engine.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use crate::plane::{TestPlane, until};

/// Where the connection is cut.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Cut {
    /// Right after the request.
    AfterRequest,
    /// When the answer has arrived, before a byte of it is read.
    Unread,
    /// After its first bytes.
    InTheMiddle,
}

fn request(plane: &TestPlane, more: &str) -> String {
    let body =
        r#"{"model":"dedi/demo","hardware":"1x_cpu_1gb","autoscaling":{"min_replicas":1,"max_replicas":1}}"#;
    let (key, n) = (plane.key(), body.len());
    format!(
        "POST /v1/endpoints HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n\
         Content-Type: application/json\r\nContent-Length: {n}\r\n{more}\r\n{body}"
    )
}

fn connect(plane: &TestPlane) -> TcpStream {
    let address = std::fs::read_to_string(plane.data().join("address")).unwrap();
    TcpStream::connect(address.trim()).unwrap()
}

fn send_and_cut(plane: &TestPlane, more: &str, cut: Cut) {
    let mut stream = connect(plane);
    stream.write_all(request(plane, more).as_bytes()).unwrap();
    match cut {
        Cut::AfterRequest => {}
        Cut::Unread | Cut::InTheMiddle => {
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            let mut first = [0_u8; 40];
            if cut == Cut::Unread {
                stream.peek(&mut first).unwrap();
            } else {
                stream.read_exact(&mut first).unwrap();
                assert!(first.starts_with(b"HTTP/1.1 200"), "{first:?}");
            }
        }
    }
    // Bytes that lie unread make this a reset, as when a proxy or its host goes away.
    drop(stream);
}

/// The same request, answered; the id in the answer.
fn send(plane: &TestPlane, more: &str) -> String {
    let mut stream = connect(plane);
    stream.write_all(request(plane, &format!("Connection: close\r\n{more}")).as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let _ = stream.shutdown(Shutdown::Both);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str::<serde_json::Value>(body).unwrap()["id"].as_str().unwrap().to_owned()
}

fn ids(plane: &TestPlane) -> Vec<String> {
    let list = plane.get("/endpoints").body;
    list["data"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_cut_answer_and_a_second_try_make_one_endpoint() {
    let plane = TestPlane::start();
    for cut in [Cut::AfterRequest, Cut::Unread, Cut::InTheMiddle] {
        for more in ["", "Idempotency-Key: this-one\r\n"] {
            let more = more.replace("this", &format!("{cut:?}"));
            send_and_cut(&plane, &more, cut);
            let id = send(&plane, &more);
            assert_eq!(ids(&plane), [id.as_str()], "{cut:?} {more}");
            plane.until_state(&id, "STARTED");
            assert_eq!(plane.engines().len(), 1, "{cut:?} {more}");
            assert_eq!(plane.delete(&format!("/endpoints/{id}")).status, 204);
            until("the engine's end", || plane.engines().is_empty().then_some(()));
        }
    }
}

#[test]
fn an_answer_lost_with_the_server_is_found_by_the_next_one() {
    let mut plane = TestPlane::start();
    let made = plane.create("1x_cpu_1gb", 1, 1)["id"].as_str().unwrap().to_owned();
    let request = request(&plane, "");
    let mut stream = connect(&plane);
    stream.write_all(request.as_bytes()).unwrap();
    let second = until("the second endpoint", || ids(&plane).into_iter().find(|it| *it != made));
    plane.kill_server();
    plane.launch();
    assert_eq!(send(&plane, ""), second, "its answer was never seen");
    assert_eq!(ids(&plane).len(), 2);
}

#[test]
fn two_answered_creates_make_two_endpoints() {
    let plane = TestPlane::start();
    assert_ne!(send(&plane, ""), send(&plane, ""));
    assert_eq!(ids(&plane).len(), 2);
}
