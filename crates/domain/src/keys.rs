//! API keys: `dedi_<10 base62 id>_<43 base62 secret>_<6 base62 checksum>`. Stored are the id and the SHA-256 of
//! the whole text; 43 random base62 digits (256 bits) need no stretching.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::ids::{InvalidName, Owner};
use crate::scope::Scope;
use crate::time::Timestamp;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const ID_DIGITS: usize = 10;
const SECRET_DIGITS: usize = 43;
const CHECKSUM_DIGITS: usize = 6;

/// A key's public part: safe in logs, lists and paths.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(pub String);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a key allows. Ordered: each role can do what those before it can, except as its line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Inference only; reads nothing of the control plane.
    Inference,
    /// Reads the control plane; no inference.
    Viewer,
    /// Creates, updates, starts, stops; no delete, no keys.
    Developer,
    /// Everything of its own tenant.
    Owner,
    /// Everything of its own tenant, and the host: keys of other tenants, models.
    Admin,
}

impl Role {
    /// All roles, weakest first.
    pub const ALL: [Self; 5] = [Self::Inference, Self::Viewer, Self::Developer, Self::Owner, Self::Admin];

    /// The word on the wire and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inference => "inference",
            Self::Viewer => "viewer",
            Self::Developer => "developer",
            Self::Owner => "owner",
            Self::Admin => "admin",
        }
    }

    /// The role of that word.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        Self::ALL.into_iter().find(|it| it.as_str() == text).ok_or_else(|| {
            InvalidName(format!("`{text}` is not a role; use inference, viewer, developer, owner or admin"))
        })
    }

    /// May ask an endpoint for tokens.
    pub fn may_infer(self) -> bool {
        self != Self::Viewer
    }

    /// May read endpoints, hardware and models.
    pub fn may_read(self) -> bool {
        self != Self::Inference
    }

    /// May create, update, start and stop endpoints.
    pub fn may_change(self) -> bool {
        self >= Self::Developer
    }

    /// May delete endpoints and manage its tenant's keys.
    pub fn may_delete(self) -> bool {
        self >= Self::Owner
    }
}

/// Who a request comes from, after its key was checked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Principal {
    /// The tenant; every look-up is inside it.
    pub owner: Owner,
    /// Which key.
    pub key: KeyId,
    /// What it may do.
    pub role: Role,
    /// What it may touch.
    pub scope: Scope,
}

/// A whole key as text. Its `Debug` shows the id only.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyText(String);

impl fmt::Debug for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyText({}…)", self.id())
    }
}

impl KeyText {
    /// A key from 53 random bytes each of which picks a digit. The caller draws bytes below 248 only,
    /// so that no digit is likelier than another.
    pub fn from_random(bytes: &[u8; ID_DIGITS + SECRET_DIGITS]) -> Self {
        let digits: String =
            bytes.iter().map(|it| char::from(BASE62[usize::from(*it) % BASE62.len()])).collect();
        let (id, secret) = digits.split_at(ID_DIGITS);
        Self(format!("dedi_{id}_{secret}_{}", checksum(id, secret)))
    }

    /// Checks form and checksum; says nothing about whether the key exists.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let fits = text.len() == 5 + ID_DIGITS + 1 + SECRET_DIGITS + 1 + CHECKSUM_DIGITS && text.is_ascii();
        let mut parts = text.strip_prefix("dedi_").unwrap_or_default().split('_');
        match (fits, parts.next(), parts.next(), parts.next(), parts.next()) {
            (true, Some(id), Some(secret), Some(sum), None)
                if id.len() == ID_DIGITS
                    && secret.len() == SECRET_DIGITS
                    && id.bytes().chain(secret.bytes()).all(|it| BASE62.contains(&it))
                    && sum == checksum(id, secret) =>
            {
                Ok(Self(text.to_owned()))
            }
            _ => Err(InvalidName("the text is not of the form of an API key".to_owned())),
        }
    }

    /// The public part.
    pub fn id(&self) -> KeyId {
        KeyId(self.0.split('_').nth(1).unwrap_or_default().to_owned())
    }

    /// What the store keeps.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.0.as_bytes()).into()
    }

    /// The secret text, for showing it once.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// Six base62 digits over id and secret (FNV-1a, 64 bit): lets scanners and typing mistakes be told
/// without asking the store. No secret depends on it.
fn checksum(id: &str, secret: &str) -> String {
    let mut sum = id.bytes().chain(secret.bytes()).fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mut digits = String::with_capacity(CHECKSUM_DIGITS);
    for _ in 0..CHECKSUM_DIGITS {
        let digit = usize::try_from(sum % 62).unwrap_or(0);
        digits.push(char::from(BASE62[digit]));
        sum /= 62;
    }
    digits
}

/// A stored key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    /// SHA-256 of the key's text.
    pub hash: [u8; 32],
    /// Its tenant.
    pub owner: Owner,
    /// What it allows.
    pub role: Role,
    /// Not valid from this time on.
    pub expires_at: Option<Timestamp>,
    /// What of its tenant it may touch.
    pub scope: Scope,
}

/// The valid keys, by id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyTable {
    keys: BTreeMap<KeyId, KeyRecord>,
}

impl FromIterator<(KeyId, KeyRecord)> for KeyTable {
    fn from_iter<T: IntoIterator<Item = (KeyId, KeyRecord)>>(keys: T) -> Self {
        Self { keys: keys.into_iter().collect() }
    }
}

impl KeyTable {
    /// Who the bearer of `text` is. The same answer, after the same work, for a key that is malformed,
    /// unknown, expired or wrong.
    pub fn check(&self, text: &str, now: Timestamp) -> Option<Principal> {
        let key = KeyText::parse(text).ok()?;
        let id = key.id();
        let record = self.keys.get(&id);
        let stored = record.map_or([0; 32], |it| it.hash);
        let same = same_bytes(&stored, &key.hash());
        record.filter(|it| same && it.expires_at.is_none_or(|end| now < end)).map(|it| Principal {
            owner: it.owner.clone(),
            key: id,
            role: it.role,
            scope: it.scope.clone(),
        })
    }

    /// Whether a key that was checked once is still one.
    pub fn is_valid(&self, key: &KeyId, now: Timestamp) -> bool {
        self.keys.get(key).is_some_and(|it| it.expires_at.is_none_or(|end| now < end))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// The tenants that have one.
    pub fn owners(&self) -> BTreeSet<&Owner> {
        self.keys.values().map(|it| &it.owner).collect()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

/// Compares in a time that does not depend on where the first difference is.
fn same_bytes(a: &[u8; 32], b: &[u8; 32]) -> bool {
    a.iter().zip(b).fold(0, |difference, (x, y)| difference | (x ^ y)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> KeyText {
        KeyText::from_random(&[seed; ID_DIGITS + SECRET_DIGITS])
    }

    #[test]
    fn a_key_parses_as_it_prints_and_a_typing_mistake_is_told() {
        let text = key(7).reveal().to_owned();
        assert_eq!(KeyText::parse(&text).unwrap().hash(), key(7).hash());
        assert!(KeyText::parse(&text.replacen('7', "8", 1)).is_err());
        assert!(KeyText::parse("local").is_err());
        assert!(!format!("{:?}", key(7)).contains(&text[17..]));
    }

    #[test]
    fn only_the_right_unexpired_key_is_somebody() {
        let owner = Owner::parse("team").unwrap();
        let record = |key: &KeyText, expires_at| {
            (
                key.id(),
                KeyRecord {
                    hash: key.hash(),
                    owner: owner.clone(),
                    role: Role::Admin,
                    expires_at,
                    scope: Scope::default(),
                },
            )
        };
        let table = KeyTable::from_iter([record(&key(1), None), record(&key(2), Some(Timestamp(10)))]);
        assert_eq!(table.check(key(1).reveal(), Timestamp(99)).unwrap().owner, owner);
        assert!(table.check(key(2).reveal(), Timestamp(9)).is_some());
        assert!(table.check(key(2).reveal(), Timestamp(10)).is_none());
        assert!(table.check(key(3).reveal(), Timestamp(0)).is_none());
        assert!(table.check("dedi_", Timestamp(0)).is_none());
    }
}
