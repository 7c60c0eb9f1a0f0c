//! The one config file: strict, every key with a default, so that none is needed.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use dedi_domain::Setting;
use serde::{Deserialize, Deserializer, Serialize};

use crate::cors;
use crate::explain;
use crate::listener::ListenConfig;
use crate::logging::{self, LogFormat};
use crate::paths::DataDir;

/// Everything `dedi serve` can be told. `dedi config` prints the effective one.
#[derive(Clone, Debug, Serialize, Deserialize, documented::DocumentedFields)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Address of the API. Port 0 takes a free one; `<data dir>/address` holds what was taken.
    #[serde(deserialize_with = "read_listen")]
    pub listen: SocketAddr,
    /// Something in front of this server does TLS. Without it only loopback addresses are listened on, since
    /// keys would cross the network in the clear.
    pub tls_terminated_elsewhere: bool,
    /// Names in `Host` headers that are this server, besides `localhost` and addresses.
    pub hostnames: Vec<String>,
    /// Origins of web pages that may use this server from a browser, such as `https://app.example.com`; `*` for all.
    pub cors_origins: Vec<String>,
    /// What is logged: `info`, `debug`, or a filter such as `dedi_gateway=debug,info`.
    pub log: String,
    /// `text` or `json`.
    pub log_format: LogFormat,
    /// Tenant that the first start makes an admin key for.
    pub owner: String,
    /// The engine program; empty looks for `dedi-engine` beside `dedi`, then in PATH.
    pub engine: PathBuf,
    /// The program that supervises a replica; empty looks for `dedi-shim` beside `dedi`, then takes `dedi` itself.
    pub shim: PathBuf,
    /// The public listener's limits.
    pub http: ListenConfig,
    /// The control plane.
    pub control: dedi_control::ControlConfig,
    /// Where models come from.
    pub hub: dedi_control::HubConfig,
    /// The data plane.
    pub gateway: dedi_gateway::GatewayConfig,
    /// Replica processes and devices.
    pub runtime: dedi_runtime::process::ProcessConfig,
}

/// Where the server listens when nothing else is said.
pub(crate) const DEFAULT_LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 7437);

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: DEFAULT_LISTEN,
            tls_terminated_elsewhere: false,
            hostnames: Vec::new(),
            cors_origins: Vec::new(),
            log: "info".to_owned(),
            log_format: LogFormat::Text,
            owner: "local".to_owned(),
            engine: PathBuf::new(),
            shim: PathBuf::new(),
            http: ListenConfig::default(),
            control: dedi_control::ControlConfig::default(),
            hub: dedi_control::HubConfig::default(),
            gateway: dedi_gateway::GatewayConfig::default(),
            runtime: dedi_runtime::process::ProcessConfig::default(),
        }
    }
}

/// What flags and `DEDI_*` variables may set over the file.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Overrides {
    /// Config file; without it `<data dir>/dedi.toml` is read if it exists.
    #[arg(long, env = "DEDI_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Address of the API [default: 127.0.0.1:7437]
    #[arg(long, env = "DEDI_LISTEN", value_name = "ADDRESS", value_parser = parse_listen)]
    pub listen: Option<SocketAddr>,
    /// Log filter, such as `info` or `dedi_gateway=debug,info`
    #[arg(long, env = "DEDI_LOG", value_name = "FILTER")]
    pub log: Option<String>,
    /// How log lines look
    #[arg(long, env = "DEDI_LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
}

impl Config {
    /// The file, then the overrides; the values are as written, see [`Config::check`]. An error is one sentence that
    /// names the file and the key.
    pub(crate) fn load(overrides: &Overrides, data: &DataDir) -> Result<Self, String> {
        let default_file = data.config();
        let file = match &overrides.config {
            Some(file) => Some(file.as_path()),
            None => default_file.exists().then_some(default_file.as_path()),
        };
        let mut config = match file {
            Some(file) => Self::read(file)?,
            None => Self::default(),
        };
        if let Some(listen) = overrides.listen {
            config.listen = listen;
        }
        if let Some(log) = &overrides.log {
            config.log.clone_from(log);
        }
        if let Some(format) = overrides.log_format {
            config.log_format = format;
        }
        Ok(config)
    }

    fn read(file: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(file)
            .map_err(|err| format!("the config file {} can't be read: {err}", file.display()))?;
        let wrong = |key: &str, err: &toml::de::Error| {
            let line = err.span().map_or(String::new(), |span| {
                format!(" line {}", text.bytes().take(span.start).filter(|it| *it == b'\n').count() + 1)
            });
            let what = err.message().lines().collect::<Vec<_>>().join(" ");
            let what = PLAIN.iter().fold(what, |what, (typed, plain)| what.replace(typed, plain));
            format!("the config file {}{line}: {key}{what}", file.display())
        };
        let written = toml::Deserializer::parse(&text).map_err(|err| wrong("", &err))?;
        serde_path_to_error::deserialize(written).map_err(|err| {
            let key = match err.path().to_string().as_str() {
                "." => String::new(),
                path => format!("{path}: "),
            };
            wrong(&key, err.inner())
        })
    }

    /// As TOML, with what each key is for above it and what each number may be beside it.
    pub(crate) fn printed(&self) -> Result<String, toml::ser::Error> {
        let tables: [(&str, &[Setting]); 5] = [
            ("[http]", &self.http.numbers()),
            ("[control]", &self.control.numbers()),
            ("[hub]", &self.hub.numbers()),
            ("[gateway]", &self.gateway.numbers()),
            ("[runtime]", &self.runtime.numbers()),
        ];
        let written = toml::to_string_pretty(self)?;
        let mut numbers: &[Setting] = &[];
        let mut table = "";
        let mut printed = String::new();
        let mut is_first = false;
        for line in written.lines() {
            let key = line.split_once(" = ").map(|it| it.0);
            if let Some(name) = line.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
                numbers = tables.iter().find(|(table, _)| *table == line).map_or(&[], |it| it.1);
                table = name;
                let (parent, name) = name.rsplit_once('.').unwrap_or(("", name));
                printed.push_str(&explain::comment(parent, name));
                printed.push_str(&format!("{line}\n"));
                for unset in explain::keys_without_value(table) {
                    if !written.contains(&format!("\n{unset} = ")) {
                        printed.push_str(&format!("{}# {unset} =\n\n", explain::comment(table, unset)));
                    }
                }
                is_first = true;
                continue;
            }
            if let Some(comment) = key.map(|it| explain::comment(table, it)).filter(|it| !it.is_empty()) {
                if !is_first && !printed.is_empty() && !printed.ends_with("\n\n") {
                    printed.push('\n');
                }
                printed.push_str(&comment);
            }
            is_first = false;
            printed.push_str(line);
            if let Some((_, _, allowed)) = numbers.iter().find(|(name, _, _)| key == Some(name)) {
                printed.push_str(&format!(" # {} to {}", allowed.start(), allowed.end()));
            }
            printed.push('\n');
        }
        Ok(printed)
    }

    /// What is wrong with the values, as a sentence.
    pub(crate) fn check(&self) -> Result<(), String> {
        if !self.listen.ip().to_canonical().is_loopback() && !self.tls_terminated_elsewhere {
            return Err(format!(
                "listen = \"{}\" is not a loopback address, and keys would cross the network unencrypted: put a TLS proxy in front and set tls_terminated_elsewhere = true, or listen on 127.0.0.1",
                self.listen
            ));
        }
        dedi_domain::Owner::parse(&self.owner).map_err(|err| format!("owner = \"{}\": {err}", self.owner))?;
        if let Some(name) = self.hostnames.iter().find(|it| !is_hostname(it)) {
            return Err(format!(
                "hostnames: {name:?} is no host's name: give the name alone, such as \"models.example.com\", without a scheme, a port or a path"
            ));
        }
        cors::check(&self.cors_origins)?;
        logging::check(&self.log)?;
        self.http.check()?;
        self.control.check()?;
        self.hub.check()?;
        self.gateway.check()?;
        self.runtime.check()?;
        let (interval, age_secs) = (self.gateway.report_interval_ms, self.control.load_report_age_max_secs);
        if interval >= u64::from(age_secs) * 1_000 {
            return Err(format!(
                "gateway.report_interval_ms = {interval} must be less than control.load_report_age_max_secs, {age_secs} s: every load report would be too old to count"
            ));
        }
        Ok(())
    }
}

/// What the parser expects, as an operator would say it.
const PLAIN: [(&str, &str); 6] = [
    ("expected u32", "expected a whole number, not below 0"),
    ("expected u64", "expected a whole number, not below 0"),
    ("expected usize", "expected a whole number, not below 0"),
    ("expected f64", "expected a number"),
    ("expected a sequence", "expected a list"),
    ("expected a boolean", "expected true or false"),
];

/// A name as a `Host` header has it.
fn is_hostname(name: &str) -> bool {
    let is_label = |it: &str| {
        !it.is_empty() && it.bytes().all(|it| it.is_ascii_alphanumeric() || matches!(it, b'-' | b'_'))
    };
    name.len() <= HOSTNAME_BYTES_MAX && name.split('.').all(is_label)
}

/// Longest name of a host.
const HOSTNAME_BYTES_MAX: usize = 253;

fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_invalid| {
        format!("{text:?} is not an IP address with a port, such as {DEFAULT_LISTEN} or [::1]:7437")
    })
}

fn read_listen<'de, D: Deserializer<'de>>(from: D) -> Result<SocketAddr, D::Error> {
    parse_listen(&String::deserialize(from)?).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use dedi_runtime::process::IsolationSetting;

    use super::*;

    fn read(text: &str) -> Result<Config, String> {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("dedi.toml");
        std::fs::write(&file, text).unwrap();
        let data = DataDir::resolve(Some(temp.path())).unwrap();
        let config = Config::load(&Overrides { config: Some(file), ..Overrides::default() }, &data)?;
        config.check().map(|()| config)
    }

    #[test]
    fn config_unknown_key_is_named_with_its_line() {
        let said = read("log = \"info\"\nlistne = \"127.0.0.1:1\"\n").unwrap_err();
        assert!(said.contains("line 2") && said.contains("listne"), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }

    #[test]
    fn config_printed_reads_back_equal() {
        let printed = Config::default().printed().unwrap();
        assert!(printed.contains("\nslots = 4 # 1 to 256\n"), "{printed}");
        let again = read(&printed).unwrap();
        assert_eq!(again.printed().unwrap(), printed);
    }

    #[test]
    fn every_key_and_table_is_printed_with_what_it_is_for() {
        let printed = Config::default().printed().unwrap();
        let lines: Vec<&str> = printed.lines().collect();
        let is_key = |it: &str| it.split_once(" = ").is_some_and(|(key, _)| !key.starts_with(['#', ' ']));
        let mut keys = 0;
        for (above, line) in lines.iter().zip(&lines[1..]).filter(|(_, it)| is_key(it) || it.starts_with('['))
        {
            assert!(above.starts_with("# "), "{line} is not explained:\n{printed}");
            keys += 1;
        }
        assert!(keys > 80 && printed.matches("\n# cpu_devices =\n").count() == 1, "{printed}");
        assert!(
            printed
                .contains("# Zones this host is in; a create may name one of them.\nzones = [\"local\"]\n")
        );
        assert!(lines.iter().all(|it| it.chars().count() <= 130), "{printed}");
    }

    #[test]
    fn every_number_is_printed_with_what_it_may_be() {
        let printed = Config::default().printed().unwrap();
        let is_number = |it: &&str| {
            !it.starts_with('#')
                && it
                    .split_once(" = ")
                    .is_some_and(|(_, value)| value.starts_with(|it: char| it.is_ascii_digit()))
        };
        let numbers: Vec<&str> = printed.lines().filter(is_number).collect();
        assert!(numbers.len() > 70, "{printed}");
        assert!(numbers.iter().all(|it| it.contains(" # ")), "{numbers:#?}");
    }

    #[test]
    fn an_isolation_level_is_a_number_or_auto() {
        for (written, read_as) in [
            ("0", IsolationSetting::Level0),
            ("1", IsolationSetting::Level1),
            ("\"auto\"", IsolationSetting::Auto),
        ] {
            let config = read(&format!("[runtime]\nisolation = {written}")).unwrap();
            assert_eq!(config.runtime.isolation, read_as);
            let printed = toml::to_string(&config).unwrap();
            assert!(printed.contains(&format!("isolation = {written}\n")), "{printed}");
        }
        let said = read("[runtime]\nisolation = 2").unwrap_err();
        assert!(
            said.contains("line 2: runtime.isolation: invalid value: integer `2`, expected \"auto\", 0 or 1"),
            "{said}"
        );
        let said = read("[runtime]\nisolation = true").unwrap_err();
        assert!(
            said.contains("runtime.isolation: invalid type: boolean `true`, expected \"auto\", 0 or 1"),
            "{said}"
        );
    }

    #[test]
    fn config_value_of_the_wrong_type_is_named_by_its_key() {
        let said = read("[control]\n\nslots = \"4\"").unwrap_err();
        assert!(
            said.contains(
                "line 3: control.slots: invalid type: string \"4\", expected a whole number, not below 0"
            ),
            "{said}"
        );
        let said = read("[control.cents_per_device_minute]\ncpu_8gb = \"4\"").unwrap_err();
        assert!(said.contains("line 2: control.cents_per_device_minute.cpu_8gb: "), "{said}");
        let said = read("[gateway]\nbytes_max = -1").unwrap_err();
        assert!(said.contains("line 2: gateway.bytes_max: "), "{said}");
        let said = read("hostnames = [\"a\", 3]").unwrap_err();
        assert!(said.contains("hostnames[1]: "), "{said}");
        assert_eq!(read("listen = 1\nslots").unwrap_err().lines().count(), 1);
    }

    #[test]
    fn config_address_without_a_port_is_refused_with_an_example() {
        let said = read("listen = \"localhost\"").unwrap_err();
        assert!(
            said.contains(
                "line 1: listen: \"localhost\" is not an IP address with a port, such as 127.0.0.1:7437"
            ),
            "{said}"
        );
    }

    #[test]
    fn config_checks_every_table() {
        for (text, key) in [
            ("hostnames = [\"http://x/\"]", "hostnames: \"http://x/\""),
            ("hostnames = [\"x:80\"]", "hostnames: \"x:80\""),
            ("hostnames = [\"\"]", "hostnames: \"\""),
            ("cors_origins = [\"https://x/\"]", "cors_origins: \"https://x/\""),
            ("log = \"bogus==\"", "log = \"bogus==\""),
            ("[http]\nconnections_max = 0", "http.connections_max"),
            ("[http]\nkeep_alive_secs = 0", "http.keep_alive_secs"),
            ("[runtime]\nengine_disk_mib = 0", "runtime.engine_disk_mib"),
            ("[control]\nslots = 1000000", "control.slots"),
            ("[hub]\ntries_max = 0", "hub.tries_max"),
            ("[gateway]\nbytes_max = 1", "gateway.bytes_max"),
            ("[runtime]\npids_max = 1", "runtime.pids_max"),
            ("[runtime.hardware]\ncpu_devices = 5000", "runtime.hardware.cpu_devices"),
            ("[gateway]\nreport_interval_ms = 10000", "gateway.report_interval_ms"),
        ] {
            let said = read(text).unwrap_err();
            assert!(said.starts_with(key), "{text}: {said}");
        }
        assert!(
            read("hostnames = [\"models.example.com\", \"my_host\"]\nlog = \"dedi_gateway=debug,info\"")
                .is_ok()
        );
    }

    #[test]
    fn config_open_address_needs_tls_terminated_elsewhere() {
        assert!(read("listen = \"0.0.0.0:80\"").unwrap_err().contains("tls_terminated_elsewhere"));
        assert!(read("listen = \"0.0.0.0:80\"\ntls_terminated_elsewhere = true").is_ok());
        assert!(read("listen = \"[::ffff:127.0.0.1]:80\"").is_ok());
        assert!(read("listen = \"[::ffff:10.0.0.1]:80\"").is_err());
    }
}
