//! Which revision of a model an endpoint was created with, in sentences.

use dedi_domain::ModelName;

/// `revision 0123456789ab`.
pub(crate) fn revision(pin: &str) -> String {
    format!("revision {}", pin.chars().take(12).collect::<String>())
}

/// Why an endpoint must not load what is here; `None` where it may.
pub(crate) fn mismatch(model: &ModelName, pinned: &str, here: Option<&str>) -> Option<String> {
    if here == Some(pinned) {
        return None;
    }
    let is = here.map_or("files that came from no hub".to_owned(), revision);
    Some(format!(
        "{model} in the model store is {is}, but the endpoint was created with {}; nothing else is loaded. Fetch that \
         one again, or take the new one with `dedi models pull {model} --replace`, which says so to each endpoint",
        revision(pinned)
    ))
}
