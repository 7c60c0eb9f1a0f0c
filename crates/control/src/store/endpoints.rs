//! Desired state: what tenants read and change. Each method names the tenant, directly or by a row of its own; another's
//! row is not there.

use async_trait::async_trait;
use dedi_domain::{Desired, EndpointId, EndpointName, Owner, Timestamp};

use super::audit::Actor;
use super::error::StoreError;
use super::events::EventKind;

/// What tenants want. Every write is one transaction together with its event and its audit entry, and is durable when the
/// method returns; one that failed changed nothing.
#[async_trait]
pub trait EndpointStore: Send + Sync {
    /// Writes a new endpoint, unless the request that made it is known already or the owner has as many as it may.
    ///
    /// # Errors
    ///
    /// Only the store's own. An id or a name that was erased is refused: it never comes back.
    async fn insert_endpoint(&self, new: &NewEndpoint, now: Timestamp) -> Result<Inserted, StoreError>;

    /// The tenant's endpoint of that id or name.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] where the tenant has none, or it was deleted.
    async fn endpoint(&self, owner: &Owner, key: &EndpointKey) -> Result<Desired, StoreError>;

    /// All endpoints of the tenant that can be read, newest first; deleted ones are left out.
    async fn endpoints(&self, owner: &Owner) -> Result<Vec<Desired>, StoreError>;

    /// Compare-and-set: writes `change` if the row is still as in `before` in owner, generation and published state, and
    /// answers the row with its next generation. The caller reads again and decides anew on a conflict.
    ///
    /// A start is stamped later than every failure before it, even one of the same millisecond.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] if the row has moved on or was deleted since it was read.
    async fn update_endpoint(
        &self,
        before: &Desired,
        change: Change,
        by: &Actor,
        now: Timestamp,
    ) -> Result<Desired, StoreError>;
}

/// How a request names an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndpointKey {
    /// By id.
    Id(EndpointId),
    /// By name.
    Name(EndpointName),
}

impl EndpointKey {
    /// The key in `text`, if it has the form of one.
    pub fn parse(text: &str) -> Option<Self> {
        text.parse().map(Self::Id).or_else(|_| EndpointName::parse(text).map(Self::Name)).ok()
    }

    /// Its id and its name; the one that it does not say is empty, as nothing is called.
    pub(super) fn parts(&self) -> (String, String) {
        match self {
            Self::Id(id) => (id.to_string(), String::new()),
            Self::Name(name) => (String::new(), name.to_string()),
        }
    }
}

/// An endpoint to be, with the request that made it.
#[derive(Clone, Debug)]
pub struct NewEndpoint {
    /// All of it; generation 1.
    pub desired: Desired,
    /// By what a repetition of the request is known.
    pub idempotency: Option<Idempotency>,
    /// Most endpoints its owner may have.
    pub quota: u32,
    /// Which revision of its model it is to serve, where that is known.
    pub pin: Option<String>,
    /// Caller who asked for it, as the audit log records them.
    pub by: Actor,
}

/// By what a repeated create is known.
#[derive(Clone, Debug)]
pub struct Idempotency {
    /// The client's `Idempotency-Key`, or a mark of our own that no client can send.
    pub key: String,
    /// The SHA-256 of the request.
    pub body_hash: [u8; 32],
    /// Answers older than this do not count.
    pub since: Timestamp,
    /// Whether the key is a mark of ours: the same request may be meant as another endpoint.
    pub is_ours: bool,
    /// The endpoint that this mark of ours led to before, where the caller has found that the request does not repeat
    /// it: the new one takes its place. Another endpoint that came between is [`Inserted::Before`] again.
    pub instead_of: Option<EndpointId>,
}

/// What became of an insert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// It is stored.
    New,
    /// This idempotency key made this endpoint before.
    Before(EndpointId),
    /// This idempotency key was used with another body.
    OtherBody,
    /// The owner has as many as it may.
    QuotaFull,
}

/// A change of a row by a request.
#[derive(Clone, Debug)]
pub struct Change {
    /// The row as it is to be; its generation is the store's to say.
    pub after: Desired,
    /// What the history calls it.
    pub kind: EventKind,
    /// A sentence for the history and the audit log.
    pub message: String,
}
