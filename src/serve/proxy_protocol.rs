//! The PROXY protocol, versions 1 and 2: whom a trusted proxy in front has connected to us, told before the first byte of
//! the client's own. Not a byte of the client's is taken, and whatever is not exactly such a header ends the connection:
//! guessing would let a client tell its own address.

use std::{io, net::IpAddr};

use ppp::{v1, v2};
use tokio::{io::AsyncReadExt, net::TcpStream};

use crate::http::Peer;

/// The longest line of version 1, its end included.
const LONGEST_LINE: usize = 107;

/// The longest header of version 2 behind its first 16 bytes. Its length field could say 65535; what proxies add to the
/// addresses (certificates' names, ids of endpoints) stays far below.
const LONGEST_BINARY: usize = 4096;

/// The end of the connection: no header, or none that is sound.
#[derive(Debug, thiserror::Error)]
pub(super) enum BadHeader {
    #[error("the connection broke off in the PROXY header")]
    Broken(#[from] io::Error),
    #[error("a trusted proxy sent no sound PROXY header")]
    Unsound,
}

/// Reads the header that `stream` begins with. A header without an address (a proxy's own health checks) leaves the proxy
/// as the client, and then nothing in the request is believed about anybody else: it is not the proxy who wrote it.
pub(super) async fn read(stream: &mut TcpStream, proxy: IpAddr) -> Result<Peer, BadHeader> {
    let mut start = [0; v2::PROTOCOL_PREFIX.len()];
    stream.read_exact(&mut start).await?;
    let named = if start == *v2::PROTOCOL_PREFIX {
        read_binary(stream, start.to_vec()).await?
    } else if start.starts_with(b"PROXY ") {
        read_line(stream, start.to_vec()).await?
    } else {
        return Err(BadHeader::Unsound);
    };
    Ok(named.map_or(Peer::unnamed(proxy), Peer::direct))
}

async fn read_binary(stream: &mut TcpStream, mut header: Vec<u8>) -> Result<Option<IpAddr>, BadHeader> {
    let mut fixed = [0; 4];
    stream.read_exact(&mut fixed).await?;
    let [_, _, high, low] = fixed;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > LONGEST_BINARY {
        return Err(BadHeader::Unsound);
    }
    header.extend(fixed);
    let start = header.len();
    header.resize(start + length, 0);
    let Some(rest) = header.get_mut(start..) else { return Err(BadHeader::Unsound) };
    stream.read_exact(rest).await?;
    parse_binary(&header)
}

/// A line of version 1 is looked at before it is taken, as nothing in it says how long it is.
async fn read_line(stream: &mut TcpStream, mut line: Vec<u8>) -> Result<Option<IpAddr>, BadHeader> {
    while line.len() < LONGEST_LINE && line.last() != Some(&b'\n') {
        let mut ahead = [0; LONGEST_LINE];
        let room = LONGEST_LINE - line.len();
        let Some(window) = ahead.get_mut(..room) else { return Err(BadHeader::Unsound) };
        let seen = stream.peek(window).await?;
        let end = window.iter().take(seen).position(|byte| *byte == b'\n').map_or(seen, |at| at + 1);
        let Some(ours) = window.get_mut(..end).filter(|ours| !ours.is_empty()) else {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        };
        stream.read_exact(ours).await?;
        line.extend_from_slice(ours);
    }
    parse_line(&line)
}

fn parse_binary(header: &[u8]) -> Result<Option<IpAddr>, BadHeader> {
    let parsed = v2::Header::try_from(header).map_err(|_| BadHeader::Unsound)?;
    match (parsed.command, parsed.protocol, parsed.addresses) {
        (v2::Command::Local, ..) | (_, _, v2::Addresses::Unspecified) => Ok(None),
        (_, v2::Protocol::Stream, v2::Addresses::IPv4(ends)) => Ok(Some(ends.source_address.into())),
        (_, v2::Protocol::Stream, v2::Addresses::IPv6(ends)) => Ok(Some(ends.source_address.into())),
        // Nothing that comes through TCP can have started as anything else.
        (_, _, v2::Addresses::IPv4(_) | v2::Addresses::IPv6(_) | v2::Addresses::Unix(_)) => {
            Err(BadHeader::Unsound)
        }
    }
}

fn parse_line(line: &[u8]) -> Result<Option<IpAddr>, BadHeader> {
    let parsed = v1::Header::try_from(line).map_err(|_| BadHeader::Unsound)?;
    Ok(match parsed.addresses {
        v1::Addresses::Unknown => None,
        v1::Addresses::Tcp4(ends) => Some(ends.source_address.into()),
        v1::Addresses::Tcp6(ends) => Some(ends.source_address.into()),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::{io::AsyncWriteExt, net::TcpListener};

    use super::*;

    fn binary(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
        [v2::PROTOCOL_PREFIX, &[command, family], &length, payload].concat()
    }

    /// What a connection from 10.0.0.1 that begins with `bytes` is taken for, and what is left of them.
    async fn told(bytes: &[u8]) -> Option<(Peer, Vec<u8>)> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        client.write_all(bytes).await.unwrap();
        client.shutdown().await.unwrap();
        let peer = read(&mut server, [10, 0, 0, 1].into()).await.ok()?;
        let mut rest = Vec::new();
        server.read_to_end(&mut rest).await.unwrap();
        Some((peer, rest))
    }

    const V4: [u8; 12] = [203, 0, 113, 9, 10, 0, 0, 1, 0x30, 0x39, 0, 80];

    fn v6(source: &str) -> Vec<u8> {
        let source: std::net::Ipv6Addr = source.parse().unwrap();
        [&source.octets()[..], &[0; 16], &[1, 2, 3, 4]].concat()
    }

    #[tokio::test]
    async fn the_address_is_the_header_s_and_every_byte_behind_it_is_the_client_s() {
        let with_extras = [&V4[..], &[0x04, 0, 3, 0, 0, 0]].concat();
        for (header, address) in [
            (b"PROXY TCP4 203.0.113.9 10.0.0.1 12345 80\r\n".to_vec(), "203.0.113.9"),
            (b"PROXY TCP6 2001:db8::9 2001:db8::1 65535 80\r\n".to_vec(), "2001:db8::9"),
            (b"PROXY TCP6 ::ffff:203.0.113.9 ::1 1 80\r\n".to_vec(), "203.0.113.9"),
            (binary(0x21, 0x11, &V4), "203.0.113.9"),
            (binary(0x21, 0x11, &with_extras), "203.0.113.9"),
            (binary(0x21, 0x21, &v6("2001:db8::9")), "2001:db8::9"),
            (binary(0x21, 0x21, &v6("::ffff:203.0.113.9")), "203.0.113.9"),
        ] {
            let all = [&header[..], b"GET / HTTP/1.1\r\n\r\nPROXY TCP4 6.6.6.6 1.1.1.1 1 1\r\n"].concat();
            let (peer, rest) = told(&all).await.unwrap();
            assert_eq!(peer, Peer::direct(address.parse().unwrap()));
            assert_eq!(rest, all[header.len()..], "{address}");
        }
    }

    #[tokio::test]
    async fn a_header_without_an_address_leaves_the_proxy_and_believes_it_nothing_more() {
        for header in [
            b"PROXY UNKNOWN\r\n".to_vec(),
            b"PROXY UNKNOWN 6.6.6.6 1.1.1.1 1 1\r\n".to_vec(),
            binary(0x20, 0x00, &[]),
            binary(0x20, 0x11, &V4),
            binary(0x21, 0x00, &[]),
        ] {
            let (peer, rest) = told(&[&header[..], b"GET"].concat()).await.unwrap();
            assert_eq!((peer, rest.as_slice()), (Peer::unnamed([10, 0, 0, 1].into()), &b"GET"[..]));
        }
    }

    #[tokio::test]
    async fn anything_else_ends_the_connection() {
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(100));
        for header in [
            b"".to_vec(),
            b"PROXY".to_vec(),
            b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
            b"proxy TCP4 203.0.113.9 10.0.0.1 1 80\r\n".to_vec(),
            b" PROXY TCP4 203.0.113.9 10.0.0.1 1 80\r\n".to_vec(),
            b"PROXY TCP4 203.0.113.9 10.0.0.1 1 80\n".to_vec(),
            b"PROXY TCP4 203.0.113.9 10.0.0.1 1 80\r6.6.6.6\r\n".to_vec(),
            b"PROXY TCP4 203.0.113.9 10.0.0.1 1 80".to_vec(),
            b"PROXY TCP4 203.0.113.9\r\n".to_vec(),
            b"PROXY TCP4 203.0.113.9 10.0.0.1 1 80 7\r\n".to_vec(),
            b"PROXY TCP4 203.0.113.9  10.0.0.1 1 80\r\n".to_vec(),
            b"PROXY TCP4 203.0.113.256 10.0.0.1 1 80\r\n".to_vec(),
            b"PROXY TCP4 0203.0.113.9 10.0.0.1 1 80\r\n".to_vec(),
            b"PROXY TCP4 2001:db8::9 ::1 1 80\r\n".to_vec(),
            b"PROXY TCP6 203.0.113.9 10.0.0.1 1 80\r\n".to_vec(),
            b"PROXY TCP6 fe80::1%eth0 ::1 1 80\r\n".to_vec(),
            b"PROXY TCP6 [2001:db8::9] ::1 1 80\r\n".to_vec(),
            b"PROXY TCP4 203.0.113.9 10.0.0.1 65536 80\r\n".to_vec(),
            b"PROXY UDP4 203.0.113.9 10.0.0.1 1 80\r\n".to_vec(),
            long.into_bytes(),
            binary(0x11, 0x11, &V4),
            binary(0x22, 0x11, &V4),
            binary(0x21, 0x11, &V4[..11]),
            binary(0x21, 0x21, &V4),
            binary(0x21, 0x41, &V4),
            binary(0x21, 0x12, &V4),
            binary(0x21, 0x31, &[0; 216]),
            binary(0x21, 0x11, &[0; LONGEST_BINARY + 1]),
            binary(0x21, 0x11, &V4)[..20].to_vec(),
            v2::PROTOCOL_PREFIX.to_vec(),
        ] {
            assert!(told(&header).await.is_none(), "{:?}", String::from_utf8_lossy(&header));
        }
    }

    #[tokio::test]
    async fn a_line_may_come_byte_by_byte() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        client.set_nodelay(true).unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        let sending = tokio::spawn(async move {
            for byte in b"PROXY TCP4 203.0.113.9 10.0.0.1 12345 80\r\nG" {
                client.write_all(&[*byte]).await.unwrap();
                tokio::task::yield_now().await;
            }
            client
        });
        let peer = read(&mut server, [10, 0, 0, 1].into()).await.unwrap();
        assert_eq!(peer, Peer::direct([203, 0, 113, 9].into()));
        let _client = sending.await.unwrap();
        assert_eq!(server.read_u8().await.unwrap(), b'G');
    }

    proptest! {
        #[test]
        fn no_bytes_bring_the_parsers_down(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse_line(&bytes);
            let _ = parse_binary(&bytes);
            let _ = parse_binary(&binary(0x21, bytes.first().copied().unwrap_or_default(), &bytes));
        }

        #[test]
        fn the_address_is_the_one_that_was_sent(source in any::<[u8; 4]>(), port in any::<u16>()) {
            let address = IpAddr::from(source);
            let line = format!("PROXY TCP4 {address} 10.0.0.1 {port} 80\r\n");
            prop_assert_eq!(parse_line(line.as_bytes()).unwrap(), Some(address));
            let payload = [&source[..], &[10, 0, 0, 1], &port.to_be_bytes(), &[0, 80]].concat();
            prop_assert_eq!(parse_binary(&binary(0x21, 0x11, &payload)).unwrap(), Some(address));
        }
    }
}
