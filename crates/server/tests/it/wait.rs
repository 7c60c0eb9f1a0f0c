//! `--wait` in a real process: what Ctrl-C does to it, and what it does not do to the endpoint.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use crate::fakes;
use crate::plane::{signal, until};

#[test]
fn ctrl_c_ends_the_wait_with_130_and_leaves_the_endpoint_alone() {
    let plane = fakes::plane("", "");
    fakes::add_model(&plane, "slow-load.600000");
    let mut child = plane
        .command(&[
            "endpoints",
            "create",
            "--model",
            "fake/slow-load.600000",
            "--hardware",
            "1x_cpu_1gb",
            "--wait",
            "--json",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    // It has made the endpoint and waits for it.
    while !said.contains("STARTING") {
        assert_ne!(told.read_line(&mut said).unwrap(), 0, "{said}");
    }
    signal(child.id(), "INT");
    let code = until("the end of the wait", || child.try_wait().unwrap()).code();
    told.read_to_string(&mut said).unwrap();
    assert_eq!(code, Some(130), "{said}");
    assert!(
        said.contains("the endpoint is unaffected") && said.contains("resume with `dedi endpoints"),
        "{said}"
    );
    let list = plane.get("/endpoints").body;
    assert_eq!(list["data"][0]["state"], "STARTING", "{list:#}");
    assert_eq!(plane.engines().len(), 1);
}
