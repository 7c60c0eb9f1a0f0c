//! Validates the parts of a body that the contract's types skip: UTF-8 text, well-formed numbers, and no duplicate keys
//! in an object, since parsers disagree about which one counts.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::error::ApiError;

/// Keys of one object. A schema of a thousand fields is far below; each key costs its entry while it is compared.
const KEYS_MAX: usize = 16_384;
/// Longest path in an error message, in characters.
const PATH_CHARS_MAX: usize = 256;

/// Refuses a body that is not JSON throughout.
pub(crate) fn check(body: &[u8]) -> Result<(), ApiError> {
    let fault = RefCell::new(None);
    let mut input = serde_json::Deserializer::from_slice(body);
    let walked = Walk { at: &At::Root, fault: &fault }.deserialize(&mut input).and_then(|()| input.end());
    match (walked, fault.into_inner()) {
        (Ok(()), _) => Ok(()),
        (Err(_), Some((param, message))) => Err(ApiError::Invalid { param: Some(param), message }),
        (Err(err), None) => Err(ApiError::Invalid {
            param: None,
            message: format!("The request body is not valid JSON: {err}"),
        }),
    }
}

/// Where in the body something is.
enum At<'a> {
    Root,
    Key(&'a At<'a>, &'a str),
    Item(&'a At<'a>, usize),
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Key(Self::Root, key) => write!(f, "{}", key.escape_debug()),
            Self::Key(before, key) => write!(f, "{before}.{}", key.escape_debug()),
            Self::Item(before, item) => write!(f, "{before}[{item}]"),
        }
    }
}

type Fault = RefCell<Option<(String, String)>>;

/// Reads one value and keeps nothing of it.
struct Walk<'a> {
    at: &'a At<'a>,
    fault: &'a Fault,
}

impl Walk<'_> {
    fn wrong<E: Error>(&self, at: &At<'_>, what: &str) -> E {
        let path: String = at.to_string().chars().take(PATH_CHARS_MAX).collect();
        let message = format!("`{path}`: {what}");
        self.fault.replace(Some((path, message)));
        E::custom(what)
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let mut n = 0;
        while items.next_element_seed(Walk { at: &At::Item(self.at, n), fault: self.fault })?.is_some() {
            n += 1;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut keys: HashSet<Cow<'de, str>> = HashSet::new();
        while let Some(key) = map.next_key_seed(Key)? {
            let at = At::Key(self.at, &key);
            if keys.contains(&key) {
                return Err(self.wrong(&at, "the key is there twice; send it once"));
            }
            if keys.len() == KEYS_MAX {
                let what = format!("the object has more than {KEYS_MAX} keys; send fewer");
                return Err(self.wrong(self.at, &what));
            }
            map.next_value_seed(Walk { at: &at, fault: self.fault })?;
            keys.insert(key);
        }
        Ok(())
    }
}

/// An object's key, borrowed where it has no escapes.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Self::Value, D::Error> {
        input.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, it: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(it))
    }

    fn visit_str<E>(self, it: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(it.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(body: &[u8]) -> (Option<String>, String) {
        match check(body) {
            Err(ApiError::Invalid { param, message }) => (param, message),
            other => panic!("{other:?} of {}", String::from_utf8_lossy(body)),
        }
    }

    #[test]
    fn strict_duplicate_key_is_named_by_its_path() {
        for (body, path) in [
            (r#"{"logit_bias":{"5":1,"5":-100}}"#, "logit_bias.5"),
            (r#"{"logit_bias":{"5":1,"\u0035":-100}}"#, "logit_bias.5"),
            (r#"{"user":"a","user":"b"}"#, "user"),
            (r#"{"messages":[{},{"content":"a","content":"b"}]}"#, "messages[1].content"),
            (r#"{"x":[[{"y":{"z":1,"z":1}}]]}"#, "x[0][0].y.z"),
        ] {
            let (param, message) = refusal(body.as_bytes());
            assert_eq!(param.as_deref(), Some(path), "{body}");
            assert!(message.contains(path) && message.contains("twice"), "{message}");
        }
        assert!(check(br#"{"a":{"x":1},"b":{"x":1},"c":[{"x":1},{"x":1}]}"#).is_ok());
    }

    #[test]
    fn strict_skipped_fields_must_be_json_too() {
        for body in [
            b"{\"x\":\"\xff\"}".as_slice(),
            b"{\"\xc3\x28\":1}",
            b"{\"x\":\"\xed\xa0\x80\"}",
            br#"{"x":"\ud800"}"#,
            br#"{"x":"\udc00\ud800"}"#,
            br#"{"x":NaN}"#,
            br#"{"x":-Infinity}"#,
            br#"{"x":1e999}"#,
            br#"{"x":01}"#,
            br#"{"x":1} "#.strip_suffix(b" ").map_or(b"", |_| br#"{"x":1} {}"#),
            b"\xef\xbb\xbf{}",
            b"{\"x\":\"\x01\"}",
            b"",
        ] {
            let (param, message) = refusal(body);
            assert_eq!(param, None, "{message}");
            assert!(message.contains("not valid JSON"), "{message}");
        }
        for body in
            [r#"{"x":"\ud83d\ude00 é"}"#, r#"{"x":123456789012345678901234567890,"y":-0.0e-5}"#, " {} \n"]
        {
            assert!(check(body.as_bytes()).is_ok(), "{body}");
        }
    }

    #[test]
    fn strict_object_with_too_many_keys_is_refused() {
        let object = |n: usize| {
            let keys: Vec<String> = (0..n).map(|it| format!("\"{it}\":0")).collect();
            format!("{{\"x\":{{{}}}}}", keys.join(","))
        };
        assert!(check(object(KEYS_MAX).as_bytes()).is_ok());
        let (param, message) = refusal(object(KEYS_MAX + 1).as_bytes());
        assert_eq!(param.as_deref(), Some("x"));
        assert!(message.contains("16384"), "{message}");
    }
}
