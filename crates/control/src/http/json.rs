//! Reads a body into a contract type, or says which field is wrong. Fields that are not known are ignored, since SDKs
//! send some; a key that is there twice is refused wherever it is, since its two readers would each see another value.

use std::collections::HashSet;
use std::fmt;

use serde::de::{self, Deserialize, DeserializeOwned, Deserializer, MapAccess, SeqAccess, Visitor};

use super::error::ApiError;

/// Refuses what is not one JSON object, or has a key twice.
pub(super) fn must_be_object(body: &[u8]) -> Result<(), ApiError> {
    let _unambiguous: Unambiguous = serde_json::from_slice(body)
        .map_err(|err| ApiError::request(format!("The request body is not valid JSON: {err}")))?;
    if body.iter().find(|it| !it.is_ascii_whitespace()) != Some(&b'{') {
        return Err(ApiError::request("The request body must be a JSON object"));
    }
    Ok(())
}

/// Reads what [`must_be_object`] has let through.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let mut input = serde_json::Deserializer::from_slice(body);
    serde_path_to_error::deserialize(&mut input).map_err(|err| wrong_type(&err))
}

fn wrong_type(err: &serde_path_to_error::Error<serde_json::Error>) -> ApiError {
    let text = err.inner().to_string();
    let expected = text.rsplit_once(", expected ").map_or(text.as_str(), |(_, it)| it);
    let expected = expected.split(" at line ").next().unwrap_or_default();
    let path = err.path().to_string();
    let (field, wanted) = match path.split_once('[') {
        Some((list, _)) => (list, "a list of strings"),
        None => (path.as_str(), expected),
    };
    let wanted = match wanted {
        "a boolean" => "true or false",
        "a sequence" => "a list of strings",
        other => other,
    };
    ApiError::field(field, format!("{field} must be {wanted}"))
}

/// JSON in which no object has a key twice. Depth is bounded by the parser, at 128.
struct Unambiguous;

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Unambiguous {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E>(self, _it: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _it: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _it: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _it: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _it: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self, A::Error> {
        while let Some(Self) = seq.next_element()? {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        let mut keys = HashSet::new();
        while let Some((key, Self)) = map.next_entry::<String, Self>()? {
            if let Some(twice) = keys.replace(key) {
                return Err(de::Error::custom(format_args!(
                    "the key `{}` is there twice",
                    twice.escape_debug()
                )));
            }
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use dedi_api::{CreateEndpointRequest, CreateKeyRequest, CreatePullRequest, ShareModelRequest};

    use super::*;

    fn refusal<T: DeserializeOwned + fmt::Debug>(body: &str) -> (Option<String>, String) {
        let refused = read::<T>(body.as_bytes()).unwrap_err();
        let ApiError::Invalid { param, message, .. } = refused else { panic!("{refused:?}") };
        (param, message)
    }

    #[test]
    fn a_wrong_type_is_refused_by_the_path_of_its_field() {
        for (body, param, wanted) in [
            (r#"{"model":7}"#, "model", "a string"),
            (r#"{"model":["x, expected y at line 1"]}"#, "model", "a string"),
            (r#"{"display_name":{}}"#, "display_name", "a string"),
            (r#"{"inactive_timeout":"5"}"#, "inactive_timeout", "an integer"),
            (r#"{"inactive_timeout":1.5}"#, "inactive_timeout", "an integer"),
            (r#"{"inactive_timeout":true}"#, "inactive_timeout", "an integer"),
            (r#"{"disable_speculative_decoding":1}"#, "disable_speculative_decoding", "true or false"),
            (r#"{"disable_prompt_cache":"true"}"#, "disable_prompt_cache", "true or false"),
            (r#"{"autoscaling":[1,2]}"#, "autoscaling", "an object"),
            (r#"{"autoscaling":7}"#, "autoscaling", "an object"),
            (r#"{"autoscaling":{"max_replicas":"2"}}"#, "autoscaling.max_replicas", "an integer"),
            (r#"{"autoscaling":{"min_replicas":1e20}}"#, "autoscaling.min_replicas", "an integer"),
        ] {
            let expected = (Some(param.to_owned()), format!("{param} must be {wanted}"));
            assert_eq!(refusal::<CreateEndpointRequest>(body), expected, "{body}");
        }
        let models = (Some("models".to_owned()), "models must be a list of strings".to_owned());
        for body in [r#"{"models":"a/b"}"#, r#"{"models":["a/b",1]}"#, r#"{"models":{}}"#] {
            assert_eq!(refusal::<CreateKeyRequest>(body), models, "{body}");
        }
        assert_eq!(refusal::<ShareModelRequest>(r#"{"holders":[1]}"#).0.as_deref(), Some("holders"));
        assert_eq!(refusal::<CreatePullRequest>(r#"{"model":1}"#).1, "model must be a string");
    }

    #[test]
    fn absent_and_null_are_told_apart_where_that_matters() {
        let create = |body: &str| read::<CreateEndpointRequest>(body.as_bytes()).unwrap();
        assert_eq!(create("{}").inactive_timeout, None);
        assert_eq!(create(r#"{"inactive_timeout":null}"#).inactive_timeout, Some(None));
        assert_eq!(create(r#"{"inactive_timeout":60.0}"#).inactive_timeout, Some(Some(60)));
        let huge = create(r#"{"inactive_timeout":18446744073709551615}"#);
        assert_eq!(huge.inactive_timeout, Some(Some(i64::MAX)), "its check names the limit");
        assert_eq!(create(r#"{"model":null,"autoscaling":null}"#), CreateEndpointRequest::default());
        let share = |body: &str| read::<ShareModelRequest>(body.as_bytes()).unwrap().holders;
        assert_eq!((share("{}"), share(r#"{"holders":null}"#)), (None, Some(None)));
        assert_eq!(read::<CreatePullRequest>(br#"{"model":null}"#).unwrap().model, "");
    }

    #[test]
    fn what_is_not_known_is_ignored_but_not_what_is_ambiguous() {
        assert!(read::<CreateKeyRequest>(br#"{"x":{"y":[1,{"z":null}]},"role":null}"#).is_ok());
        for body in [r#"{"x":1,"x":1}"#, r#"{"x":[{"y":{"z":1,"z":2}}]}"#, r#"{"a":1,"\u0061":2}"#] {
            let refused = must_be_object(body.as_bytes()).unwrap_err();
            let ApiError::Invalid { param, message, .. } = refused else { panic!("{refused:?}") };
            assert!(param.is_none() && message.contains("is there twice"), "{body}: {message}");
        }
    }
}
