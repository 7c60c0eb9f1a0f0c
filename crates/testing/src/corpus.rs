//! The inputs that are kept for a fuzz target.

use std::fs;

use crate::program::tree;

/// Hands each input of a target to `check`, which panics at what must not be. They lie in `fuzz/corpus/<target>`.
///
/// # Panics
/// If there is none, or one can't be read.
#[expect(clippy::panic, clippy::expect_used, reason = "a test without its inputs has failed")]
pub fn replay(target: &str, check: fn(&[u8])) {
    let folder = tree().join("fuzz/corpus").join(target);
    let listed = fs::read_dir(&folder).unwrap_or_else(|err| panic!("{}: {err}", folder.display()));
    let mut paths: Vec<_> = listed.map(|it| it.expect("its folder is listed").path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} is empty", folder.display());
    for path in paths {
        let input = fs::read(&path).unwrap_or_else(|err| panic!("{}: {err}", path.display()));
        // A panic is told with the name of its input.
        if let Err(panic) = std::panic::catch_unwind(|| check(&input)) {
            eprintln!("the input is {}", path.display());
            std::panic::resume_unwind(panic);
        }
    }
}
