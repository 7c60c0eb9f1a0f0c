//! What of its tenant a key may touch: everything, or what its list names. What is outside is as absent as what never
//! was.

use std::sync::Arc;

use crate::ids::{EndpointId, EndpointName, InvalidName, ModelName};

/// Entries of one list: more than a host has models; each request walks through it.
pub const ENTRIES_MAX: usize = 100;

/// A key's list; the default is everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scope(Option<Arc<[Entry]>>);

/// One entry, which prints as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Entry {
    /// `ORG/*`: each model of an organisation, and the endpoints that serve one.
    Org(String),
    /// A model, with the endpoints that serve it.
    Model(ModelName),
    /// One endpoint.
    Name(EndpointName),
    /// One endpoint.
    Id(EndpointId),
}

impl Entry {
    fn parse(text: &str) -> Result<Self, InvalidName> {
        if let Some(org) = text.strip_suffix("/*") {
            // Any name of it has to be one.
            ModelName::parse(&format!("{org}/x"))?;
            return Ok(Self::Org(org.to_owned()));
        }
        let id = || text.parse().ok().map(Self::Id);
        let model = || ModelName::parse(text).ok().map(Self::Model);
        let name = || EndpointName::parse(text).ok().map(Self::Name);
        id().or_else(model).or_else(name).ok_or_else(|| {
            InvalidName(format!(
                "`{}` is none of ORG/NAME, ORG/*, an endpoint's name or an endpoint's id",
                text.chars().take(64).collect::<String>()
            ))
        })
    }
}

impl std::fmt::Display for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Org(org) => write!(f, "{org}/*"),
            Self::Model(model) => f.write_str(model.as_str()),
            Self::Name(name) => f.write_str(name.as_str()),
            Self::Id(id) => write!(f, "{id}"),
        }
    }
}

impl Scope {
    /// The list with these entries; at least one, or the key could do nothing.
    pub fn parse<T: AsRef<str>>(entries: &[T]) -> Result<Self, InvalidName> {
        if !(1..=ENTRIES_MAX).contains(&entries.len()) {
            return Err(InvalidName(format!("a key's list has 1 to {ENTRIES_MAX} entries")));
        }
        let entries: Result<Vec<Entry>, _> = entries.iter().map(|it| Entry::parse(it.as_ref())).collect();
        Ok(Self(Some(entries?.into())))
    }

    /// Whether nothing is outside.
    pub fn is_everything(&self) -> bool {
        self.0.is_none()
    }

    /// The entries as they were written; `None` for everything.
    pub fn entries(&self) -> Option<Vec<String>> {
        self.0.as_ref().map(|it| it.iter().map(ToString::to_string).collect())
    }

    /// Whether the model may be named. An endpoint in the list does not let its model be deployed again.
    pub fn has_model(&self, model: &ModelName) -> bool {
        self.any(|it| match it {
            Entry::Org(org) => model.org() == org,
            Entry::Model(it) => it == model,
            // A model's name may look like an endpoint's of two parts, which it is not.
            Entry::Name(_) | Entry::Id(_) => false,
        })
    }

    /// Whether the endpoint may be named.
    pub fn has_endpoint(&self, id: EndpointId, name: &EndpointName, model: &ModelName) -> bool {
        self.has_model(model)
            || self.any(|it| match it {
                Entry::Name(it) => it == name,
                Entry::Id(it) => *it == id,
                // An endpoint's name of two parts is read as a model's.
                Entry::Model(it) => it.as_str() == name.as_str(),
                Entry::Org(_) => false,
            })
    }

    fn any(&self, fits: impl Fn(&Entry) -> bool) -> bool {
        self.0.as_ref().is_none_or(|it| it.iter().any(fits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Owner;

    #[test]
    fn scope_has_what_its_entries_name_and_nothing_else() {
        let model = |it: &str| ModelName::parse(it).unwrap();
        let id: EndpointId = "endpoint-d23901de-ef8f-44bf-b3e7-de9c1ca8f2d7".parse().unwrap();
        let owner = Owner::parse("team").unwrap();
        let name = |it: &str| EndpointName::compose(&owner, &model(it), 1);
        let has = |entries: &[&str], it: &str| {
            let scope = Scope::parse(entries).unwrap();
            (scope.has_model(&model(it)), scope.has_endpoint(id, &name(it), &model(it)))
        };
        assert_eq!(has(&["org/x"], "org/x"), (true, true));
        assert_eq!(has(&["org/x"], "org/xy"), (false, false));
        assert_eq!(has(&["org/*"], "org/y"), (true, true));
        assert_eq!(has(&["org/*"], "organ/y"), (false, false));
        // The owner's slug in an endpoint's name is no organisation.
        assert_eq!(has(&["team/*"], "org/y"), (false, false));
        assert_eq!(has(&["team/org/x-00000001"], "org/x"), (false, true));
        assert_eq!(has(&["team/x-00000001"], "team/x"), (false, true));
        assert_eq!(has(&["endpoint-d23901de-ef8f-44bf-b3e7-de9c1ca8f2d7"], "a/b"), (false, true));
        assert!(Scope::default().has_model(&model("a/b")) && Scope::default().is_everything());
        assert_eq!(Scope::parse(&["org/*", "a/b"]).unwrap().entries().unwrap(), ["org/*", "a/b"]);
    }

    #[test]
    fn scope_of_too_many_or_odd_entries_is_refused() {
        assert!(Scope::parse::<&str>(&[]).is_err());
        assert!(Scope::parse(&["a/b"; ENTRIES_MAX]).is_ok());
        assert!(Scope::parse(&["a/b"; ENTRIES_MAX + 1]).unwrap_err().0.contains("1 to 100"));
        for odd in ["", "*", "*/x", "org*", "../*", "a/b/*", "a b"] {
            assert!(Scope::parse(&[odd]).is_err(), "{odd}");
        }
    }
}
