//! `authsession healthcheck`: asks the running service from outside, for images without a shell. By hand over HTTP/1.1:
//! one request, one status line, through whatever the listener asks for before it.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs},
    sync::Arc,
    time::Duration,
};

use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::ring::default_provider,
    pki_types::{CertificateDer, ServerName, UnixTime},
};

use crate::{http::ListenAddress, serve::Entrance};

/// How long to wait. Docker's own limit is 30 s by default.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Whether a service on this machine that listens on `address` answers `path` with 200. Blocks.
#[must_use]
pub fn answers(address: &ListenAddress, entrance: &Entrance, path: &str) -> bool {
    candidates(address).into_iter().any(|address| ask(address, entrance, path).is_ok_and(|ok| ok))
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

fn ask(address: SocketAddr, entrance: &Entrance, path: &str) -> io::Result<bool> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let ours = stream.local_addr()?.ip().to_canonical();
    if entrance.announcing.iter().any(|network| network.contains(&ours)) {
        // On nobody's behalf.
        stream.write_all(b"PROXY UNKNOWN\r\n")?;
    }
    if entrance.tls.is_none() {
        return converse(stream, address, path);
    }
    let client = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    let name = ServerName::from(address.ip());
    let client = ClientConnection::new(Arc::new(client), name).map_err(io::Error::other)?;
    converse(StreamOwned::new(client, stream), address, path)
}

fn converse(mut stream: impl Read + Write, address: SocketAddr, path: &str) -> io::Result<bool> {
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")?;
    stream.flush()?;
    let mut status_line = [0; "HTTP/1.1 200".len()];
    stream.read_exact(&mut status_line)?;
    Ok(status_line == *b"HTTP/1.1 200")
}

/// Takes every certificate. The question is whether a service on this machine answers; its certificate has the name by
/// which others know it, nothing secret is said, and nothing but a status believed.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}
