//! The one config file: strict, every key with a default, so that none is needed.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::listener::ListenConfig;
use crate::logging::LogFormat;
use crate::paths::DataDir;

/// Everything `dedi serve` can be told. `dedi config` prints the effective one.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Address of the API. Port 0 takes a free one; `<data dir>/address` holds what was taken.
    pub listen: SocketAddr,
    /// Something in front of this server does TLS. Without it only loopback addresses are listened on, since
    /// keys would cross the network in the clear.
    pub tls_terminated_elsewhere: bool,
    /// Names in `Host` headers that are this server, besides `localhost` and addresses.
    pub hostnames: Vec<String>,
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
    #[arg(long, env = "DEDI_LISTEN", value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// Log filter, such as `info` or `dedi_gateway=debug,info`
    #[arg(long, env = "DEDI_LOG", value_name = "FILTER")]
    pub log: Option<String>,
    /// How log lines look
    #[arg(long, env = "DEDI_LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
}

impl Config {
    /// The file, then the overrides. An error is one sentence that names the file and the key.
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
        config.check()?;
        Ok(config)
    }

    fn read(file: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(file)
            .map_err(|err| format!("the config file {} can't be read: {err}", file.display()))?;
        toml::from_str(&text).map_err(|err| {
            let line = err.span().map_or(String::new(), |span| {
                format!(" line {}", text.bytes().take(span.start).filter(|it| *it == b'\n').count() + 1)
            });
            let what = err.message().lines().collect::<Vec<_>>().join(" ");
            format!("the config file {}{line}: {what}", file.display())
        })
    }

    fn check(&self) -> Result<(), String> {
        if !self.listen.ip().is_loopback() && !self.tls_terminated_elsewhere {
            return Err(format!(
                "listen = \"{}\" is not a loopback address, and keys would cross the network unencrypted: put a TLS proxy in front and set tls_terminated_elsewhere = true, or listen on 127.0.0.1",
                self.listen
            ));
        }
        dedi_domain::Owner::parse(&self.owner).map_err(|err| format!("owner = \"{}\": {err}", self.owner))?;
        Ok(())
    }
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
        Config::load(&Overrides { config: Some(file), ..Overrides::default() }, &data)
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let said = read("log = \"info\"\nlistne = \"127.0.0.1:1\"\n").unwrap_err();
        assert!(said.contains("line 2") && said.contains("listne"), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }

    #[test]
    fn the_printed_config_reads_back_as_itself() {
        let printed = toml::to_string(&Config::default()).unwrap();
        let again = read(&printed).unwrap();
        assert_eq!(toml::to_string(&again).unwrap(), printed);
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
        assert!(said.contains("line 2: isolation is \"auto\", 0 or 1, not 2"), "{said}");
    }

    #[test]
    fn an_open_address_needs_the_word_that_tls_is_elsewhere() {
        assert!(read("listen = \"0.0.0.0:80\"").unwrap_err().contains("tls_terminated_elsewhere"));
        assert!(read("listen = \"0.0.0.0:80\"\ntls_terminated_elsewhere = true").is_ok());
    }
}
