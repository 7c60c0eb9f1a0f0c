//! Whose a model is, and what each role may do with it. The table is printed in docs/roles.md.

use std::collections::BTreeSet;

use crate::ids::Owner;
use crate::keys::Role;

/// Who may see a model of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holders {
    /// It is the operator's, for all tenants: what was put into the store by hand, and what an admin fetched.
    Everyone,
    /// Those who fetched it, or whom the operator gave it.
    Tenants(BTreeSet<Owner>),
}

impl Holders {
    /// What the model is to a tenant.
    pub fn holding(&self, owner: &Owner) -> Holding {
        match self {
            Self::Everyone => Holding::Operators,
            Self::Tenants(tenants) if !tenants.contains(owner) => Holding::Foreign,
            Self::Tenants(tenants) if tenants.len() == 1 => Holding::Own,
            Self::Tenants(_) => Holding::Joint,
        }
    }

    /// Whether the tenant may know of it.
    pub fn shows(&self, owner: &Owner) -> bool {
        self.holding(owner) != Holding::Foreign
    }
}

/// What a model is to a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holding {
    /// Its alone.
    Own,
    /// Its and other tenants': one copy on the disk.
    Joint,
    /// The operator's, for everyone.
    Operators,
    /// Other tenants'.
    Foreign,
}

/// What can be done with a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelAct {
    /// See it in lists and plans.
    See,
    /// Create an endpoint of it.
    Deploy,
    /// Fetch it; of what is here, only the same revision.
    Pull,
    /// Fetch another revision in its place.
    Replace,
    /// Read its files again and compare.
    Verify,
    /// Take its files as they are now for right.
    Accept,
    /// Give it up, or call its download off; with its last holder its files go.
    Remove,
    /// Say whose it is.
    Share,
}

/// Whether something may be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Yes,
    /// Refused, and said so.
    Forbidden,
    /// The model is as absent as one that never was.
    Absent,
}

impl Holding {
    /// All, in the order of the table.
    pub const ALL: [Self; 4] = [Self::Own, Self::Joint, Self::Operators, Self::Foreign];
}

impl ModelAct {
    /// All, in the order of the table.
    pub const ALL: [Self; 8] = [
        Self::See,
        Self::Deploy,
        Self::Pull,
        Self::Replace,
        Self::Verify,
        Self::Accept,
        Self::Remove,
        Self::Share,
    ];

    /// The least role that may do it with some model.
    fn least(self) -> Role {
        match self {
            Self::See => Role::Inference,
            Self::Deploy => Role::Developer,
            Self::Pull | Self::Replace | Self::Verify | Self::Accept | Self::Remove => Role::Owner,
            Self::Share => Role::Admin,
        }
    }

    /// What it is called in a refusal.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::See => "see models",
            Self::Deploy => "create endpoints",
            Self::Pull => "fetch models",
            Self::Replace => "put another revision in its place",
            Self::Verify => "verify models",
            Self::Accept => "accept its files as they are",
            Self::Remove => "remove models",
            Self::Share => "say whose a model is",
        }
    }

    /// Whether a key of this role may do it with a model that is so much its tenant's.
    pub fn verdict(self, role: Role, holding: Holding) -> Verdict {
        if role < self.least() {
            return Verdict::Forbidden;
        }
        if role == Role::Admin {
            return Verdict::Yes;
        }
        match (holding, self) {
            // Whether it exists is not said; the hub decides whether there is such a model.
            (Holding::Foreign, Self::Pull) => Verdict::Yes,
            (Holding::Foreign, _) => Verdict::Absent,
            (Holding::Own, _) => Verdict::Yes,
            // What others rely on stays as it is.
            (Holding::Joint, Self::Replace | Self::Accept) => Verdict::Forbidden,
            (Holding::Operators, Self::Replace | Self::Accept | Self::Remove) => Verdict::Forbidden,
            (
                Holding::Joint,
                Self::See | Self::Deploy | Self::Pull | Self::Verify | Self::Remove | Self::Share,
            )
            | (Holding::Operators, Self::See | Self::Deploy | Self::Pull | Self::Verify | Self::Share) => {
                Verdict::Yes
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table as docs/roles.md prints it: `yes`, `403` or `404` for own, joint, the operator's and foreign models.
    fn table() -> String {
        let word = |it| match it {
            Verdict::Yes => "yes",
            Verdict::Forbidden => "403",
            Verdict::Absent => "404",
        };
        let mut text = String::new();
        for act in ModelAct::ALL {
            for role in Role::ALL {
                let cells = Holding::ALL.map(|it| word(act.verdict(role, it)));
                text.push_str(&format!("| {act:?} | {} | {} |\n", role.as_str(), cells.join(" | ")));
            }
        }
        text
    }

    #[test]
    fn model_rights_are_those_of_the_printed_table() {
        let printed = include_str!("../../../docs/roles.md");
        let n_rows = ModelAct::ALL.len() * Role::ALL.len();
        let rows: Vec<&str> = printed
            .lines()
            .filter(|it| ModelAct::ALL.iter().any(|act| it.starts_with(&format!("| {act:?} |"))))
            .collect();
        assert_eq!(rows.len(), n_rows);
        assert_eq!(rows.join("\n") + "\n", table());
    }

    #[test]
    fn model_right_of_a_stronger_role_is_never_less() {
        for act in ModelAct::ALL {
            for holding in Holding::ALL {
                let may = Role::ALL.map(|role| act.verdict(role, holding) == Verdict::Yes);
                assert!(may.is_sorted(), "{act:?} {holding:?}");
            }
        }
    }
}
