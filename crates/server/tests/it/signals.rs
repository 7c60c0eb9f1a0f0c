//! Signals that a server gets from terminals, service managers and hosts: none cuts a stream without a word.

use std::os::unix::process::CommandExt;
use std::process::Command;

use serde_json::json;

use crate::fakes;
use crate::plane::{TestPlane, dedi, signal, until};

/// A stream that takes seconds, the signal in its middle; the last event.
fn last_event_of_a_stream_during(plane: &TestPlane, name: &str) -> String {
    let id = fakes::create(plane, "slow-tokens.100");
    plane.until_state(&id, "STARTED");
    let body = json!({"model": id, "stream": true, "max_tokens": 20,
        "messages": [{"role": "user", "content": "a b c d e f g h i j k l m n o p q r s t"}]});
    let mut n_events = 0;
    let events = plane.stream(&body, |_| {
        n_events += 1;
        if n_events == 3 {
            signal(plane.server_pid(), name);
        }
        true
    });
    assert!(events.len() > 3, "{events:?}");
    events.last().unwrap().clone()
}

#[test]
fn signal_hangup_and_quit_end_the_server_in_order() {
    for name in ["HUP", "QUIT"] {
        let mut plane = fakes::plane("", "");
        assert_eq!(last_event_of_a_stream_during(&plane, name), "[DONE]", "SIG{name}");
        let mut server = plane.take_server();
        let code = until("the server's end", || server.try_wait().unwrap()).code();
        assert_eq!(code, Some(0), "SIG{name}: {}", plane.log());
        assert!(plane.log().contains(&format!("asked to stop by SIG{name}")), "{}", plane.log());
    }
}

#[test]
fn signal_hangup_does_nothing_where_the_server_was_started_to_ignore_it() {
    let mut plane = fakes::plane("", "");
    plane.stop_server();
    let mut nohup = Command::new("nohup");
    nohup.arg(dedi());
    plane.launch_by(plane.serve(nohup, "127.0.0.1:0"));
    assert_eq!(last_event_of_a_stream_during(&plane, "HUP"), "[DONE]");
    assert!(plane.is_running(), "{}", plane.log());
    // The first signal that it hears of is the one that ends it.
    signal(plane.server_pid(), "TERM");
    let mut server = plane.take_server();
    let code = until("the server's end", || server.try_wait().unwrap()).code();
    assert_eq!(code, Some(0), "{}", plane.log());
    let log = plane.log();
    assert!(log.contains("asked to stop by SIGTERM") && !log.contains("SIGHUP"), "{log}");
}

#[test]
fn signals_without_a_meaning_end_neither_server_nor_shim() {
    let mut plane = fakes::plane("", "");
    let id = fakes::create(&plane, "ok");
    plane.until_state(&id, "STARTED");
    let (shims, engines) = (plane.shims(), plane.engines());
    for name in ["USR1", "USR2", "ALRM", "XFSZ", "PIPE"] {
        signal(plane.server_pid(), name);
        shims.iter().for_each(|it| signal(*it, name));
    }
    for name in ["IO", "XCPU", "VTALRM", "PROF"] {
        signal(plane.server_pid(), name);
    }
    until("a word in the log", || plane.log().contains("SIGUSR2 has no meaning here").then_some(()));
    assert_eq!(plane.chat(&id, "hello").status, 200);
    assert!(plane.is_running());
    assert_eq!((plane.shims(), plane.engines()), (shims, engines));
}

#[test]
fn signal_of_a_file_limit_ends_neither_server_nor_command() {
    let mut plane = fakes::plane("", "");
    plane.stop_server();
    // Far below what the server writes to its log.
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -S -f 600; exec \"$0\" \"$@\""]).arg(dedi());
    let mut command = plane.serve(limited, "127.0.0.1:0");
    command.env("DEDI_LOG", "trace").process_group(0);
    let log = tempfile::NamedTempFile::new().unwrap();
    command.stderr(log.reopen().unwrap());
    plane.launch_by(command);
    let long = format!("/v1/endpoints?x={}", "y".repeat(7_000));
    until("a full log", || {
        for _ in 0..50 {
            plane.anonymous(&long);
        }
        (log.as_file().metadata().unwrap().len() >= 300 * 1024).then_some(())
    });
    assert_eq!(plane.anonymous("/healthz").status, 200);
    assert!(plane.is_running());
}
