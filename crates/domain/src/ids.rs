//! Names of things. Each prints the way the wire shows it, and two kinds cannot be swapped.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Why a text is not the name it should be; reads as the end of a sentence about the field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidName(pub String);

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Uuid);

        impl $name {
            /// The id around a random (version 4) UUID drawn by the caller.
            pub fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID without its prefix.
            pub fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "-{}"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                text.strip_prefix(concat!($prefix, "-"))
                    .filter(|it| it.len() == 36 && !it.bytes().any(|byte| byte.is_ascii_uppercase()))
                    .and_then(|it| Uuid::try_parse(it).ok())
                    .map(Self)
                    .ok_or_else(|| InvalidName(format!(concat!("`{}` is not of the form ", $prefix, "-<uuid>"), text)))
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
                out.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(input)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

uuid_id!(
    /// An endpoint, `endpoint-<uuid>`.
    EndpointId,
    "endpoint"
);
uuid_id!(
    /// One replica of an endpoint, `replica-<uuid>`. Each launch attempt is a replica of its own.
    ReplicaId,
    "replica"
);
uuid_id!(
    /// What tells one launched process from every other: drawn before the launch, written into the
    /// process's environment, echoed by its health answer.
    Nonce,
    "nonce"
);

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;

            fn try_from(text: String) -> Result<Self, InvalidName> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(it: $name) -> Self {
                it.0
            }
        }
    };
}

text_id!(
    /// A tenant: the account slug that owns endpoints and keys.
    Owner
);
text_id!(
    /// A model, `<org>/<name>`, as clients name it and as the model store lays it out.
    ModelName
);
text_id!(
    /// The name inference requests use, `<owner>/<model>-<8 hex>`; unique and never changed.
    EndpointName
);

text_id!(
    /// A kind of engine, as endpoints name it; `dedi` is the one that comes with dedi.
    EngineKind
);

impl EngineKind {
    /// Accepts `[a-z0-9-]{1,32}`.
    ///
    /// # Errors
    ///
    /// What it may be, for every other text.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let fits = (1..=32).contains(&text.len())
            && text.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-');
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidName("an engine's name is 1 to 32 of a-z, 0-9 and `-`".to_owned()))
        }
    }
}

impl Default for EngineKind {
    /// The embedded engine.
    fn default() -> Self {
        Self("dedi".to_owned())
    }
}

impl Owner {
    /// Accepts `[a-z0-9-]{1,39}`.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let fits = (1..=39).contains(&text.len())
            && text.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-');
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidName("an owner is 1 to 39 of a-z, 0-9 and `-`".to_owned()))
        }
    }
}

/// Longest model name, in bytes.
pub const MODEL_NAME_BYTES_MAX: usize = 192;

impl ModelName {
    /// Accepts `<org>/<name>`, each part of `[A-Za-z0-9._-]`, starting with a letter or digit. This is
    /// also what makes a model name safe as a relative path: no part can be `.` or `..`.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let part_fits = |part: &str| {
            part.bytes().next().is_some_and(|it| it.is_ascii_alphanumeric())
                && part.bytes().all(|it| it.is_ascii_alphanumeric() || matches!(it, b'.' | b'_' | b'-'))
        };
        let fits = text.len() <= MODEL_NAME_BYTES_MAX
            && text.split_once('/').is_some_and(|(org, name)| part_fits(org) && part_fits(name));
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidName(format!(
                "a model is `<org>/<name>`, each of letters, digits, `.`, `_` and `-`, at most {MODEL_NAME_BYTES_MAX} bytes"
            )))
        }
    }

    /// The part before the slash.
    pub fn org(&self) -> &str {
        self.0.split_once('/').map_or("", |(org, _)| org)
    }

    /// The part after the slash.
    pub fn base(&self) -> &str {
        self.0.split_once('/').map_or(self.as_str(), |(_, name)| name)
    }
}

impl EndpointName {
    /// `<owner>/<model>-<suffix>`; the owner is not repeated for a model that already begins with it.
    pub fn compose(owner: &Owner, model: &ModelName, suffix: u32) -> Self {
        if model.org() == owner.as_str() {
            Self(format!("{model}-{suffix:08x}"))
        } else {
            Self(format!("{owner}/{model}-{suffix:08x}"))
        }
    }

    /// Accepts what [`EndpointName::compose`] makes: two or three parts and an eight-digit hex suffix.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let suffix_fits = text.rsplit_once('-').is_some_and(|(_, suffix)| {
            suffix.len() == 8 && suffix.bytes().all(|it| it.is_ascii_digit() || (b'a'..=b'f').contains(&it))
        });
        let n_parts = text.split('/').count();
        if suffix_fits && (2..=3).contains(&n_parts) && text.len() <= 256 {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidName(format!("`{text}` is not of the form <owner>/<model>-<8 hex digits>")))
        }
    }
}

/// A machine that devices and replicas are on. Where dedi runs replicas on its own host alone, that is
/// [`NodeId::LOCAL`], which has no name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeId(Option<std::sync::Arc<str>>);

impl NodeId {
    /// The host that this program runs on.
    pub const LOCAL: Self = Self(None);

    /// Accepts a DNS name, `^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$` of at most 253 bytes, and the empty text for
    /// [`NodeId::LOCAL`].
    ///
    /// # Errors
    ///
    /// What a name may be, for every other text.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let is_inner = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit();
        let fits = text.len() <= 253
            && text.bytes().all(|it| is_inner(it) || matches!(it, b'.' | b'-'))
            && [text.bytes().next(), text.bytes().last()].into_iter().flatten().all(is_inner);
        match fits {
            true if text.is_empty() => Ok(Self::LOCAL),
            true => Ok(Self(Some(text.into()))),
            false => Err(InvalidName(format!("`{text}` is not the name of a node"))),
        }
    }

    /// Its name; empty for [`NodeId::LOCAL`].
    pub fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }

    /// Whether it is the host that this program runs on.
    pub fn is_local(&self) -> bool {
        self.0.is_none()
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_deref().unwrap_or("this host"))
    }
}

impl TryFrom<String> for NodeId {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        Self::parse(&text)
    }
}

impl From<NodeId> for String {
    fn from(it: NodeId) -> Self {
        it.as_str().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_names_are_dns_names_and_the_local_one_is_empty() {
        for name in ["", "a", "gpu-1", "node.example.org"] {
            assert_eq!(NodeId::parse(name).unwrap().as_str(), name);
        }
        assert!(NodeId::parse("").unwrap().is_local());
        for bad in ["A", "a/b", "-a", "a.", "a b", &"a".repeat(254)] {
            assert!(NodeId::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ids_print_as_they_parse() {
        let id: EndpointId = "endpoint-d23901de-ef8f-44bf-b3e7-de9c1ca8f2d7".parse().unwrap();
        assert_eq!(id.to_string(), "endpoint-d23901de-ef8f-44bf-b3e7-de9c1ca8f2d7");
        assert!("endpoint-D23901DE-EF8F-44BF-B3E7-DE9C1CA8F2D7".parse::<EndpointId>().is_err());
        assert!("replica-d23901de-ef8f-44bf-b3e7-de9c1ca8f2d7".parse::<EndpointId>().is_err());
        assert!("endpoint-d23901deef8f44bfb3e7de9c1ca8f2d7".parse::<EndpointId>().is_err());
    }

    #[test]
    fn a_model_name_is_safe_as_a_path() {
        assert!(ModelName::parse("dedi/demo").is_ok());
        assert!(ModelName::parse("meta-llama/Llama-3.3-70B").is_ok());
        for bad in ["demo", "../x", "a/..", "a/b/c", "/a/b", "a/", "a/.hidden", "a/b\0", "a\\b/c", ""] {
            assert!(ModelName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_endpoint_name_does_not_repeat_its_owner() {
        let owner = Owner::parse("devuser").unwrap();
        let name =
            |model| EndpointName::compose(&owner, &ModelName::parse(model).unwrap(), 0xa32b_82a1).to_string();
        assert_eq!(name("deepseek-ai/DeepSeek-R1"), "devuser/deepseek-ai/DeepSeek-R1-a32b82a1");
        assert_eq!(name("devuser/mine"), "devuser/mine-a32b82a1");
        assert!(EndpointName::parse(&name("devuser/mine")).is_ok());
    }
}
