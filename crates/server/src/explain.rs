//! What the keys of the config file are for: the doc comments of its structs, as comments of the printed file.

use dedi_control::{ControlConfig, HubConfig};
use dedi_gateway::GatewayConfig;
use dedi_runtime::hardware::HardwareSettings;
use dedi_runtime::process::ProcessConfig;
use documented::DocumentedFields;

use crate::config::Config;
use crate::listener::ListenConfig;

/// Columns of a line of explanation.
const WIDTH: usize = 100;

/// What the key of a table is for, in lines of a comment; nothing where keys are the operator's own.
pub(crate) fn comment(table: &str, key: &str) -> String {
    let docs = match table {
        "" => Config::get_field_docs(key),
        "http" => ListenConfig::get_field_docs(key),
        "control" => ControlConfig::get_field_docs(key),
        "hub" => HubConfig::get_field_docs(key),
        "gateway" => GatewayConfig::get_field_docs(key),
        "runtime" => ProcessConfig::get_field_docs(key),
        "runtime.hardware" => HardwareSettings::get_field_docs(key),
        _ => return String::new(),
    };
    let text = docs.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
    textwrap::wrap(&text, WIDTH).iter().map(|it| format!("# {it}\n")).collect()
}

/// The keys of a table that have no value unless the operator gives one.
pub(crate) fn keys_without_value(table: &str) -> &'static [&'static str] {
    if table == "runtime.hardware" { HardwareSettings::FIELD_NAMES } else { &[] }
}
