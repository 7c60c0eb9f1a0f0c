//! The page of reasons and the code name the same codes, no more and no fewer.

use std::collections::BTreeSet;

use dedi_api::{PullCode, RefusalCode};
use dedi_domain::{EndReason, ReasonCode};

/// The codes that the page lists under some of its headings.
fn listed(headings: &[&str]) -> Vec<&'static str> {
    let page = include_str!("../../../../docs/reasons.md");
    let sections = page.split("\n## ").filter(|it| headings.iter().any(|heading| it.starts_with(heading)));
    let lines = sections.flat_map(str::lines);
    lines.filter_map(|it| it.strip_prefix("| `")?.split_once('`')).map(|(code, _)| code).collect()
}

fn must_be(headings: &[&str], known: impl Iterator<Item = &'static str>) {
    let (listed, known) = (listed(headings), known.collect::<BTreeSet<_>>());
    assert_eq!(listed.iter().copied().collect::<BTreeSet<_>>(), known, "{headings:?}");
    assert_eq!(listed.len(), known.len(), "a code is listed twice");
}

#[test]
fn the_page_of_reasons_lists_exactly_the_codes_there_are() {
    let states = ["On the way up", "On the way down", "When something is wrong"];
    must_be(&states, ReasonCode::ALL.iter().map(|it| it.as_str()));
    must_be(&["Why a replica is ended"], EndReason::PLANNED.iter().map(|it| it.code()));
    must_be(&["Refusals"], RefusalCode::ALL.iter().map(|it| it.as_str()));
    must_be(&["Downloads"], PullCode::ALL.iter().map(|it| it.as_str()));
}
