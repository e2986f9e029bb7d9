//! `authsession healthcheck`: asks the running service from outside, for images without a shell. By hand over HTTP/1.1:
//! one request, one status line.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs},
    time::Duration,
};

use crate::http::ListenAddress;

/// How long to wait. Docker's own limit is 30 s by default.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Whether a service on this machine that listens on `address` answers `path` with 200. Blocks.
#[must_use]
pub fn answers(address: &ListenAddress, path: &str) -> bool {
    candidates(address).into_iter().any(|address| ask(address, path).is_ok_and(|ok| ok))
}

/// Where a service that listens on `address` is reached from the same machine.
fn candidates(address: &ListenAddress) -> Vec<SocketAddr> {
    let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    let everywhere = || loopback.map(|ip| SocketAddr::new(ip, address.port)).to_vec();
    if address.host.is_empty() || address.host.parse().is_ok_and(|ip: IpAddr| ip.is_unspecified()) {
        return everywhere();
    }
    (address.host.as_str(), address.port).to_socket_addrs().map(Iterator::collect).unwrap_or_default()
}

fn ask(address: SocketAddr, path: &str) -> io::Result<bool> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")?;
    let mut status_line = [0; "HTTP/1.1 200".len()];
    stream.read_exact(&mut status_line)?;
    Ok(status_line == *b"HTTP/1.1 200")
}
