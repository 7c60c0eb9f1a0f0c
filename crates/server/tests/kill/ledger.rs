//! What was asked for and acknowledged. A request without a reply leaves two possibilities; what the database
//! then shows must be one of them.

use crate::snapshot::{EndpointRow, Snapshot};

/// What an endpoint was asked to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Deleted, or not created yet.
    Gone,
    /// Started with that many replicas.
    Run(i64),
    /// Stopped, with that many when it is started.
    Stopped(i64),
}

impl Wish {
    pub(crate) fn size(self) -> i64 {
        match self {
            Self::Gone => 0,
            Self::Run(n) | Self::Stopped(n) => n,
        }
    }

    fn of(row: Option<&EndpointRow>) -> Self {
        match row {
            None => Self::Gone,
            Some(it) if it.deleted => Self::Gone,
            Some(it) if it.run == "STARTED" => Self::Run(it.min_replicas),
            Some(it) => Self::Stopped(it.min_replicas),
        }
    }
}

/// One endpoint's account.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Its display name, which the client chose: an endpoint whose create was not answered is known by it.
    pub(crate) tag: String,
    pub(crate) id: Option<String>,
    /// One, or two after a request without a reply.
    possible: Vec<Wish>,
}

/// All accounts of a plane.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    entries: Vec<Entry>,
}

impl Ledger {
    pub(crate) fn open(&mut self, tag: &str) {
        self.entries.push(Entry { tag: tag.to_owned(), id: None, possible: vec![Wish::Gone] });
    }

    pub(crate) fn entry(&self, tag: &str) -> &Entry {
        self.entries.iter().find(|it| it.tag == tag).unwrap()
    }

    fn entry_mut(&mut self, tag: &str) -> &mut Entry {
        self.entries.iter_mut().find(|it| it.tag == tag).unwrap()
    }

    /// It was answered: this and nothing else.
    pub(crate) fn acknowledged(&mut self, tag: &str, wish: Wish, id: Option<&str>) {
        let entry = self.entry_mut(tag);
        entry.possible = vec![wish];
        entry.id = id.map(str::to_owned).or(entry.id.take());
    }

    /// It was not answered.
    pub(crate) fn unknown(&mut self, tag: &str, wish: Wish) {
        self.entry_mut(tag).possible.push(wish);
    }

    /// What is wanted of it; after [`Ledger::settle`] there is one answer.
    pub(crate) fn wish(&self, tag: &str) -> Wish {
        *self.entry(tag).possible.last().unwrap()
    }

    /// Takes what the database shows for the truth where both were possible. The database of a server that
    /// runs can't go back on it, so it is one possibility from here on.
    pub(crate) fn settle(&mut self, snapshot: &Snapshot) {
        for entry in &mut self.entries {
            let row = snapshot.endpoints.iter().find(|it| it.display_name == entry.tag);
            let shown = Wish::of(row);
            if entry.possible.contains(&shown) {
                entry.possible = vec![shown];
            }
            if let Some(row) = row {
                entry.id = Some(row.id.clone());
            }
        }
    }

    /// Acknowledged things that the database does not show, and things that nobody asked for.
    pub(crate) fn lost(&self, snapshot: &Snapshot) -> Vec<String> {
        let mut lost = Vec::new();
        for entry in &self.entries {
            let rows: Vec<&EndpointRow> =
                snapshot.endpoints.iter().filter(|it| it.display_name == entry.tag).collect();
            let shown = Wish::of(rows.first().copied());
            if rows.len() > 1 || !entry.possible.contains(&shown) {
                lost.push(format!(
                    "{} is {shown:?} in {} row(s), not {:?}",
                    entry.tag,
                    rows.len(),
                    entry.possible
                ));
            }
            let is_other = rows.first().is_some_and(|row| entry.id.as_ref().is_some_and(|id| *id != row.id));
            if is_other {
                lost.push(format!("{} has another id than the one acknowledged", entry.tag));
            }
        }
        for row in &snapshot.endpoints {
            if !self.entries.iter().any(|it| it.tag == row.display_name) {
                lost.push(format!("{} was never asked for", row.display_name));
            }
            if snapshot.erased.contains(&row.id) {
                lost.push(format!("{} came back after it was erased", row.display_name));
            }
        }
        lost
    }

    /// Replicas that should run in all once things have settled.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Forgets endpoints that are gone for good.
    pub(crate) fn close_gone(&mut self) {
        self.entries.retain(|it| it.possible != [Wish::Gone]);
    }
}

impl Entry {
    /// How its row must look once everything has settled; a sentence if it does not yet.
    pub(crate) fn unsettled(&self, snapshot: &Snapshot) -> Option<String> {
        let tag = &self.tag;
        let row = snapshot.endpoints.iter().find(|it| it.display_name == *tag);
        let replicas: Vec<_> =
            snapshot.replicas.iter().filter(|it| row.is_some_and(|row| row.id == it.endpoint)).collect();
        let row = row?;
        if row.deleted {
            return Some(format!("{tag} is deleted and not erased yet, with {} replica(s)", replicas.len()));
        }
        let (state, n_wanted) = match Wish::of(Some(row)) {
            Wish::Run(n) => ("STARTED", n),
            Wish::Gone | Wish::Stopped(_) => ("STOPPED", 0),
        };
        let is_up = |it: &crate::snapshot::ReplicaRow| {
            it.intent == "run" && it.seen && it.ready_at.is_some() && it.n_devices == 1
        };
        let n_up = replicas.iter().filter(|it| is_up(it)).count();
        let is_exact = i64::try_from(n_up) == Ok(n_wanted) && replicas.len() == n_up;
        let is_shown = row.published == state && row.generation == row.observed_generation;
        (!is_exact || !is_shown).then(|| {
            format!(
                "{tag} is {} with {n_up} of {} replica(s) up, wanted {state} with {n_wanted}",
                row.published,
                replicas.len()
            )
        })
    }
}
