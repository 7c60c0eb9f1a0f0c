//! Where the programs are that tests start.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// The fake engine's program, built first if need be.
///
/// # Panics
/// If it can't be built.
pub fn fake_engine() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| program("dedi-testing", "dedi-fake-engine")).clone()
}

/// A program of another package of this workspace. Cargo names only a package's own programs to its tests,
/// so this one is built into the folder that the running test lies in.
///
/// # Panics
/// If it can't be built.
#[expect(clippy::expect_used, clippy::panic, reason = "for tests, which end here")]
pub fn program(package: &str, name: &str) -> PathBuf {
    // <target>/<profile>/deps/<test>
    let test = std::env::current_exe().expect("the test has a path");
    let profile_dir = test.parent().and_then(|it| it.parent()).expect("the test lies in a profile's folder");
    let target = profile_dir.parent().expect("the profile's folder lies in the target folder");
    let profile = match profile_dir.file_name().and_then(|it| it.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--quiet", "--package", package, "--bin", name, "--profile", profile])
        .arg("--target-dir")
        .arg(target)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .output()
        .expect("cargo runs");
    assert!(built.status.success(), "{name} was not built: {}", String::from_utf8_lossy(&built.stderr));
    let program = profile_dir.join(name);
    if !program.is_file() {
        panic!("{} is not there", program.display());
    }
    program
}
