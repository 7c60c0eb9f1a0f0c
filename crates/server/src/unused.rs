//! What the config says and what does nothing on this data folder or this host, as sentences for the log.

use std::collections::{BTreeMap, BTreeSet};

use dedi_domain::{Inventory, Owner};

use crate::config::Config;

/// Whether the owner in the config is none that this data folder knows.
pub(crate) fn owner(asked: &str, known: &BTreeSet<Owner>) -> Option<String> {
    // The default may be what an operator has not set at all.
    if asked == Config::default().owner || known.iter().any(|it| it.as_str() == asked) {
        return None;
    }
    let known: Vec<_> = known.iter().map(|it| format!("`{it}`")).collect();
    Some(format!(
        "owner = {asked:?} is not used: it names the tenant of the first key of a new data folder, and the keys of this one are of {}, which stays; \
         `dedi keys create --owner {asked}` makes a key for {asked}, or take a new folder with --data-dir",
        known.join(", ")
    ))
}

/// The prices of devices that this host does not have.
pub(crate) fn prices(cents: &BTreeMap<String, f64>, inventory: &Inventory) -> Vec<String> {
    let kinds: BTreeSet<String> = inventory.devices.iter().map(|it| it.kind.name()).collect();
    let here = match kinds.is_empty() {
        true => "it has none".to_owned(),
        false => format!("it has {}", kinds.iter().cloned().collect::<Vec<_>>().join(", ")),
    };
    let unknown = cents.keys().filter(|it| !kinds.contains(*it));
    unknown
        .map(|it| {
            format!("control.cents_per_device_minute.{it} prices a kind of device that this host does not have now: {here}")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use dedi_domain::hardware::Health;
    use dedi_domain::{Device, DeviceId, DeviceKind};

    use super::*;

    #[test]
    fn unused_owner_names_the_owner_that_stays() {
        let known = BTreeSet::from(["local", "zoe"].map(|it| Owner::parse(it).unwrap()));
        for used in ["local", "zoe"] {
            assert_eq!(owner(used, &known), None);
        }
        let said = owner("bob", &known).unwrap();
        assert!(said.starts_with("owner = \"bob\" is not used") && said.contains("`local`, `zoe`"), "{said}");
        let zoe = BTreeSet::from([Owner::parse("zoe").unwrap()]);
        assert_eq!(owner("local", &zoe), None);
    }

    #[test]
    fn unused_price_names_the_existing_devices() {
        let kind = DeviceKind { product: "cpu".to_owned(), memory_gb: 8, link: String::new() };
        let core = Device {
            id: DeviceId::local("cpu-0"),
            kind,
            index: 0,
            health: Health::Healthy,
            memory_total_bytes: 8 << 30,
            foreign_bytes: 0,
            foreign_processes: Vec::new(),
            leftover_bytes: 0,
            barred: None,
        };
        let cents = BTreeMap::from([("cpu_8gb".to_owned(), 1.0), ("cpu_8g".to_owned(), 1.0)]);
        let said = prices(&cents, &Inventory { devices: vec![core], troubles: Vec::new() });
        assert_eq!(
            said,
            [
                "control.cents_per_device_minute.cpu_8g prices a kind of device that this host does not have now: it has cpu_8gb"
            ]
        );
    }
}
