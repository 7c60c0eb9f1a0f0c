//! The two tenants of every life: their names, their keys, and what must not be told of one to the other.

use std::sync::Arc;

use dedi_domain::keys::{KeyRecord, KeyTable, KeyText};
use dedi_domain::{EndpointName, ModelName, Owner, Role, Scope};

use crate::trace::{Checked, broken};

/// What an engine has logged and a hub has answered: prompts and tokens may be in it.
pub(crate) const OVERHEARD: &str = "prompt-or-token";

#[derive(Clone, Debug)]
pub(crate) struct Tenant {
    pub(crate) owner: Owner,
    pub(crate) endpoint: EndpointName,
    pub(crate) key: KeyText,
}

#[derive(Clone, Debug)]
pub(crate) struct Tenants {
    pub(crate) both: [Tenant; 2],
    /// As the store keeps their keys.
    pub(crate) keys: Arc<KeyTable>,
    pub(crate) model: ModelName,
}

impl Tenants {
    pub(crate) fn new() -> Option<Self> {
        let model = ModelName::parse("dedi/demo").ok()?;
        let tenant = |slug: &str, digit: u8| {
            let owner = Owner::parse(slug).ok()?;
            let endpoint = EndpointName::compose(&owner, &model, u32::from(digit));
            Some(Tenant { owner, endpoint, key: KeyText::from_random(&[digit; 53]) })
        };
        let both = [tenant("heron", 1)?, tenant("osprey", 2)?];
        let record = |it: &Tenant| {
            let record = KeyRecord {
                hash: it.key.hash(),
                owner: it.owner.clone(),
                role: Role::Owner,
                expires_at: None,
                scope: Scope::default(),
            };
            (it.key.id(), record)
        };
        let keys = Arc::new(both.iter().map(record).collect());
        Some(Self { both, keys, model })
    }

    /// S17: a text that is stored or published holds no key.
    pub(crate) fn check_secret(&self, text: &str) -> Checked {
        if text.is_empty() {
            return Ok(());
        }
        match self.both.iter().find(|it| text.contains(it.key.reveal())) {
            Some(it) => broken("S17", format!("the key {} is written down in full", it.key.id())),
            None => Ok(()),
        }
    }

    /// S13: a text that `owner` may read about the endpoint `id` names nobody else's things.
    pub(crate) fn check_told(&self, owner: &Owner, id: &str, text: &str) -> Checked {
        // No id and no owner's name is shorter.
        if text.len() < self.both[0].owner.as_str().len() {
            return Ok(());
        }
        let names_other = self.both.iter().any(|it| it.owner != *owner && text.contains(it.owner.as_str()));
        let mut ids = text.match_indices("endpoint-").map(|(at, _)| &text[at..]);
        if names_other || !ids.all(|it| it.starts_with(id)) {
            return broken("S13", format!("{id} of {owner} is told of others: {text}"));
        }
        Ok(())
    }
}
