//! `dedi endpoints logs --follow` while servers come and go: no line twice, none lost, an end when the launch ends.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::fakes;
use crate::plane::{PATIENCE, TestPlane, until};

/// A follower that runs; ended with the test.
struct Follower {
    child: Child,
    lines: Receiver<String>,
    log: File,
    n_written: usize,
}

impl Follower {
    fn start(plane: &TestPlane, id: &str) -> Self {
        let path = plane.data().join("logs").join(id).join("attempt-1.log");
        let log = File::options().append(true).open(path).unwrap();
        let mut command = plane.command(&["endpoints", "logs", id, "--follow", "--tail", "0"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).all(|it| sender.send(it).is_ok()));
        let mut follower = Self { child, lines, log, n_written: 0 };
        // Whatever is written before it follows is not followed.
        until("the first line", || {
            follower.write();
            follower.lines.recv_timeout(Duration::from_millis(100)).ok()
        });
        while follower.lines.recv_timeout(Duration::from_secs(1)).is_ok() {}
        follower
    }

    fn write(&mut self) -> String {
        self.n_written += 1;
        let line = format!("[test] line {}", self.n_written);
        writeln!(self.log, "{line}").unwrap();
        line
    }

    /// Writes lines, and expects each once.
    fn must_go_on(&mut self, when: &str) {
        for _ in 0..20 {
            let line = self.write();
            // The shim writes there too.
            let next =
                || self.lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{when}: {line} never came"));
            let shown = std::iter::repeat_with(next).find(|it| it.starts_with("[test]"));
            assert_eq!(shown.as_deref(), Some(line.as_str()), "{when}");
        }
    }

    fn must_end(mut self) -> String {
        let status = until("the follower's end", || self.child.try_wait().unwrap());
        let said = std::io::read_to_string(self.child.stderr.take().unwrap()).unwrap();
        assert_eq!(status.code(), Some(0), "{said}");
        said
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_follower_outlives_servers_and_holds_none_of_them_up() {
    let mut plane = fakes::plane("", "");
    let id = fakes::create(&plane, "normal");
    plane.until_state(&id, "STARTED");
    let mut follower = Follower::start(&plane, &id);
    follower.must_go_on("at first");

    let mut old = plane.begin_take_over();
    follower.must_go_on("during a takeover");
    assert!(until("the old server's end", || old.try_wait().unwrap()).success());
    follower.must_go_on("after a takeover");

    let begun = Instant::now();
    assert_eq!(plane.stop_server(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(5), "a follower held it up for {:?}", begun.elapsed());
    follower.write();
    plane.launch_again();
    let while_away = follower.lines.recv_timeout(PATIENCE).unwrap();
    assert_eq!(while_away, format!("[test] line {}", follower.n_written));
    follower.must_go_on("after a stop and a start");

    plane.kill_server();
    plane.launch_again();
    follower.must_go_on("after a crash");

    assert_eq!(plane.patch(&format!("/endpoints/{id}"), &json!({"state": "STOPPED"})).status, 200);
    let said = follower.must_end();
    assert_eq!(said.matches("the server closed the connection").count(), 3, "{said}");
}
