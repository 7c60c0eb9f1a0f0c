use std::collections::BTreeSet;

use dedi_domain::ReasonCode;

#[test]
fn the_page_of_reasons_lists_exactly_the_codes_there_are() {
    let page = include_str!("../../../../docs/reasons.md");
    let listed: Vec<&str> =
        page.lines().filter_map(|it| it.strip_prefix("| `")?.split_once('`')).map(|(code, _)| code).collect();
    let known: BTreeSet<&str> = ReasonCode::ALL.iter().map(|it| it.as_str()).collect();
    assert_eq!(listed.iter().copied().collect::<BTreeSet<_>>(), known);
    assert_eq!(listed.len(), known.len(), "a code is listed twice");
}
