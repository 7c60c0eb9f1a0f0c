//! Which device: on which node, and what that node calls it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::NodeId;

/// One device, stable across restarts: what its node calls it, `cpu-3` or a GPU's UUID, and which node that is.
/// Prints as `cpu-3` on the local node and as `node/cpu-3` on another.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct DeviceId {
    node: NodeId,
    name: String,
}

impl DeviceId {
    /// A device of the local node.
    pub fn local(name: impl Into<String>) -> Self {
        Self::on(NodeId::LOCAL, name)
    }

    /// A device of that node.
    pub fn on(node: NodeId, name: impl Into<String>) -> Self {
        Self { node, name: name.into() }
    }

    /// The node that it is on.
    pub fn node(&self) -> &NodeId {
        &self.node
    }

    /// What its node calls it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is a processor core of the host, also where the host has it no more.
    pub fn is_cpu(&self) -> bool {
        self.name.starts_with("cpu-")
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.node.is_local() {
            true => f.write_str(&self.name),
            false => write!(f, "{}/{}", self.node, self.name),
        }
    }
}

/// As it prints. What stands before a slash and can't be a node belongs to the name of a local device.
impl From<String> for DeviceId {
    fn from(text: String) -> Self {
        let of_node = text.split_once('/').and_then(|(node, name)| {
            let node = NodeId::parse(node).ok().filter(|it| !it.is_local())?;
            Some(Self::on(node, name))
        });
        of_node.unwrap_or_else(|| Self::local(text))
    }
}

impl From<DeviceId> for String {
    fn from(it: DeviceId) -> Self {
        it.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_ids_read_as_they_print_and_say_their_node() {
        for (text, node, name) in [
            ("cpu-3", "", "cpu-3"),
            ("gpu-7.example.org/slot-0", "gpu-7.example.org", "slot-0"),
            ("MIG-GPU-1/2/0", "", "MIG-GPU-1/2/0"),
        ] {
            let id: DeviceId = serde_json::from_value(serde_json::json!(text)).unwrap();
            assert_eq!((id.node().as_str(), id.name()), (node, name));
            assert_eq!(id.to_string(), text);
        }
        assert_ne!(DeviceId::local("cpu-0"), DeviceId::on(NodeId::parse("a").unwrap(), "cpu-0"));
    }
}
