use async_trait::async_trait;
use dedi_domain::{Owner, Timestamp};

use super::{MemoryStore, Tables};
use crate::store::{AUDIT_TEXT_CHARS_MAX, AuditEntry, AuditRecord, AuditStore, Page, StoreError};

#[async_trait]
impl AuditStore for MemoryStore {
    async fn audit(
        &self,
        owner: Option<&Owner>,
        page: Page,
        limit: u32,
    ) -> Result<Vec<AuditRecord>, StoreError> {
        let tables = self.read()?;
        let of = tables
            .audit
            .iter()
            .filter(|it| owner.is_none_or(|own| it.owner.as_deref() == Some(own.as_str())));
        let limit = limit as usize;
        Ok(match page {
            Page::After(after) => of.filter(|it| it.id > after).take(limit).cloned().collect(),
            Page::Newest => {
                let mut newest: Vec<_> = of.rev().take(limit).cloned().collect();
                newest.reverse();
                newest
            }
        })
    }

    async fn add_audit(&self, entry: &AuditEntry, now: Timestamp) -> Result<(), StoreError> {
        self.write()?.audit(entry, now);
        Ok(())
    }

    async fn forget_audit(&self, before: Timestamp) -> Result<u64, StoreError> {
        let mut tables = self.write()?;
        let n_all = tables.audit.len();
        tables.audit.retain(|it| it.at >= before.0);
        Ok((n_all - tables.audit.len()) as u64)
    }
}

impl Tables {
    pub(super) fn audit(&mut self, entry: &AuditEntry, now: Timestamp) {
        let short = |text: &str| text.chars().take(AUDIT_TEXT_CHARS_MAX).collect::<String>();
        self.n_audit += 1;
        let by = entry.by.key();
        self.audit.push(AuditRecord {
            id: self.n_audit,
            at: now.0,
            owner: entry.owner.as_ref().map(|it| it.as_str().to_owned()),
            key: by.map(|(_, key)| key.0.clone()),
            by_owner: by.map(|(owner, _)| owner.as_str().to_owned()),
            action: entry.action.as_str().to_owned(),
            object: short(&entry.object),
            message: short(&entry.message),
        });
    }
}
