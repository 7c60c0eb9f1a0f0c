//! What a completion goes on from.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::Text;

/// A lone text, or the texts of a list. Tokens are not taken: their numbers mean another text to each model.
#[derive(Clone, Debug, PartialEq)]
pub struct Prompt<'a>(pub Vec<Text<'a>>);

/// A text of a list, with an error message of its own.
struct Item<'a>(Text<'a>);

const EXPECTED: &str = "a string or an array of one string; this server takes texts, no token numbers";

impl<'de: 'a, 'a> Deserialize<'de> for Item<'a> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = Item<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(EXPECTED)
            }
            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Item<'de>, E> {
                Ok(Item(Text(Cow::Borrowed(text))))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Item<'de>, E> {
                Ok(Item(Text(Cow::Owned(text.to_owned()))))
            }
        }
        input.deserialize_any(Visit)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Prompt<'a> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = Prompt<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(EXPECTED)
            }
            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Prompt<'de>, E> {
                Ok(Prompt(vec![Text(Cow::Borrowed(text))]))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Prompt<'de>, E> {
                Ok(Prompt(vec![Text(Cow::Owned(text.to_owned()))]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut texts: A) -> Result<Prompt<'de>, A::Error> {
                let mut all = Vec::new();
                while let Some(Item(text)) = texts.next_element()? {
                    all.push(text);
                }
                Ok(Prompt(all))
            }
        }
        input.deserialize_any(Visit)
    }
}
