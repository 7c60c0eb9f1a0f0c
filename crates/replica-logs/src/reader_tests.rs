//! Logs that are rotated while they are read.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;

const MANY: usize = 1 << 20;

fn log() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("attempt-1.log");
    (dir, path)
}

/// As the shim does it, with three files.
fn rotate(path: &Path) {
    let _ = fs::rename(numbered(path, 1), numbered(path, 2));
    fs::rename(path, numbered(path, 1)).unwrap();
}

fn text(chunk: &FileChunk) -> &str {
    std::str::from_utf8(&chunk.bytes).unwrap()
}

fn last(path: &Path, lines: usize, bytes_max: usize) -> String {
    text(&tail(path, lines, bytes_max, false).unwrap().unwrap()).to_owned()
}

#[test]
fn a_tail_reads_on_in_the_files_before() {
    let (_dir, path) = log();
    assert_eq!(tail(&path, 9, MANY, false).unwrap(), None);
    fs::write(numbered(&path, 2), "one\ntwo\n").unwrap();
    fs::write(numbered(&path, 1), "three\nfour\n").unwrap();
    // Between two steps of a rotation there is no newest file.
    assert_eq!(last(&path, 3, MANY), "two\nthree\nfour\n");
    fs::write(&path, "five\n").unwrap();
    assert_eq!(last(&path, 1, MANY), "five\n");
    assert_eq!(last(&path, 4, MANY), "two\nthree\nfour\nfive\n");
    assert_eq!(last(&path, 9, MANY), "one\ntwo\nthree\nfour\nfive\n");
    // Few bytes: whole lines all the same.
    assert_eq!(last(&path, 9, 12), "four\nfive\n");
    assert_eq!(last(&path, 0, MANY), "");
}

#[test]
fn a_tail_of_many_blocks_is_exact() {
    let (_dir, path) = log();
    let lines = |range: std::ops::Range<usize>| -> String { range.map(|n| format!("line {n}\n")).collect() };
    fs::write(numbered(&path, 1), lines(0..40_000)).unwrap();
    fs::write(&path, lines(40_000..60_000)).unwrap();
    for n in [1, 100, 20_000, 20_001, 45_678, 60_000, 70_000] {
        assert!(last(&path, n, MANY) == lines(60_000_usize.saturating_sub(n)..60_000), "{n} lines");
    }
}

#[test]
fn a_line_that_is_being_written_is_given_out_when_it_is_whole_or_nothing_follows() {
    let (_dir, path) = log();
    fs::write(&path, "one\ntw").unwrap();
    let shown = tail(&path, 9, MANY, false).unwrap().unwrap();
    assert_eq!(text(&shown), "one\n");
    assert_eq!(text(&tail(&path, 9, MANY, true).unwrap().unwrap()), "one\ntw");
    assert_eq!(text(&follow(&path, shown.next, MANY, false).unwrap()), "");
    assert_eq!(text(&follow(&path, shown.next, MANY, true).unwrap()), "tw");
    fs::write(&path, "one\ntwo\nth").unwrap();
    assert_eq!(text(&follow(&path, shown.next, MANY, false).unwrap()), "two\n");
}

#[test]
fn a_follower_misses_nothing_when_the_log_is_rotated() {
    let (_dir, path) = log();
    let begin = follow(&path, FileCursor::default(), MANY, false).unwrap();
    assert_eq!(begin, FileChunk::default());
    fs::write(&path, "one\ntwo\n").unwrap();
    let mut at = tail(&path, 1, MANY, false).unwrap().unwrap().next;
    fs::write(&path, "one\ntwo\nthree\n").unwrap();
    rotate(&path);
    fs::write(&path, "four\n").unwrap();
    rotate(&path);
    fs::write(&path, "five\nsix\n").unwrap();
    let mut seen = String::new();
    for _ in 0..5 {
        let chunk = follow(&path, at.to_string().parse().unwrap(), 6, false).unwrap();
        seen.push_str(text(&chunk));
        at = chunk.next;
    }
    assert_eq!(seen, "three\nfour\nfive\nsix\n");
}

#[test]
fn a_follower_that_was_overtaken_says_so_and_goes_on_with_whole_lines() {
    let (_dir, path) = log();
    fs::write(&path, "one\n").unwrap();
    let at = tail(&path, 1, MANY, false).unwrap().unwrap().next;
    for n in 2..6 {
        rotate(&path);
        fs::write(&path, format!("a long line number {n}\n")).unwrap();
    }
    let mut chunk = follow(&path, at, MANY, false).unwrap();
    let mut seen = text(&chunk).to_owned();
    while !chunk.bytes.is_empty() {
        chunk = follow(&path, chunk.next, MANY, false).unwrap();
        seen.push_str(text(&chunk));
    }
    let lines: Vec<&str> = seen.lines().collect();
    assert!(lines[0].contains("lines are missing here"), "{seen}");
    assert_eq!(lines[1..], [3, 4, 5].map(|n| format!("a long line number {n}")), "{seen}");
}

/// With the shim's own writer, so that its names and its order of steps are the ones that are read.
#[test]
fn readers_beside_the_shims_writer_see_each_line_once() {
    let (_dir, path) = log();
    let n_lines = 20_000;
    let writer = path.clone();
    let writing = std::thread::spawn(move || {
        // 100 MiB are never reached: nothing may be dropped here.
        let mut log = crate::LogFile::open(&writer, 32 << 10, 3_000);
        for n in 0..n_lines {
            log.write(format!("line {n}\n").as_bytes());
        }
    });
    let (mut at, mut seen) = (FileCursor::default(), Vec::new());
    loop {
        let is_over = writing.is_finished();
        let chunk = follow(&path, at, MANY, is_over).unwrap();
        seen.extend_from_slice(&chunk.bytes);
        at = chunk.next;
        if chunk.bytes.is_empty() && is_over {
            break;
        }
    }
    writing.join().unwrap();
    let expected: String = (0..n_lines).map(|n| format!("line {n}\n")).collect();
    assert!(String::from_utf8(seen).unwrap() == expected);
}

#[test]
fn a_cursor_is_read_as_it_is_printed_and_nothing_else_is() {
    let cursor = FileCursor { file: FileId { inode: 77, made_at_ns: u64::MAX }, offset: 1 << 40 };
    assert_eq!(cursor.to_string().parse(), Ok(cursor));
    for wrong in ["", "1", "1-2", "1-2-x", "1-2-3-4", "1-2-", "-1-2-3"] {
        assert_eq!(wrong.parse::<FileCursor>(), Err(NoCursor), "{wrong}");
    }
}

#[test]
fn a_tail_has_whole_lines_only() {
    let text = b"a\nb\nc\n";
    let tail = |lines, inside| std::str::from_utf8(&text[tail_start(text, lines, inside)..]).unwrap();
    assert_eq!(tail(1, false), "c\n");
    assert_eq!(tail(2, false), "b\nc\n");
    assert_eq!(tail(9, false), "a\nb\nc\n");
    assert_eq!(tail(9, true), "b\nc\n");
    assert_eq!(tail(0, false), "");
    assert_eq!(tail_start(b"a\nb", 1, false), 2);
    assert_eq!(tail_start(b"", 3, true), 0);
}
