//! Where the programs are that tests start.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The root of the tree whose tests run. Asked of cargo when they do: what is built in a target folder that several
/// clones share may come from another one, which may be gone.
///
/// # Panics
/// If it is not there.
#[expect(clippy::expect_used, reason = "for tests, which end here")]
pub fn tree() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&package).join("../..").canonicalize().expect("the package lies in `crates`")
}

/// The bundled demo model's weights.
pub fn demo_model() -> PathBuf {
    tree().join("models/dedi/demo/demo.gguf")
}

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
pub fn program(package: &str, name: &str) -> PathBuf {
    built(package, &["--bin", name], name)
}

/// The library that stands in for NVIDIA's, built first if need be. It reads its GPUs from the JSON file that
/// `DEDI_FAKE_NVML` names.
///
/// # Panics
/// If it can't be built.
pub fn fake_nvml() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| built("dedi-fake-nvml", &["--lib"], "libdedi_fake_nvml.so")).clone()
}

/// The program that supervises a replica, as it is shipped but for the failpoints at which a test kills it; built first
/// if need be.
///
/// # Panics
/// If it can't be built.
pub fn shim() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT
        .get_or_init(|| {
            let folder = BuildFolder::of_this_test();
            // A release refuses to be built with them.
            let failpoints = ["--features", "dedi-shim/failpoints"];
            let failpoints = if cfg!(debug_assertions) { &failpoints[..] } else { &[] };
            let made_of = ["shim/src", "shim/Cargo.toml", "domain/src", "failpoint/src", "replica-logs/src"];
            let mut build = Command::new(tree().join("scripts/build-shim"));
            folder.built("dedi-shim", &made_of, build.arg("--quiet").args(failpoints))
        })
        .clone()
}

fn built(package: &str, target: &[&str], file: &str) -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--quiet", "--package", package]).args(target);
    BuildFolder::of_this_test().built(file, &[package_folder(package)], &mut build)
}

/// The folder that the running test lies in, where programs go that tests start.
struct BuildFolder {
    folder: PathBuf,
}

impl BuildFolder {
    #[expect(clippy::expect_used, reason = "for tests, which end here")]
    fn of_this_test() -> Self {
        // <target>/<profile>/deps/<test>
        let test = std::env::current_exe().expect("the test has a path");
        let folder = test.parent().and_then(|it| it.parent()).expect("the test lies in a profile's folder");
        Self { folder: folder.to_owned() }
    }

    /// The file in it, made by `build` if it is older than what it is made of: paths below `crates`.
    #[expect(clippy::expect_used, reason = "for tests, which end here")]
    fn built(&self, file: &str, made_of: &[&str], build: &mut Command) -> PathBuf {
        let path = self.folder.join(file);
        let crates = tree().join("crates");
        // Not asking cargo when there is nothing to do: it would wait for whoever else is building.
        if is_newer(&path, made_of.iter().map(|it| crates.join(it)).collect()) {
            return path;
        }
        let profile = match self.folder.file_name().and_then(|it| it.to_str()) {
            Some("debug") | None => "dev",
            Some(name) => name,
        };
        let ran = build
            .args(["--profile", profile, "--target-dir"])
            .arg(self.folder.parent().expect("the profile's folder lies in the target folder"))
            .current_dir(tree())
            .output()
            .expect("cargo runs");
        assert!(ran.status.success(), "{file} was not built: {}", String::from_utf8_lossy(&ran.stderr));
        assert!(path.is_file(), "{} is not there", path.display());
        path
    }
}

/// `dedi-testing` lies in `crates/testing`.
fn package_folder(package: &str) -> &str {
    package.strip_prefix("dedi-").unwrap_or(package)
}

/// Whether the program is newer than every file of those folders. Other packages' changes are not seen; the
/// programs that tests start hang on none that would matter.
fn is_newer(program: &Path, mut made_of: Vec<PathBuf>) -> bool {
    let Ok(built_at) = program.metadata().and_then(|it| it.modified()) else { return false };
    while let Some(path) = made_of.pop() {
        let Ok(meta) = path.metadata() else { return false };
        if meta.is_dir() {
            let Ok(entries) = std::fs::read_dir(&path) else { return false };
            made_of.extend(entries.flatten().map(|it| it.path()));
        } else if meta.modified().is_ok_and(|it| it > built_at) {
            return false;
        }
    }
    true
}
