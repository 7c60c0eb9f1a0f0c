//! The network, and sockets of this host.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixDatagram, UnixListener, UnixStream};
use std::time::Duration;

use dedi_testing::EscapeTargets;
use rustix::net::{AddressFamily, SocketType, netlink, socket};

use super::Report;

/// Where hosting companies answer with a machine's credentials.
const METADATA: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)), 80);

/// Long enough for a neighbour; nobody waits for an answer from outside.
const WAIT_MAX: Duration = Duration::from_millis(200);

pub(super) fn attempt(targets: &EscapeTargets, report: &mut Report) {
    let here = SocketAddr::from((Ipv4Addr::LOCALHOST, targets.port));
    report.note("connect to a port of this host", TcpStream::connect_timeout(&here, WAIT_MAX));
    report.note("connect to the metadata address", TcpStream::connect_timeout(&METADATA, WAIT_MAX));
    report.note("listen on a TCP port", TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
    report.note(
        "send a datagram",
        UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|it| it.send_to(b"x", here)),
    );
    let families = [
        ("internet, version 6,", AddressFamily::INET6, SocketType::STREAM),
        ("raw internet", AddressFamily::INET, SocketType::RAW),
        ("packet", AddressFamily::PACKET, SocketType::RAW),
        ("virtual machine", AddressFamily::VSOCK, SocketType::STREAM),
        ("kernel cryptography", AddressFamily::from_raw(38), SocketType::SEQPACKET),
        ("unix datagram", AddressFamily::UNIX, SocketType::DGRAM),
        ("raw unix", AddressFamily::UNIX, SocketType::RAW),
    ];
    for (name, family, kind) in families {
        report.note(format!("open a {name} socket"), socket(family, kind, None).map_err(io::Error::from));
    }
    let others = socket(AddressFamily::NETLINK, SocketType::RAW, Some(netlink::SOCK_DIAG));
    report.note("list others' connections", others.map_err(io::Error::from));
    report.note("make a pair for datagrams", UnixDatagram::pair());
    for (name, path) in &targets.sockets {
        report.note(format!("connect to {name}"), UnixStream::connect(path));
    }
    let address = UnixAddr::from_abstract_name(&targets.abstract_socket);
    report.note("connect to an abstract socket", address.and_then(|it| UnixStream::connect_addr(&it)));

    report.note("own: make a pair of sockets", UnixStream::pair());
    report.note("own: listen on a socket", UnixListener::bind("escape.sock"));
    let devices = socket(AddressFamily::NETLINK, SocketType::RAW, None);
    report.note("own: ask for network devices", devices.map_err(io::Error::from));
}
