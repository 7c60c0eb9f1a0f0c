//! What an operator can set about the hub, and the token, which is never part of what is printed.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use dedi_domain::{Setting, check_settings};
use http::HeaderValue;
use serde::{Deserialize, Serialize};
use url::{Host, Url};

/// The hub's part of the config file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, documented::DocumentedFields)]
#[serde(deny_unknown_fields, default)]
pub struct HubConfig {
    /// A create that names a model the store lacks fetches it. `dedi models pull` works either way.
    pub fetch_on_create: bool,
    /// The hub, or a mirror that speaks its protocol.
    pub base_url: String,
    /// File with an access token for gated models, which must be there when the server starts; empty takes the
    /// environment's `HF_TOKEN`, if it is set.
    pub token_file: PathBuf,
    /// The hub may send this server on to private addresses; for a mirror inside a network.
    pub private_addresses: bool,
    /// Longest wait for a connection.
    pub connect_timeout_secs: u32,
    /// Longest wait for the next byte.
    pub idle_timeout_secs: u32,
    /// Tries of one file that bring nothing new, until the download has failed.
    pub tries_max: u32,
    /// Milliseconds after a first failure until the next try; they double with each further one.
    pub backoff_base_millis: u64,
    /// Longest such wait in seconds.
    pub backoff_cap_secs: u32,
    /// Longest wait in seconds that the hub may ask for with `Retry-After`; where it asks for more the download fails.
    pub retry_after_secs_max: u32,
    /// MiB of the disk that a download leaves free.
    pub disk_reserve_mib: u64,
    /// Downloads that run at once, one of each tenant.
    pub pulls_at_once: u32,
}

impl Default for HubConfig {
    fn default() -> Self {
        Self {
            // Whoever may create an endpoint could fill the disk with it; that is for the operator to allow.
            fetch_on_create: false,
            base_url: "https://huggingface.co".to_owned(),
            token_file: PathBuf::new(),
            // What a hub says is not trusted with the addresses of this network.
            private_addresses: false,
            // A connection that takes longer comes up rarely, and then slowly.
            connect_timeout_secs: 10,
            // Longer than a hub's storage takes to find a cold file.
            idle_timeout_secs: 60,
            // A lost line comes back within seconds, or not soon.
            tries_max: 4,
            backoff_base_millis: 1_000,
            // As for replicas: cheap, and soon enough after a repair.
            backoff_cap_secs: 300,
            // The hub's windows for counting requests are five minutes long.
            retry_after_secs_max: 300,
            // Room for the database and the logs to go on.
            disk_reserve_mib: 1_024,
            // One fills most lines; more than that only keep a stuck one from holding up other tenants.
            pulls_at_once: 4,
        }
    }
}

/// An access token. Shows itself to nobody but the hub.
#[derive(Clone)]
pub(crate) struct Token(HeaderValue);

impl Token {
    pub(crate) fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl HubConfig {
    /// What is wrong with the values, as a sentence; types are checked before.
    pub fn check(&self) -> Result<(), String> {
        self.base()?;
        check_settings("hub", &self.numbers(), &Self::default().numbers())
    }

    /// What each number may be.
    pub fn numbers(&self) -> [Setting; 8] {
        let of = u64::from;
        [
            ("connect_timeout_secs", of(self.connect_timeout_secs), 1..=3_600),
            ("idle_timeout_secs", of(self.idle_timeout_secs), 1..=86_400),
            ("tries_max", of(self.tries_max), 1..=1_000),
            ("backoff_base_millis", self.backoff_base_millis, 0..=3_600_000),
            ("backoff_cap_secs", of(self.backoff_cap_secs), 0..=86_400),
            ("retry_after_secs_max", of(self.retry_after_secs_max), 0..=86_400),
            // An EiB.
            ("disk_reserve_mib", self.disk_reserve_mib, 0..=1 << 40),
            ("pulls_at_once", of(self.pulls_at_once), 1..=64),
        ]
    }

    /// Whether the token's file can be read, if there is to be one.
    ///
    /// # Errors
    ///
    /// A sentence that says what would work.
    pub fn check_token_file(&self) -> Result<(), String> {
        let file = &self.token_file;
        if file.as_os_str().is_empty() {
            return Ok(());
        }
        std::fs::read_to_string(file).map(drop).map_err(|err| {
            format!(
                "hub.token_file = \"{}\" can't be read: {err}; name a file with an access token, an empty one if the token comes later, or leave the key out to take HF_TOKEN",
                file.display()
            )
        })
    }

    /// The base URL, ending with a slash.
    pub(crate) fn base(&self) -> Result<Url, String> {
        let text = format!("{}/", self.base_url.trim_end_matches('/'));
        let wrong = |what: &str| format!("hub.base_url = \"{}\" {what}", self.base_url);
        let url = Url::parse(&text).map_err(|err| wrong(&format!("is not a URL: {err}")))?;
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err(wrong("must begin with https:// or http://"));
        }
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
            return Err(wrong("may have neither a user nor a query; a token belongs into hub.token_file"));
        }
        Ok(url)
    }

    /// The token as it is now, so that one that was put into place later is used without a restart.
    pub(crate) fn token(&self) -> Result<Option<Token>, String> {
        let (text, from) = if self.token_file.as_os_str().is_empty() {
            match std::env::var("HF_TOKEN") {
                Ok(text) => (text, "HF_TOKEN".to_owned()),
                Err(_absent) => return Ok(None),
            }
        } else {
            let file = self.token_file.display();
            let text = std::fs::read_to_string(&self.token_file)
                .map_err(|err| format!("the hub's token file {file} can't be read: {err}"))?;
            (text, file.to_string())
        };
        if text.trim().is_empty() {
            return Ok(None);
        }
        let base = self.base()?;
        if base.scheme() != "https" && !is_this_host(&base) {
            return Err(format!(
                "the token of {from} is not sent to {}: it would cross the network unencrypted; use https",
                self.base_url
            ));
        }
        let mut value = HeaderValue::from_str(&format!("Bearer {}", text.trim()))
            .map_err(|_invalid| format!("{from} holds no access token: a token is one word"))?;
        value.set_sensitive(true);
        Ok(Some(Token(value)))
    }

    pub(crate) fn connect_timeout(&self) -> Duration {
        Duration::from_secs(u64::from(self.connect_timeout_secs))
    }

    pub(crate) fn idle_timeout(&self) -> Duration {
        Duration::from_secs(u64::from(self.idle_timeout_secs))
    }

    pub(crate) fn retry_after_max(&self) -> Duration {
        Duration::from_secs(u64::from(self.retry_after_secs_max))
    }

    pub(crate) fn backoff_base(&self) -> Duration {
        Duration::from_millis(self.backoff_base_millis)
    }

    /// The wait after `n` failures in a row.
    pub(crate) fn backoff(&self, n: u32) -> Duration {
        let doubled = self.backoff_base().saturating_mul(2_u32.saturating_pow(n.saturating_sub(1)));
        doubled.min(Duration::from_secs(u64::from(self.backoff_cap_secs)))
    }
}

fn is_this_host(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(base_url: &str) -> HubConfig {
        HubConfig { base_url: base_url.to_owned(), ..HubConfig::default() }
    }

    #[test]
    fn a_base_url_is_checked_and_ends_with_one_slash() {
        for good in ["https://huggingface.co", "http://10.0.0.1:80/hub/"] {
            assert!(at(good).check().is_ok(), "{good}");
        }
        assert_eq!(at("https://h.co/hub").base().unwrap().as_str(), "https://h.co/hub/");
        for bad in ["huggingface.co", "ftp://h.co", "https://user:pw@h.co", "https://h.co/?a=b", ""] {
            let said = at(bad).check().unwrap_err();
            assert!(said.starts_with("hub.base_url"), "{said}");
        }
        assert!(HubConfig { tries_max: 0, ..HubConfig::default() }.check().is_err());
    }

    #[test]
    fn a_token_file_that_is_not_there_is_named_and_an_empty_one_will_do() {
        let folder = tempfile::tempdir().unwrap();
        let token_file = folder.path().join("token");
        let config = HubConfig { token_file: token_file.clone(), ..HubConfig::default() };
        let said = config.check_token_file().unwrap_err();
        assert!(said.starts_with("hub.token_file = ") && said.contains("an empty one"), "{said}");
        std::fs::write(&token_file, "").unwrap();
        config.check_token_file().unwrap();
        HubConfig::default().check_token_file().unwrap();
    }

    #[test]
    fn a_token_stays_off_open_networks_and_out_of_sight() {
        let folder = tempfile::tempdir().unwrap();
        let token_file = folder.path().join("token");
        std::fs::write(&token_file, "hf_canary\n").unwrap();
        let with = |base: &str| HubConfig { token_file: token_file.clone(), ..at(base) }.token();
        let token = with("http://127.0.0.1:1").unwrap().unwrap();
        assert_eq!(token.header().to_str().unwrap(), "Bearer hf_canary");
        assert!(!format!("{token:?}").contains("canary"));
        assert!(with("https://huggingface.co").unwrap().is_some());
        assert!(with("http://10.0.0.1").unwrap_err().contains("unencrypted"));
        std::fs::write(&token_file, "\n").unwrap();
        assert!(with("http://10.0.0.1").unwrap().is_none());
    }
}
