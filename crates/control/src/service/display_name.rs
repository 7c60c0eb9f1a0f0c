//! Names for people: one way to write each, and nothing in them that can't be seen.

use unicode_normalization::UnicodeNormalization;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

/// Most characters of a name for people.
const CHARS_MAX: usize = 256;

/// Why a text is no name for people; follows the field's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum UnfitName {
    #[error(
        "may not have characters that can't be seen, such as control characters and marks of zero width or of direction; \
         it has U+{:04X}",
        u32::from(*.0)
    )]
    Hidden(char),
    #[error("may have {CHARS_MAX} characters, it has {n_chars}")]
    TooLong { n_chars: usize },
}

/// The name in its composed form (NFC), or what is wrong with it.
pub(super) fn check_display_name(text: &str) -> Result<String, UnfitName> {
    if let Some(hidden) = text.chars().find(|it| is_hidden(*it)) {
        return Err(UnfitName::Hidden(hidden));
    }
    // One more tells too long; a name of megabytes is not composed for that.
    let composed: String = text.nfc().take(CHARS_MAX + 1).collect();
    if composed.chars().count() > CHARS_MAX {
        return Err(UnfitName::TooLong { n_chars: text.chars().count() });
    }
    Ok(composed)
}

/// Control characters, line separators, and formatting marks: zero width, joiners, direction and its overrides, tags.
fn is_hidden(it: char) -> bool {
    matches!(
        it.general_category(),
        GeneralCategory::Control
            | GeneralCategory::Format
            | GeneralCategory::LineSeparator
            | GeneralCategory::ParagraphSeparator
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use unicode_normalization::is_nfc;

    use super::*;

    #[test]
    fn a_name_is_kept_in_its_composed_form() {
        assert_eq!(check_display_name("Cafe\u{301} am Rhein 🚀").unwrap(), "Café am Rhein 🚀");
        assert_eq!(check_display_name("مرحبا").unwrap(), "مرحبا");
        assert_eq!(check_display_name("").unwrap(), "");
        // 256 letters in 512 characters before they are composed.
        assert!(check_display_name(&"e\u{301}".repeat(256)).is_ok());
        assert!(check_display_name(&"e\u{301}".repeat(257)).is_err());
        assert!(check_display_name(&"e".repeat(10_000)).is_err());
    }

    #[test]
    fn what_cannot_be_seen_is_refused() {
        for hidden in [
            '\0',
            '\n',
            '\u{7f}',
            '\u{85}',
            '\u{ad}',
            '\u{61c}',
            '\u{200b}',
            '\u{200d}',
            '\u{200e}',
            '\u{202e}',
            '\u{2028}',
            '\u{2060}',
            '\u{2066}',
            '\u{feff}',
            '\u{e0041}',
        ] {
            let said = check_display_name(&format!("a{hidden}b")).unwrap_err().to_string();
            assert!(said.contains(&format!("U+{:04X}", u32::from(hidden))), "{said}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_taken_is_composed_short_and_visible(text in any::<String>()) {
            if let Ok(name) = check_display_name(&text) {
                prop_assert!(is_nfc(&name) && !name.chars().any(is_hidden));
                prop_assert!(name.chars().count() <= CHARS_MAX);
                prop_assert_eq!(check_display_name(&name).unwrap(), name);
            } else {
                prop_assert!(text.chars().any(is_hidden) || text.chars().count() > CHARS_MAX);
            }
        }
    }
}
