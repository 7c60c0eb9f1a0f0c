//! Which server, which key, how long: flags first, then `DEDI_*`, then `TOGETHER_*`, then what the server of
//! the data folder left there.

use std::convert::Infallible;
use std::ffi::OsString;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use crate::durations;
use crate::error::{CliError, Result};
use crate::output::Output;

/// Options of every client command.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Client options")]
pub struct Globals {
    /// URL of the API; `/v1` is added if it has no path [default: DEDI_BASE_URL, TOGETHER_BASE_URL, or the local server]
    #[arg(long, global = true, value_name = "URL")]
    pub base_url: Option<String>,
    /// API key [default: DEDI_API_KEY, TOGETHER_API_KEY, or the data folder's admin.key]
    #[arg(long, global = true, value_name = "KEY")]
    pub api_key: Option<ApiKey>,
    /// Data folder of the local server [default: $XDG_DATA_HOME/dedi or ~/.local/share/dedi]
    #[arg(long, global = true, env = "DEDI_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Output format instead of text
    #[arg(long, short, global = true, value_enum, value_name = "FORMAT", conflicts_with = "json")]
    pub output: Option<Output>,
    /// Same as --output json
    #[arg(long, global = true)]
    pub json: bool,
    /// Request timeout, such as 30s or 5m; a plain number is seconds [default: 60s, chat 5m]
    #[arg(long, global = true, value_name = "DURATION", value_parser = durations::seconds)]
    pub timeout: Option<u64>,
}

impl Globals {
    /// The form to print in; none is text for people.
    pub fn output(&self) -> Option<Output> {
        if self.json { Some(Output::Json) } else { self.output }
    }
}

/// An API key. Its `Debug` prints dots.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

impl FromStr for ApiKey {
    type Err = Infallible;

    fn from_str(text: &str) -> std::result::Result<Self, Infallible> {
        Ok(Self(text.trim().to_owned()))
    }
}

impl ApiKey {
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

/// The resolved options.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// `http://host:port/v1`, without a slash at the end.
    pub base_url: String,
    pub api_key: ApiKey,
    /// Where the key was found, for the sentence about a refused one.
    pub key_source: String,
    pub timeout: Option<Duration>,
}

/// Where `dedi serve` listens when nothing else is said.
const DEFAULT_BASE_URL: &str = "http://127.0.0.1:7437/v1";

impl Settings {
    /// Reads flags, then what `env` says, then the data folder.
    pub(crate) fn resolve(globals: &Globals, env: impl Fn(&str) -> Option<OsString>) -> Result<Self> {
        let text = |name: &str| {
            env(name)
                .and_then(|it| it.into_string().ok())
                .map(|it| it.trim().to_owned())
                .filter(|it| !it.is_empty())
        };
        let data_dir = globals.data_dir.clone().or_else(|| default_data_dir(&env));
        let base_url = globals
            .base_url
            .clone()
            .filter(|it| !it.is_empty())
            .or_else(|| text("DEDI_BASE_URL"))
            .or_else(|| text("TOGETHER_BASE_URL"))
            .or_else(|| data_dir.as_deref().and_then(address_url))
            .unwrap_or_else(|| DEFAULT_BASE_URL.to_owned());
        let base_url = with_path(base_url.trim_end_matches('/'));
        let named = globals
            .api_key
            .clone()
            .filter(|it| !it.reveal().is_empty())
            .map(|key| (key, "--api-key".to_owned()))
            .or_else(|| text("DEDI_API_KEY").map(|key| (ApiKey(key), "DEDI_API_KEY".to_owned())))
            .or_else(|| text("TOGETHER_API_KEY").map(|key| (ApiKey(key), "TOGETHER_API_KEY".to_owned())));
        let (api_key, key_source) = match named {
            Some(it) => it,
            None => key_of_data_dir(data_dir.as_deref(), &base_url)?,
        };
        Ok(Self { base_url, api_key, key_source, timeout: globals.timeout.map(Duration::from_secs) })
    }
}

/// The API is under /v1, which a base URL without any path has only left out.
fn with_path(base_url: &str) -> String {
    let has_path = base_url.split_once("://").is_none_or(|(_, rest)| rest.contains(['/', '?', '#']));
    if has_path { base_url.to_owned() } else { format!("{base_url}/v1") }
}

fn default_data_dir(env: &impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let folder = |name: &str| env(name).map(PathBuf::from).filter(|it| it.is_absolute());
    folder("XDG_DATA_HOME")
        .or_else(|| folder("HOME").map(|it| it.join(".local/share")))
        .map(|it| it.join("dedi"))
}

/// The server writes the address it took beside its data.
fn address_url(data_dir: &Path) -> Option<String> {
    let text = std::fs::read_to_string(data_dir.join("address")).ok()?;
    let mut address: SocketAddr = text.trim().parse().ok()?;
    if address.ip().to_canonical().is_unspecified() {
        let has_ipv6 = || UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
        address.set_ip(loopback(address.ip(), has_ipv6));
    }
    Some(format!("http://{address}/v1"))
}

/// Where a server that listens everywhere is reached from its own host. `[::]` takes IPv4, too, and nothing else where
/// the host's IPv6 is off.
fn loopback(everywhere: IpAddr, has_ipv6: impl Fn() -> bool) -> IpAddr {
    match everywhere.to_canonical() {
        IpAddr::V6(_) if has_ipv6() => Ipv6Addr::LOCALHOST.into(),
        IpAddr::V4(_) | IpAddr::V6(_) => Ipv4Addr::LOCALHOST.into(),
    }
}

/// The local admin key goes to the local server only: a base URL that points elsewhere must bring its own.
fn key_of_data_dir(data_dir: Option<&Path>, base_url: &str) -> Result<(ApiKey, String)> {
    if !is_loopback(base_url) {
        return Err(CliError::usage(
            format!("there is no API key for {base_url}"),
            "pass --api-key or set DEDI_API_KEY; the local admin key is not sent to other hosts",
        ));
    }
    let Some(data_dir) = data_dir else {
        return Err(CliError::usage(
            "neither HOME nor XDG_DATA_HOME is set, so the data folder is unknown",
            "pass --data-dir, or --api-key",
        ));
    };
    let file = data_dir.join("admin.key");
    match std::fs::read_to_string(&file) {
        Ok(text) => Ok((ApiKey(text.trim().to_owned()), file.display().to_string())),
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => Err(CliError::usage(
            format!("there is no API key: {} does not exist", file.display()),
            "`dedi serve` or `make up` makes it at the first start; for a server elsewhere pass --api-key or set DEDI_API_KEY",
        )),
        Err(err) => Err(CliError::usage(
            format!("the key file {} can't be read: {err}", file.display()),
            "run as the user who runs the server, or pass --api-key",
        )),
    }
}

fn is_loopback(base_url: &str) -> bool {
    let Some(host) = base_url.parse::<http::Uri>().ok().and_then(|it| it.host().map(str::to_owned)) else {
        return false;
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|it| it.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(globals: &Globals, env: &[(&str, &str)]) -> Result<Settings> {
        let env: Vec<(String, OsString)> =
            env.iter().map(|(name, value)| ((*name).to_owned(), OsString::from(value))).collect();
        Settings::resolve(globals, |name| env.iter().find(|it| it.0 == name).map(|it| it.1.clone()))
    }

    fn said(result: Result<Settings>) -> String {
        let err = result.unwrap_err();
        format!("{:?} {}; {}", err.exit, err.message, err.hint.unwrap_or_default())
    }

    #[test]
    fn settings_reach_a_server_on_an_unspecified_address_by_loopback() {
        let reached = |text: &str, has_ipv6| loopback(text.parse().unwrap(), || has_ipv6).to_string();
        assert_eq!(reached("::", true), "::1");
        assert_eq!(reached("::", false), "127.0.0.1");
        assert_eq!(reached("0.0.0.0", true), "127.0.0.1");
        assert_eq!(reached("::ffff:0.0.0.0", true), "127.0.0.1");
        assert!(
            is_loopback("http://[::ffff:127.0.0.1]:7437/v1") && !is_loopback("http://[::ffff:10.0.0.1]/v1")
        );
    }

    #[test]
    fn settings_prefer_flags_then_dedi_then_together_variables() {
        let env = [
            ("DEDI_BASE_URL", "http://b/v1"),
            ("TOGETHER_BASE_URL", "http://c/v1"),
            ("DEDI_API_KEY", "two"),
            ("TOGETHER_API_KEY", "three"),
        ];
        let flags = Globals {
            base_url: Some("http://a/v1/".to_owned()),
            api_key: Some(ApiKey("one".to_owned())),
            ..Globals::default()
        };
        let first = resolve(&flags, &env).unwrap();
        assert_eq!((first.base_url.as_str(), first.api_key.reveal()), ("http://a/v1", "one"));
        let second = resolve(&Globals::default(), &env).unwrap();
        assert_eq!((second.base_url.as_str(), second.key_source.as_str()), ("http://b/v1", "DEDI_API_KEY"));
        let third = resolve(&Globals::default(), &[env[1], env[3]]).unwrap();
        assert_eq!((third.base_url.as_str(), third.api_key.reveal()), ("http://c/v1", "three"));
    }

    #[test]
    fn settings_add_the_api_path_to_a_bare_base_url() {
        let url = |text: &str| {
            let globals = Globals {
                base_url: Some(text.to_owned()),
                api_key: Some(ApiKey("one".to_owned())),
                ..Globals::default()
            };
            resolve(&globals, &[]).unwrap().base_url
        };
        assert_eq!(url("http://127.0.0.1:7437"), "http://127.0.0.1:7437/v1");
        assert_eq!(url("http://127.0.0.1:7437/"), "http://127.0.0.1:7437/v1");
        assert_eq!(url("http://127.0.0.1:7437/v1"), "http://127.0.0.1:7437/v1");
        assert_eq!(url("http://proxy/dedi/v1/"), "http://proxy/dedi/v1");
        assert_eq!(url("localhost:7437"), "localhost:7437");
    }

    #[test]
    fn settings_read_address_and_key_from_the_data_folder() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::write(temp.path().join("admin.key"), "dedi_abc\n").unwrap();
        std::fs::write(temp.path().join("address"), "0.0.0.0:8123\n").unwrap();
        let globals = Globals { data_dir: Some(temp.path().to_owned()), ..Globals::default() };
        let settings = resolve(&globals, &[]).unwrap();
        assert_eq!(settings.base_url, "http://127.0.0.1:8123/v1");
        assert_eq!(settings.api_key.reveal(), "dedi_abc");
        assert!(settings.key_source.ends_with("admin.key"));
    }

    #[test]
    fn settings_keep_the_admin_key_from_other_hosts() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::write(temp.path().join("admin.key"), "dedi_abc").unwrap();
        let globals = Globals {
            data_dir: Some(temp.path().to_owned()),
            base_url: Some("http://example.com/v1".to_owned()),
            ..Globals::default()
        };
        assert!(
            said(resolve(&globals, &[])).starts_with("Usage there is no API key for http://example.com/v1")
        );
        assert!(
            is_loopback("http://localhost:1/v1")
                && is_loopback("http://[::1]:1/v1")
                && is_loopback("http://127.9.0.1/v1")
        );
        assert!(!is_loopback("http://127.0.0.1.example.com/v1") && !is_loopback("nonsense"));
    }

    #[test]
    fn settings_name_the_command_that_creates_a_missing_key_file() {
        let globals = Globals { data_dir: Some(PathBuf::from("/nonexistent")), ..Globals::default() };
        let said = said(resolve(&globals, &[]));
        assert!(
            said.contains("/nonexistent/admin.key does not exist") && said.contains("dedi serve"),
            "{said}"
        );
    }

    #[test]
    fn settings_never_print_a_key() {
        assert_eq!(format!("{:?}", ApiKey("dedi_secret".to_owned())), "ApiKey(…)");
    }
}
