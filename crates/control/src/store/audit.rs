//! The audit log: who did what to which object. An entry is written in the transaction of the act, where there is one;
//! it holds ids and names, never a secret, a prompt or a body.

use async_trait::async_trait;
use dedi_domain::{KeyId, Owner, Principal, Timestamp};

use super::error::StoreError;

/// The audit log. No entry is ever changed, and none goes but by its age.
#[async_trait]
pub trait AuditStore: Send + Sync {
    /// Up to `limit` entries of a tenant's log, of all for `None`, oldest first.
    async fn audit(
        &self,
        owner: Option<&Owner>,
        page: Page,
        limit: u32,
    ) -> Result<Vec<AuditRecord>, StoreError>;

    /// Writes an entry that goes with no other write; durable when the method returns. Object and message are cut at
    /// [`AUDIT_TEXT_CHARS_MAX`].
    async fn add_audit(&self, entry: &AuditEntry, now: Timestamp) -> Result<(), StoreError>;

    /// Removes entries older than `before`; answers how many went. It may leave some for the next time.
    async fn forget_audit(&self, before: Timestamp) -> Result<u64, StoreError>;
}

/// Longest object and message, in characters: a path may be long.
pub const AUDIT_TEXT_CHARS_MAX: usize = 512;

/// Who acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor(Option<(Owner, KeyId)>);

impl Actor {
    /// The server itself, or who may do as it does on its host.
    pub const SERVER: Self = Self(None);

    /// The key that asked, and its tenant; `None` for the server.
    pub(super) fn key(&self) -> Option<(&Owner, &KeyId)> {
        self.0.as_ref().map(|(owner, key)| (owner, key))
    }
}

impl From<&Principal> for Actor {
    fn from(it: &Principal) -> Self {
        Self(Some((it.owner.clone(), it.key.clone())))
    }
}

macro_rules! audit_actions {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// What was done.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum AuditAction {
            $($(#[$doc])* $name,)*
        }

        impl AuditAction {
            /// Every action.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The word on the wire and in the store.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }
        }
    };
}

audit_actions! {
    /// An endpoint was created.
    EndpointCreate = "endpoint.create",
    /// Its name, bounds or timeout were changed.
    EndpointUpdate = "endpoint.update",
    /// It was told to start.
    EndpointStart = "endpoint.start",
    /// It was told to stop.
    EndpointStop = "endpoint.stop",
    /// It was told to go.
    EndpointDelete = "endpoint.delete",
    /// A model was asked for.
    ModelPull = "model.pull",
    /// A model, or a tenant's part of it, was removed, or its download called off.
    ModelRemove = "model.remove",
    /// A model's files were to be read again.
    ModelVerify = "model.verify",
    /// A model's files were to be taken as they are.
    ModelAccept = "model.accept",
    /// Whose a model is was changed.
    ModelShare = "model.share",
    /// A key was made.
    KeyCreate = "key.create",
    /// A key was revoked.
    KeyRevoke = "key.revoke",
    /// A key was refused what it has no right to.
    Refused = "refused",
    /// The database was copied.
    Backup = "backup",
}

/// An entry to be.
#[derive(Clone, Debug)]
pub struct AuditEntry {
    /// Whose log it is in; `None` for the host's.
    pub owner: Option<Owner>,
    /// Caller who acted.
    pub by: Actor,
    /// Recorded action.
    pub action: AuditAction,
    /// To what: an id or a name.
    pub object: String,
    /// What else there is to say.
    pub message: String,
}

/// An entry that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRecord {
    /// Grows.
    pub id: i64,
    /// When, as a stamp.
    pub at: i64,
    /// Whose log it is in.
    pub owner: Option<String>,
    /// The key that asked.
    pub key: Option<String>,
    /// The key's tenant.
    pub by_owner: Option<String>,
    /// A word of [`AuditAction`].
    pub action: String,
    /// To what.
    pub object: String,
    /// What else there is to say.
    pub message: String,
}

/// Where a page of entries is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// Those after this one, oldest first.
    After(i64),
    /// The newest, oldest of them first.
    Newest,
}
