//! Whose client a request is of. A proxy that the operator trusts says so in a header; nobody else is believed.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use http::header::{FORWARDED, HeaderName};
use http::{HeaderMap, HeaderValue};
use ipnet::IpNet;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Addresses and networks of proxies in front of the server.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub(crate) struct TrustedProxies(Vec<IpNet>);

/// A text that is neither an address nor a network.
#[derive(Debug)]
pub(crate) struct NoNetwork(String);

impl fmt::Display for NoNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is neither an IP address nor a network, such as 10.0.0.5 or 10.0.0.0/24", self.0)
    }
}

impl TryFrom<Vec<String>> for TrustedProxies {
    type Error = NoNetwork;

    fn try_from(texts: Vec<String>) -> Result<Self, NoNetwork> {
        let parse = |text: String| {
            let address = text.parse::<IpAddr>().map(IpNet::from);
            address.or_else(|_not_one| text.parse::<IpNet>()).map_err(|_invalid| NoNetwork(text))
        };
        texts.into_iter().map(parse).collect::<Result<_, _>>().map(Self)
    }
}

impl From<TrustedProxies> for Vec<String> {
    fn from(proxies: TrustedProxies) -> Self {
        proxies.0.iter().map(ToString::to_string).collect()
    }
}

impl TrustedProxies {
    /// Whether this is one of them.
    pub(crate) fn contain(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.0.iter().any(|it| it.contains(&ip))
    }

    /// The client of a request that came from the trusted `peer`: the last address that no trusted proxy has. The peer
    /// itself, where its headers say nothing, nothing readable, or two different things: then a client wrote one of them.
    pub(crate) fn client(&self, headers: &HeaderMap, peer: SocketAddr) -> SocketAddr {
        let of_list = self.last(headers.get_all(&X_FORWARDED_FOR).iter(), |it| Some(it));
        let of_pairs = self.last(headers.get_all(FORWARDED).iter(), for_of);
        match (of_list, of_pairs) {
            (Said::Ip(one), Said::Ip(other)) if one == other => SocketAddr::new(one, 0),
            (Said::Ip(one), Said::Nothing) | (Said::Nothing, Said::Ip(one)) => SocketAddr::new(one, 0),
            (Said::Ip(_) | Said::Nothing | Said::Unreadable, _) => peer,
        }
    }

    fn last<'a>(
        &self,
        lines: impl DoubleEndedIterator<Item = &'a HeaderValue>,
        address: fn(&str) -> Option<&str>,
    ) -> Said {
        let mut furthest = Said::Nothing;
        for line in lines.rev() {
            let Ok(line) = line.to_str() else { return Said::Unreadable };
            for element in line.rsplit(',') {
                let Some(ip) = address(element).and_then(read_ip) else { return Said::Unreadable };
                furthest = Said::Ip(ip);
                if !self.contain(ip) {
                    return furthest;
                }
            }
        }
        furthest
    }
}

/// The address in an element of a Forwarded header.
fn for_of(element: &str) -> Option<&str> {
    let mut pairs = element.split(';').filter_map(|it| it.split_once('='));
    pairs.find(|it| it.0.trim().eq_ignore_ascii_case("for")).map(|it| it.1)
}

/// What one header says of the client.
enum Said {
    Nothing,
    Ip(IpAddr),
    Unreadable,
}

/// An address with or without quotes, brackets and a port.
fn read_ip(text: &str) -> Option<IpAddr> {
    let text = text.trim().trim_matches('"');
    let bare = || text.strip_prefix('[').and_then(|it| it.strip_suffix(']')).and_then(|it| it.parse().ok());
    let ip = text.parse::<IpAddr>().ok().or_else(bare);
    ip.or_else(|| text.parse::<SocketAddr>().ok().map(|it| it.ip())).map(|it| it.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(texts: &[&str]) -> Result<TrustedProxies, NoNetwork> {
        texts.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>().try_into()
    }

    #[test]
    fn addresses_and_networks_are_read_and_anything_else_is_named() {
        let some = proxies(&["10.0.0.5", "192.168.0.0/16", "2001:db8::/32"]).unwrap();
        for (ip, is_one) in [
            ("10.0.0.5", true),
            ("::ffff:10.0.0.5", true),
            ("10.0.0.6", false),
            ("192.168.3.4", true),
            ("2001:db8::7", true),
            ("::1", false),
        ] {
            assert_eq!(some.contain(ip.parse().unwrap()), is_one, "{ip}");
        }
        assert!(proxies(&["proxy.example"]).unwrap_err().to_string().contains("10.0.0.0/24"));
    }

    #[test]
    fn the_client_is_the_last_address_that_no_trusted_proxy_has() {
        let some = proxies(&["10.0.0.0/8"]).unwrap();
        let peer: SocketAddr = "10.0.0.5:1".parse().unwrap();
        let client = |headers: &[(HeaderName, &str)]| {
            let headers: HeaderMap = headers
                .iter()
                .map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()))
                .collect();
            some.client(&headers, peer).ip().to_string()
        };
        assert_eq!(client(&[]), "10.0.0.5");
        assert_eq!(client(&[(X_FORWARDED_FOR, "1.2.3.4")]), "1.2.3.4");
        assert_eq!(
            client(&[(X_FORWARDED_FOR, "9.9.9.9, 1.2.3.4, 10.0.0.7")]),
            "1.2.3.4",
            "the first was made up"
        );
        assert_eq!(client(&[(X_FORWARDED_FOR, "10.0.0.8, 10.0.0.7")]), "10.0.0.8");
        assert_eq!(client(&[(X_FORWARDED_FOR, "[2001:db8::1]:80")]), "2001:db8::1");
        assert_eq!(client(&[(FORWARDED, "for=\"[2001:db8::1]:80\";proto=https, For=1.2.3.4")]), "1.2.3.4");
        for unreadable in ["unknown", "", "1.2.3", "1.2.3.4,"] {
            assert_eq!(client(&[(X_FORWARDED_FOR, unreadable)]), "10.0.0.5", "{unreadable:?}");
        }
        let both = |other: &str| client(&[(X_FORWARDED_FOR, "1.2.3.4"), (FORWARDED, other)]);
        assert_eq!(both("for=1.2.3.4"), "1.2.3.4");
        assert_eq!(both("for=4.3.2.1"), "10.0.0.5", "a client wrote one of them");
    }
}
