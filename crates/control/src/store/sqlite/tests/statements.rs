//! Every statement is prepared by SQLite against the present schema, and takes as many values as are bound to it. The
//! sources are read for them, so none can be missed because no test runs it: SQL outside of `sql!` is refused.

use std::path::{Path, PathBuf};

use sqlx::{Either, Executor, SqlStr, Statement};
use uuid::Uuid;

use super::super::SqliteStore;
use crate::store::Upkeep as _;
use crate::store::conformance::NOW;

/// Statements that there must at least be.
const N_STATEMENTS_MIN: usize = 80;
/// What a statement begins with.
const VERBS: [&str; 12] = [
    "ALTER ", "BEGIN ", "CREATE ", "DELETE ", "DROP ", "INSERT ", "PRAGMA ", "REPLACE ", "SELECT ",
    "UPDATE ", "VACUUM ", "WITH ",
];

/// A string in a source, and what is around it.
#[derive(Debug)]
struct Text {
    line: usize,
    value: String,
    before: String,
    after: String,
}

impl Text {
    fn is_marked(&self) -> bool {
        self.before.trim_end().ends_with("sql!(")
    }

    fn is_sql(&self) -> bool {
        VERBS.iter().any(|it| self.value.trim_start().starts_with(it))
    }

    /// How many values are bound where the statement stands in the call that runs it.
    fn n_bound(&self) -> Option<usize> {
        let is_in_call = self.before.trim_end().strip_suffix("sql!(")?.trim_end().ends_with('(');
        let runs = [".fetch", ".execute"].iter().filter_map(|it| self.after.find(it)).min()?;
        let call = &self.after[..runs];
        (is_in_call && !call.contains(';')).then(|| call.matches(".bind(").count())
    }
}

/// The strings of a source. Comments have none; a character may be a quotation mark.
fn texts(source: &str) -> Vec<Text> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(next) = source[at..].chars().next() {
        let rest = &source[at..];
        if rest.starts_with("//") {
            at += rest.find('\n').unwrap_or(rest.len());
        } else if rest.starts_with("'\"'") {
            at += 3;
        } else if rest.starts_with("r#\"") {
            panic!("a raw string, which is not read here: {}", rest.lines().next().unwrap());
        } else if next == '"' {
            let (value, n_bytes) = string(&rest[1..]);
            let end = at + 1 + n_bytes;
            found.push(Text {
                line: source[..at].matches('\n').count() + 1,
                value,
                before: source[..at].to_owned(),
                after: source[end..].to_owned(),
            });
            at = end;
        } else {
            at += next.len_utf8();
        }
    }
    found
}

/// A string's value and its length in the source, the closing quotation mark included.
fn string(source: &str) -> (String, usize) {
    let mut value = String::new();
    let mut chars = source.char_indices().peekable();
    while let Some((at, it)) = chars.next() {
        match it {
            '"' => return (value, at + 1),
            '\\' => match chars.next().unwrap().1 {
                '\n' => while chars.next_if(|it| it.1.is_whitespace()).is_some() {},
                'n' => value.push('\n'),
                escaped @ ('"' | '\\' | '\'') => value.push(escaped),
                'u' => while chars.next().unwrap().1 != '}' {},
                other => panic!("an escape that is not read here: {other}"),
            },
            plain => value.push(plain),
        }
    }
    panic!("a string without an end");
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|it| it == "rs") {
            found.push(path);
        }
    }
}

/// The crate's sources but for its tests, by their path below `src`.
fn shipped() -> Vec<(String, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    let shipped = files.iter().filter_map(|path| {
        let name = path.strip_prefix(&src).unwrap().to_str().unwrap().to_owned();
        let is_test = ["tests/", "testing/", "store/sqlite/tests/"].iter().any(|it| name.starts_with(it));
        let text = std::fs::read_to_string(path).unwrap();
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap().to_owned();
        (!is_test).then_some((name, text))
    });
    shipped.collect()
}

#[test]
fn sql_stands_in_the_sqlite_store_only_and_is_marked() {
    let mut n_files = 0;
    for (name, text) in shipped() {
        if !name.starts_with("store/sqlite/") {
            assert!(!text.contains("sqlx::"), "{name} uses the database beside the store");
            continue;
        }
        n_files += 1;
        for it in texts(&text) {
            assert!(
                it.is_marked() || !it.is_sql(),
                "{name}:{} is SQL outside of sql!: {}",
                it.line,
                it.value
            );
        }
        for call in ["sqlx::query(", "sqlx::query_as(", "sqlx::query_scalar(", "begin_with(", "raw_sql("] {
            let mut calls = text.split(call).skip(1);
            assert!(
                calls.all(|it| !it.trim_start().starts_with('"')),
                "{name} has {call} with a bare string"
            );
        }
        for way in ["AssertSqlSafe", "QueryBuilder", "format!(\"SELECT", "sqlx::query!"] {
            assert!(!text.contains(way), "{name} makes SQL with {way}, which is not checked here");
        }
    }
    assert!(n_files > 15, "only {n_files} files were read");
}

#[tokio::test]
async fn every_statement_is_one_for_the_present_schema() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&dir.path().join("state.db"), Uuid::new_v4(), NOW).await.unwrap();
    let (mut n_statements, mut n_counted) = (0, 0);
    let mut wrong = Vec::new();
    for (name, text) in shipped().into_iter().filter(|(name, _)| name.starts_with("store/sqlite/")) {
        for it in texts(&text).iter().filter(|it| it.is_marked()) {
            n_statements += 1;
            let prepared = store.reader.prepare(SqlStr::from_static(it.value.clone().leak())).await;
            let n_taken = match &prepared {
                Ok(statement) => match statement.parameters() {
                    Some(Either::Right(n)) => n,
                    Some(Either::Left(known)) => known.len(),
                    None => 0,
                },
                Err(err) => {
                    wrong.push(format!("{name}:{}: {err}", it.line));
                    continue;
                }
            };
            if let Some(n_bound) = it.n_bound() {
                n_counted += 1;
                if n_bound != n_taken {
                    wrong.push(format!("{name}:{}: takes {n_taken} values and gets {n_bound}", it.line));
                }
            }
        }
    }
    store.close().await;
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(n_statements >= N_STATEMENTS_MIN, "only {n_statements} statements were found");
    assert!(n_counted > n_statements / 2, "the values of only {n_counted} of {n_statements} were counted");
}

#[test]
fn a_statement_is_read_as_the_compiler_reads_it() {
    let source = "// \"no\"\nf(sql!(\"SELECT \\\"a\\\" \\\n    FROM b\")).bind('\"').bind(1).execute(x); g(\"DELETE x\");";
    let found = texts(source);
    assert_eq!(found.len(), 2);
    assert_eq!((found[0].line, found[0].value.as_str()), (2, "SELECT \"a\" FROM b"));
    assert!(found[0].is_marked() && found[0].is_sql());
    assert_eq!(found[0].n_bound(), Some(2));
    assert!(!found[1].is_marked() && found[1].is_sql());
}
