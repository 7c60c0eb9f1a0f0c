//! A runtime that is not open: what the server opens, and what is looked at beside it.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use dedi_domain::Inventory;

use crate::{Runtime, RuntimeError};

/// A runtime as it is configured.
#[async_trait]
pub trait RuntimeProvider: Send + Sync {
    /// Opens it, and finds the replicas that an earlier server left. It may be opened again after it was shut down.
    async fn open(&self) -> Result<Arc<dyn Runtime>, RuntimeError>;

    /// Looks at replicas and devices and changes nothing, beside a server or where replicas are somebody else's.
    async fn survey(&self) -> Result<Survey, RuntimeError>;

    /// How far replicas can be kept apart here, tried out.
    async fn isolation(&self) -> Vec<Finding>;
}

/// What was seen beside a server.
#[derive(Debug)]
pub struct Survey {
    /// The devices there are.
    pub inventory: Result<Inventory, RuntimeError>,
    /// Replicas that run, by the isolation level that they have.
    pub levels: BTreeMap<u8, u64>,
    /// Records of another installation's replicas, which are neither listed nor ended here.
    pub n_foreign: u64,
}

/// What was found out about this installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It is as it should be; a sentence.
    Good(String),
    /// It is worth knowing; a sentence.
    Note(String),
    /// It keeps endpoints from running; a sentence, and what to do about it.
    Bad(String, String),
}
