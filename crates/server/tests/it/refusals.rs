//! Starting wrongly: one clear sentence, and the exit code that says whose mistake it is.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::fakes;
use crate::load::streamed;
use crate::plane::{PATIENCE, TestPlane, dedi, signal, until};

fn serve(config: &str, args: &[&str]) -> (Option<i32>, String) {
    let folder = tempfile::Builder::new().prefix("dedi-it-").tempdir_in("/tmp").unwrap();
    let file = folder.path().join("dedi.toml");
    std::fs::write(&file, config).unwrap();
    let output = Command::new(dedi())
        .args(["serve", "--data-dir"])
        .arg(folder.path().join("d"))
        .arg("--config")
        .arg(&file)
        .args(args)
        .output()
        .unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn is_one_sentence(said: &str) -> bool {
    said.starts_with("error: ") && said.trim_end().lines().count() == 1
}

#[test]
fn a_port_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, said) = serve("", &["--listen", &address]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains(&address) && is_one_sentence(&said), "{said}");
}

#[test]
fn an_unknown_key_and_an_unreadable_file_are_named() {
    let (code, said) = serve("[gateway]\nfrobs = 3\n", &["--listen", "127.0.0.1:0"]);
    assert_eq!(code, Some(2));
    assert!(said.contains("frobs") && said.contains("line 2") && is_one_sentence(&said), "{said}");
    let temp = tempfile::tempdir().unwrap();
    let missing = temp.path().join("missing.toml");
    let output = Command::new(dedi())
        .args(["serve", "--data-dir"])
        .arg(temp.path().join("d"))
        .arg("--config")
        .arg(&missing)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2));
    assert!(said.contains("missing.toml") && is_one_sentence(&said), "{said}");
}

#[test]
fn a_shim_that_is_not_there_is_named() {
    let (code, said) = serve("shim = \"/nowhere/dedi-shim\"\n", &["--listen", "127.0.0.1:0"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("shim = \"/nowhere/dedi-shim\"") && is_one_sentence(&said), "{said}");
}

#[test]
fn a_value_that_no_server_could_live_with_is_refused_before_anything_is_made() {
    let (program, folder) = (std::env::current_exe().unwrap(), tempfile::tempdir().unwrap());
    let (file, data) = (folder.path().join("dedi.toml"), folder.path().join("d"));
    let run = |command: &str| {
        let args = ["--data-dir".as_ref(), data.as_os_str(), "--config".as_ref(), file.as_os_str()];
        let output = Command::new(dedi()).arg(command).args(args).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    for (config, said) in [
        ("[http]\nconnections_max = 0", "http.connections_max must be 1 to"),
        ("[http]\nconnections_per_ip_max = 0", "http.connections_per_ip_max must be 1 to"),
        ("[gateway]\nbytes_max = 1", "gateway.bytes_max must be 1024 to"),
        ("[gateway]\nbody_bytes_max = 0", "gateway.body_bytes_max must be 1024 to"),
        ("[gateway]\nfirst_byte_timeout_ms = 0", "gateway.first_byte_timeout_ms must be 10 to"),
        ("[gateway]\nbytes_max = 4096", "gateway.bytes_max must be at least gateway.body_bytes_max, 8388608"),
        ("[runtime]\npids_max = 1", "runtime.pids_max must be 16 to"),
        ("[runtime]\nenv_pass = [\"A=B\"]", "runtime.env_pass: \"A=B\" is no variable's name"),
        ("[control]\ncontext_tokens = 1", "control.context_tokens must be 128 to"),
        ("[control]\nstartup_deadline_secs = 0", "control.startup_deadline_secs must be 1 to"),
        ("[control]\nslots = 1000000", "control.slots must be 1 to 256"),
        ("[control]\ntick_millis = 9999999999", "control.tick_millis must be 10 to 60000"),
        ("[control]\nfailures_max = 0", "control.failures_max must be 1 to"),
        ("[control]\nzones = [\"\"]", "control.zones: \"\" is no zone's name"),
        (
            "[control.cents_per_device_minute]\ncpu_1gb = 1e300",
            "cents_per_device_minute.cpu_1gb must be 0 to",
        ),
        ("[control.cents_per_device_minute]\ncpu_1gb = -1", "cents_per_device_minute.cpu_1gb must be 0 to"),
        ("hostnames = [\"http://x/\"]", "hostnames: \"http://x/\" is no host's name"),
        ("log = \"bogus==\"", "log = \"bogus==\" is not a filter"),
        ("engine = \"/nope\"", "engine = \"/nope\" is not a file"),
        ("shim = \"/bin/true\"", "shim = \"/bin/true\" is no dedi-shim"),
        ("[hub]\ntoken_file = \"/nope\"", "hub.token_file = \"/nope\" can't be read"),
    ] {
        let engine =
            if config.starts_with("engine") { String::new() } else { format!("engine = {program:?}\n") };
        std::fs::write(&file, format!("{engine}{config}\n")).unwrap();
        let (code, _, err) = run("serve");
        assert_eq!(code, Some(2), "{config}: {err}");
        assert!(err.contains(said) && is_one_sentence(&err), "{config}: {err}");
        assert!(!data.exists(), "{config}: the folder was made");
        let (code, out, same) = run("config");
        assert_eq!((code, same), (Some(2), err), "{config}");
        assert!(out.contains("[control]"), "{config}: {out}");
    }
    std::fs::write(&file, format!("engine = {program:?}\n")).unwrap();
    assert_eq!(run("config").0, Some(0));
}

#[test]
fn a_takeover_where_there_is_no_folder_makes_none() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("d");
    let output =
        Command::new(dedi()).args(["serve", "--takeover", "--data-dir"]).arg(&data).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("without --takeover") && is_one_sentence(&said), "{said}");
    assert!(!data.exists());
}

#[test]
fn an_empty_variable_is_none() {
    let home = tempfile::tempdir().unwrap();
    let output = Command::new(dedi())
        .arg("config")
        .env("HOME", home.path())
        .env_remove("XDG_DATA_HOME")
        .envs(
            ["DEDI_DATA_DIR", "DEDI_CONFIG", "DEDI_LISTEN", "DEDI_LOG", "DEDI_LOG_FORMAT"].map(|it| (it, "")),
        )
        .output()
        .unwrap();
    let (said, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let expected = format!("# data folder: {}\n", home.path().join(".local/share/dedi").display());
    assert!(said.starts_with(&expected) && said.contains("listen = \"127.0.0.1:7437\""), "{said}{err}");
}

#[test]
fn what_of_a_config_does_nothing_is_told_at_the_start() {
    let mut plane = TestPlane::start_with("[control.cents_per_device_minute]\ncpu_1g = 2.0\n");
    until("a word about the price", || plane.log().contains("cpu_1g prices").then_some(()));
    assert!(plane.log().contains("it has cpu_1gb"), "{}", plane.log());
    assert!(!plane.log().contains("is not used"), "{}", plane.log());
    assert_eq!(plane.stop_server(), Some(0));
    let file = plane.data().join("dedi.toml");
    let config = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("owner = \"bob\"\n{config}")).unwrap();
    plane.launch();
    let log = plane.log();
    assert!(
        log.contains("owner = \"bob\" is not used") && log.contains("are of `local`, which stays"),
        "{log}"
    );
}

#[test]
fn a_server_can_be_ended_whatever_its_config_says() {
    let mut plane = TestPlane::start();
    let file = plane.data().join("dedi.toml");
    let config = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{config}[gateway]\nbytes_max = 1\n")).unwrap();
    let (code, _, said) = plane.cli(&["serve", "--takeover"]);
    assert_eq!(code, Some(2), "{said}");
    let (code, _, said) = plane.cli(&["down"]);
    assert_eq!(code, Some(0), "{said}");
    plane.forget_server();
}

#[test]
fn a_second_server_on_a_data_folder_is_refused() {
    let mut plane = TestPlane::start();
    let pid = plane.server_pid().to_string();
    // Also where the address is the same: that it is taken is not what is wrong.
    for address in ["127.0.0.1:0", plane.address()] {
        let (code, _, said) = plane.cli(&["serve", "--listen", address]);
        assert_eq!(code, Some(3), "{said}");
        assert!(
            said.contains(&format!("process {pid}")) && said.contains("`dedi serve --takeover`"),
            "{said}"
        );
        assert!(is_one_sentence(&said), "{said}");
    }
    assert_eq!(plane.get("/endpoints").status, 200);
    let elsewhere = ["serve", "--takeover", "--listen", "127.0.0.1:1"];
    let (code, _, said) = plane.cli(&elsewhere);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains(plane.address()) && said.contains("--listen 127.0.0.1:1"), "{said}");
    assert!(plane.is_running());
    assert_eq!(plane.stop_server(), Some(0));
    let (code, _, said) = plane.cli(&["serve", "--takeover"]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("no server runs") && said.contains("without --takeover"), "{said}");
}

#[test]
fn a_server_that_is_ending_is_said_to_be_ending_and_for_how_long() {
    let mut plane = fakes::plane("", "");
    let id = fakes::create(&plane, "slow-tokens.100");
    plane.until_state(&id, "STARTED");
    let (client, pid) = (plane.client(), plane.server_pid());
    std::thread::scope(|scope| {
        let (begun, has_begun) = std::sync::mpsc::channel();
        let mut begun = Some(begun);
        let stream = scope.spawn(move || {
            client.stream(&streamed(&id, 70), |_| begun.take().is_none_or(|it| it.send(()).is_ok()))
        });
        has_begun.recv_timeout(PATIENCE).unwrap();
        signal(pid, "TERM");
        for args in [&["serve", "--listen", "127.0.0.1:0"][..], &["serve", "--takeover"]] {
            let said = until("the word that it is ending", || {
                let (code, _, said) = plane.cli(args);
                assert_eq!(code, Some(3), "{said}");
                said.contains("is ending").then_some(said)
            });
            assert!(said.contains(&format!("process {pid}")) && said.contains(" s more"), "{said}");
            assert!(is_one_sentence(&said), "{said}");
        }
        assert_eq!(stream.join().unwrap().last().map(String::as_str), Some("[DONE]"));
    });
    plane.forget_server();
}

#[test]
fn a_server_that_a_signal_has_stopped_is_named_and_how_it_goes_on() {
    let mut plane = TestPlane::start();
    let pid = plane.server_pid();
    signal(pid, "STOP");
    let began = Instant::now();
    let (code, _, said) = plane.cli(&["down", "--wait", "6"]);
    let took = began.elapsed();
    signal(pid, "CONT");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&format!("`kill -CONT {pid}`")) && is_one_sentence(&said), "{said}");
    assert!(took >= Duration::from_secs(6), "--wait was not heeded: {took:?}");
    // The order was left unread in its socket, and may be taken yet.
    let (code, _, said) = plane.cli(&["down"]);
    assert_eq!(code, Some(0), "{said}");
    plane.forget_server();
}

#[test]
fn a_server_can_be_ended_without_its_replicas() {
    let mut plane = TestPlane::start();
    let id = plane.create("1x_cpu_1gb", 1, 1)["id"].as_str().unwrap().to_owned();
    plane.until_state(&id, "STARTED");
    let engines = plane.engines();
    let (code, _, said) = plane.cli(&["down", "--keep-replicas"]);
    assert_eq!(code, Some(0), "{said}");
    plane.forget_server();
    assert!(said.contains("replicas go on"), "{said}");
    assert_eq!(std::fs::read_to_string(plane.data().join("server.lock")).unwrap(), "");
    plane.launch();
    plane.until_state(&id, "STARTED");
    assert_eq!(plane.engines(), engines);
}

#[test]
fn nothing_is_open_without_a_key_and_the_key_file_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let plane = TestPlane::start();
    let mode = std::fs::metadata(plane.data().join("admin.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let stored = std::fs::read(plane.data().join("state.db")).unwrap_or_default();
    let secret = plane.key().as_bytes();
    assert!(!stored.windows(secret.len()).any(|it| it == secret), "the key's text is in the database");
    assert!(!plane.log().contains(plane.key()), "the key's text is in the log");
}

#[test]
fn wrong_keys_of_inference_and_management_count_together() {
    let plane = TestPlane::start();
    let guesser = plane.with_key("local1");
    let chat = |client: &crate::plane::Client| client.chat("dedi/demo", "hi").status;
    let statuses: Vec<u16> =
        (0..10).map(|n| if n % 2 == 0 { chat(&guesser) } else { guesser.get("/endpoints").status }).collect();
    assert_eq!(statuses, [401, 403, 401, 403, 401, 403, 401, 403, 401, 403]);
    assert_eq!((chat(&guesser), guesser.get("/endpoints").status), (429, 429));
    assert_eq!((chat(&plane), plane.get("/endpoints").status), (400, 200), "a valid key is never locked out");
}

#[test]
fn a_second_host_header_is_refused() {
    use std::io::{Read, Write};
    let plane = TestPlane::start();
    let ask = |hosts: &str| {
        let mut stream = std::net::TcpStream::connect(plane.address()).unwrap();
        write!(stream, "GET /healthz HTTP/1.1\r\n{hosts}connection: close\r\n\r\n").unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        said
    };
    assert!(ask("host: localhost\r\n").starts_with("HTTP/1.1 200 "));
    for second in ["localhost", "evil.example"] {
        let said = ask(&format!("host: localhost\r\nhost: {second}\r\n"));
        assert!(said.starts_with("HTTP/1.1 400 ") && said.contains("more than one Host"), "{said}");
    }
}
