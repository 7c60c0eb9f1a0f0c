//! Output that can't be written, or that nobody reads: no panic, and an exit code that tells.

use std::fs::File;
use std::process::Stdio;

use crate::plane::TestPlane;

const COMMANDS: [&[&str]; 9] = [
    &["doctor"],
    &["config"],
    &["whoami"],
    &["models", "list"],
    &["endpoints", "list", "--json"],
    &["keys", "list"],
    &["completions", "bash"],
    &["--help"],
    &["--version"],
];

#[test]
fn output_to_a_full_device_is_an_error_that_says_so() {
    let plane = TestPlane::start();
    for args in COMMANDS {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let done = plane.command(args).stdout(full).stderr(Stdio::piped()).output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(1), "{args:?}: {said}");
        assert!(said.contains("stdout can't be written: No space left on device"), "{args:?}: {said}");
    }
}

#[test]
fn commands_of_the_host_print_json_where_it_is_asked_for() {
    let plane = TestPlane::start();
    let backup = plane.data().join("copy.db");
    for args in [&["doctor"] as &[&str], &["config"], &["backup", backup.to_str().unwrap()], &["down"]] {
        let (code, out, err) = plane.cli(&[args, &["--json"]].concat());
        assert_eq!(code, Some(0), "{args:?}: {err}");
        let printed: serde_json::Value =
            serde_json::from_str(&out).unwrap_or_else(|err| panic!("{args:?}: {err}: {out}"));
        match args[0] {
            "doctor" => {
                assert!(printed.as_array().unwrap().iter().all(|it| it["level"].is_string()), "{out}")
            }
            "config" => assert_eq!(printed["control"]["slots"], 4),
            "backup" => assert!(printed["bytes"].as_u64().unwrap() > 0, "{out}"),
            _ => assert!(printed["message"].as_str().unwrap().contains("stopped"), "{out}"),
        }
    }
}

#[test]
fn output_to_a_reader_that_left_ends_quietly() {
    let plane = TestPlane::start();
    for args in COMMANDS {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let done = plane.command(args).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert_eq!((done.status.code(), &*said), (Some(0), ""), "{args:?}");
    }
}

#[test]
fn sentences_to_a_full_stderr_do_not_change_the_exit_code() {
    let plane = TestPlane::start();
    for (args, code) in [(&["endpoints", "get", "nothing"] as &[&str], 1), (&["--nothing"], 2)] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let done = plane.command(args).stdout(Stdio::null()).stderr(full).status().unwrap();
        assert_eq!(done.code(), Some(code), "{args:?}");
    }
}

#[test]
fn output_beyond_a_file_limit_is_an_error_that_says_so() {
    let plane = TestPlane::start();
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "ulimit -S -f 1; exec \"$0\" config"]).arg(crate::plane::dedi());
    command.env("DEDI_DATA_DIR", plane.data()).stdout(file.reopen().unwrap()).stderr(Stdio::piped());
    let done = command.output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(1), "{said} {:?}", done.status);
    assert!(said.contains("stdout can't be written: File too large"), "{said}");
}

#[test]
fn server_on_every_address_is_found_by_its_command_line() {
    let mut plane = TestPlane::start_with("tls_terminated_elsewhere = true\n");
    plane.stop_server();
    plane.launch_on_all();
    let mut command = plane.command(&["endpoints", "list"]);
    let done = command.env_remove("DEDI_BASE_URL").env_remove("TOGETHER_BASE_URL").output().unwrap();
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
}
