//! The client's address.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::ConnectInfo;
use http::Extensions;

/// The address that the listener noted. Requests without one share an address, and with it their limits.
pub fn peer(extensions: &Extensions) -> IpAddr {
    let noted = extensions.get::<ConnectInfo<SocketAddr>>().map(|it| it.0.ip());
    noted.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}
