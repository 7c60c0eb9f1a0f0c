//! Who may be asked. The hub is wherever the operator says; whoever the hub sends us to must be in public, or a hub
//! could make this server ask its own neighbours.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use hyper_util::client::legacy::connect::dns::Name;
use tower::Service;
use url::{Host, Url};

/// Whether the hub at `base` may send us to `to`; the end of a sentence that says why not.
pub(super) fn may_go(base: &Url, to: &Url, private_addresses: bool) -> Result<(), &'static str> {
    match (base.scheme(), to.scheme()) {
        ("http", "http") | (_, "https") => {}
        (_, "http") => return Err("is not encrypted"),
        (_, _) => return Err("is neither http nor https"),
    }
    let is_private = match to.host() {
        Some(Host::Ipv4(ip)) => !is_public(IpAddr::V4(ip)),
        Some(Host::Ipv6(ip)) => !is_public(IpAddr::V6(ip)),
        // Names are checked when they are resolved.
        Some(Host::Domain(_)) => false,
        None => return Err("names no host"),
    };
    if is_private && !private_addresses && to.host() != base.host() {
        return Err("is a private address; hub.private_addresses allows that");
    }
    Ok(())
}

/// Whether an address is one that the whole world can reach.
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            let is_shared = a == 100 && (64..128).contains(&b);
            let is_benchmark = a == 198 && (18..20).contains(&b);
            !(ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local()
                || ip.is_multicast()
                || ip.is_broadcast()
                || ip.is_documentation()
                || is_shared
                || is_benchmark
                || a == 0
                || a >= 240)
        }
        IpAddr::V6(ip) => {
            if let Some(inner) = ip.to_ipv4() {
                return is_public(IpAddr::V4(inner));
            }
            // What is not global unicast is local, multicast or reserved; 64:ff9b::/96 hides an IPv4 address.
            let [first, second, ..] = ip.segments();
            (first & 0xe000 == 0x2000) && !(first == 0x2001 && second == 0xdb8)
        }
    }
}

/// Looks names up and drops private addresses, but for the hub's own name, which the operator wrote down.
#[derive(Clone, Debug)]
pub(super) struct Resolver {
    /// The hub's own name.
    pub(super) trusted: String,
    pub(super) private_addresses: bool,
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = BoxFuture<'static, Result<Self::Response, io::Error>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let any = self.private_addresses || name.as_str() == self.trusted;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let kept: Vec<SocketAddr> = found.filter(|it| any || is_public(it.ip())).collect();
            if kept.is_empty() {
                return Err(io::Error::other(format!(
                    "{} has no public address; hub.private_addresses allows others",
                    name.as_str()
                )));
            }
            Ok(kept.into_iter())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_leads_neither_out_of_tls_nor_into_this_network() {
        let go = |base: &str, to: &str, private| {
            may_go(&Url::parse(base).unwrap(), &Url::parse(to).unwrap(), private).is_ok()
        };
        assert!(go("https://hub.co", "https://cdn.co/x", false));
        assert!(go("http://10.0.0.1", "http://10.0.0.1/x", false), "the hub's own address");
        assert!(go("http://10.0.0.1", "http://10.0.0.2/x", true));
        for bad in [
            "http://cdn.co/x",
            "https://169.254.169.254/x",
            "https://[::1]/x",
            "https://0x7f000001/x",
            "file:///etc/passwd",
        ] {
            assert!(!go("https://hub.co", bad, false), "{bad}");
        }
        assert!(!go("https://hub.co", "http://cdn.co/x", true), "no key opens TLS");
    }

    #[tokio::test]
    async fn a_name_that_leads_into_this_network_is_not_resolved() {
        let resolve = async |trusted: &str, private_addresses| {
            let mut resolver = Resolver { trusted: trusted.to_owned(), private_addresses };
            resolver.call("localhost".parse().unwrap()).await.is_ok()
        };
        assert!(!resolve("hub.co", false).await);
        assert!(resolve("localhost", false).await && resolve("hub.co", true).await);
    }

    #[test]
    fn private_addresses_are_told_from_public_ones() {
        for private in [
            "10.1.2.3",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "0.0.0.0",
            "::1",
            "fe80::1",
            "fd00::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "ff02::1",
            "::",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
        for public in ["1.1.1.1", "172.15.0.1", "2606:4700::1111"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }
}
