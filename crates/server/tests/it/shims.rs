//! The program that supervises a replica: which one it is, what it is made of, and what it takes.

use std::path::PathBuf;

use crate::fakes;
use crate::plane::{TestPlane, dedi};

/// The only shim of the plane, and its program.
fn shim(plane: &TestPlane) -> (u32, PathBuf) {
    let shims = plane.shims();
    assert_eq!(shims.len(), 1);
    (shims[0], std::fs::read_link(format!("/proc/{}/exe", shims[0])).unwrap())
}

/// What `dedi doctor` says of it.
fn doctor(plane: &TestPlane) -> Vec<String> {
    let (_, said, _) = plane.cli(&["doctor"]);
    said.lines().filter(|it| it.contains(" shim: ")).map(str::to_owned).collect()
}

#[test]
fn a_shim_is_a_program_of_its_own_without_libraries_and_keeps_little_in_memory() {
    /// What each shim takes for itself, in KiB. Some 250 in a release and 310 in a test build: buffers, the records,
    /// stacks. A hundred long lines of log are 100 more, a host with many mounts some.
    const OWN_KIB_MAX: u64 = 512;
    /// With its code, which all shims share, in KiB. Some 1,750 in a release and 2,450 in a test build.
    const RESIDENT_KIB_MAX: u64 = 4 << 10;
    let plane = TestPlane::start();
    let id = plane.create("1x_cpu_1gb", 1, 1)["id"].as_str().unwrap().to_owned();
    plane.until_state(&id, "STARTED");
    let (pid, program) = shim(&plane);
    assert_eq!(program, dedi().canonicalize().unwrap().with_file_name("dedi-shim"));
    let read = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap();
    let maps = read("maps");
    let mapped = |line: &&str| line.split_whitespace().nth(5).is_some_and(|it| it.starts_with('/'));
    let files: Vec<&str> = maps.lines().filter(mapped).collect();
    let is_own = |line: &&str| line.ends_with(program.to_str().unwrap());
    assert!(
        !files.is_empty() && files.iter().all(is_own),
        "not static, as `make build-test` makes it: {maps}"
    );

    let sizes = read("smaps_rollup");
    let kib = |name: &str| -> u64 {
        let line = sizes.lines().find_map(|it| it.strip_prefix(name)).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    };
    println!("resident {} KiB, of them {} KiB its own", kib("Rss:"), kib("Anonymous:"));
    assert!(kib("Anonymous:") < OWN_KIB_MAX, "{sizes}");
    assert!(kib("Rss:") < RESIDENT_KIB_MAX, "{sizes}");
    assert_eq!(std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().count(), 1);
    let said = doctor(&plane);
    assert!(said[0].starts_with("ok ") && said[0].contains(program.to_str().unwrap()), "{said:#?}");
    assert!(said[1].starts_with("ok ") && said[1].ends_with("statically linked"), "{said:#?}");
}

#[test]
fn the_server_itself_is_a_shim_where_that_is_asked_for_and_doctor_says_what_it_costs() {
    let plane = fakes::plane_with(&format!("shim = {:?}\n", dedi().display().to_string()), "", "");
    let id = fakes::create(&plane, "ok");
    plane.until_state(&id, "STARTED");
    assert_eq!(shim(&plane).1, dedi().canonicalize().unwrap());
    let said = doctor(&plane);
    assert!(said[1].starts_with("note ") && said[1].contains("needs shared libraries"), "{said:#?}");
}
