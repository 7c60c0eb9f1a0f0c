//! What must hold of any answer that a hub gives to the question what a model consists of.

use super::listing;
use super::select::select;
use super::source::Source;

/// Each file that would be fetched has a plain name of its own, a size and a hash.
pub fn listing(input: &[u8]) {
    let Ok(listing) = listing::read(input) else { return };
    assert!(listing.commit.bytes().all(|it| it.is_ascii_hexdigit()), "{}", listing.commit);
    assert!(listing.license.chars().count() <= 64);
    let sources = ["org/name", "org/name@main", "org/name:Q4_K_M"];
    for source in sources.into_iter().filter_map(|it| Source::parse(it).ok()) {
        let Ok(wanted) = select(&source, &listing.files, &[]) else { continue };
        assert!(!wanted.is_empty());
        let mut names = Vec::new();
        for it in &wanted {
            assert!(!it.name.is_empty() && !it.name.contains('/') && !it.name.starts_with('.'), "{it:?}");
            assert!(listing.files.iter().any(|listed| listed.path == it.path), "{it:?}");
            names.push(&it.name);
        }
        names.sort();
        names.dedup();
        assert_eq!(names.len(), wanted.len(), "two files would have one name: {wanted:?}");
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn fuzz_corpus_of_listings_holds() {
        dedi_testing::replay("listing", super::listing);
    }
}
