//! Whose request it is: the peer of the connection, or whom a trusted proxy names in `X-Forwarded-For`.

use std::net::{IpAddr, SocketAddr};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, request::Parts},
};
use ipnet::{IpNet, Ipv4Net};

use super::Problem;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The client's address. IPv4 addresses are IPv4 addresses here, also where the socket speaks IPv6.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClientAddress(pub IpAddr);

/// The other end of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Peer {
    address: IpAddr,
    names_clients: bool,
}

impl Peer {
    /// Whoever has this address: if it is a trusted proxy, it says whom it asks for.
    #[must_use]
    pub fn direct(address: IpAddr) -> Self {
        Self { address: address.to_canonical(), names_clients: true }
    }

    /// Whoever has this address, and whatever its requests say: it passes them on as they are.
    #[must_use]
    pub fn unnamed(address: IpAddr) -> Self {
        Self { address: address.to_canonical(), names_clients: false }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for ClientAddress {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        #[derive(Debug, thiserror::Error)]
        #[error("a request came in without its peer's address")]
        struct NoPeer;
        parts.extensions.get::<Self>().copied().ok_or_else(|| Problem::internal(&NoPeer))
    }
}

/// Reads `X-Forwarded-For` from the right, hop by hop, as long as who says so is a trusted proxy. Several header
/// lines are one list (RFC 9110 section 5.3). An entry that is no address ends the walk.
pub(super) fn find(peer: Peer, headers: &HeaderMap, proxies: &[IpNet]) -> ClientAddress {
    let Peer { mut address, names_clients } = peer;
    if !names_clients {
        return ClientAddress(address);
    }
    let lines = headers.get_all(FORWARDED_FOR).iter().rev();
    // In bytes, so that what a client sends cannot spoil what its proxy adds to the same line.
    let mut hops = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    while proxies.iter().any(|proxy| proxy.contains(&address)) {
        let Some(before) = hops.next().and_then(parse_hop) else { break };
        address = before;
    }
    ClientAddress(address)
}

/// `1.2.3.4`, `1.2.3.4:5678`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:443`.
fn parse_hop(hop: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(hop).ok()?.trim();
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(IpAddr::V6);
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    text.parse().ok().or_else(with_port).or_else(bracketed).map(|address: IpAddr| address.to_canonical())
}

/// A network in CIDR form, or a single address. IPv4 written as IPv6 is IPv4.
pub(super) fn parse_network(text: &str) -> Option<IpNet> {
    let network = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))?;
    match (network.addr().to_canonical(), network.prefix_len().checked_sub(96), network) {
        (IpAddr::V4(v4), Some(length), IpNet::V6(_)) => Ipv4Net::new(v4, length).ok().map(IpNet::V4),
        (_, _, network) => Some(network),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn client(peer: &str, lines: &[&str]) -> String {
        let proxies: Vec<IpNet> = ["10.0.0.0/8", "::ffff:192.168.0.0/112", "2001:db8:a::/48", "127.0.0.1"]
            .map(|text| parse_network(text).unwrap())
            .to_vec();
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        find(Peer::direct(peer.parse().unwrap()), &headers, &proxies).0.to_string()
    }

    #[test]
    fn a_stranger_is_never_believed() {
        assert_eq!(client("203.0.113.9", &["198.51.100.1"]), "203.0.113.9");
        assert_eq!(client("::ffff:203.0.113.9", &["198.51.100.1"]), "203.0.113.9");
        assert_eq!(client("11.0.0.1", &[]), "11.0.0.1");
    }

    #[test]
    fn the_last_address_that_is_no_trusted_proxy_is_the_client() {
        for (lines, expected) in [
            (&["198.51.100.1"][..], "198.51.100.1"),
            (&["6.6.6.6, 198.51.100.1"], "198.51.100.1"),
            (&["6.6.6.6, 198.51.100.1 ,10.2.3.4"], "198.51.100.1"),
            (&["6.6.6.6, 198.51.100.1", "192.168.7.7, 10.2.3.4"], "198.51.100.1"),
            (&["10.9.9.9, 10.2.3.4"], "10.9.9.9"),
            (&[], "10.0.0.1"),
        ] {
            assert_eq!(client("10.0.0.1", lines), expected, "{lines:?}");
            assert_eq!(client("::ffff:10.0.0.1", lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn hops_are_read_with_ports_and_brackets() {
        for (hop, expected) in [
            ("198.51.100.1:443", "198.51.100.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("::ffff:198.51.100.1", "198.51.100.1"),
            ("[::ffff:198.51.100.1]:1", "198.51.100.1"),
        ] {
            assert_eq!(client("2001:db8:a::1", &[hop]), expected, "{hop}");
        }
    }

    #[test]
    fn a_malformed_hop_ends_the_walk_at_the_last_good_one() {
        for hop in ["", "unknown", "_hidden", "1.2.3", "1.2.3.4.5", "fe80::1%eth0", "\u{e4}", "1.2.3.4:x"] {
            assert_eq!(client("10.0.0.1", &[&format!("198.51.100.1, {hop}, 10.0.0.2")]), "10.0.0.2", "{hop}");
            assert_eq!(client("10.0.0.1", &["198.51.100.1", hop]), "10.0.0.1", "{hop}");
        }
    }

    #[test]
    fn nothing_that_a_client_sends_chooses_its_address() {
        let long = "6.6.6.6, ".repeat(1000);
        for forged in [
            "6.6.6.6",
            "6.6.6.6, 7.7.7.7",
            ",,,",
            ", 6.6.6.6,",
            "10.0.0.7",
            "10.0.0.7, 10.0.0.8",
            "::ffff:6.6.6.6",
            "[::1]:80",
            "fe80::1%eth0",
            "[fe80::1%1]:80",
            "for=6.6.6.6",
            "6.6.6.6;10.0.0.9",
            "6.6.6.6\t",
            "\"6.6.6.6\"",
            "0x06060606",
            "06.06.06.06",
            "6.6.6.6:99999",
            "\u{ff16}.6.6.6",
            &long,
        ] {
            // What its proxy adds: on the same line, or on one of its own.
            for lines in [&[&*format!("{forged}, 203.0.113.9")][..], &[forged, "203.0.113.9"]] {
                assert_eq!(client("10.0.0.1", lines), "203.0.113.9", "{forged}");
            }
            assert_eq!(client("203.0.113.9", &[forged]), "203.0.113.9", "{forged} without a proxy");
        }
    }

    #[test]
    fn whoever_passes_on_requests_as_they_are_is_the_client_itself() {
        let headers = HeaderMap::from_iter([(FORWARDED_FOR, HeaderValue::from_static("6.6.6.6"))]);
        let proxies = [parse_network("10.0.0.0/8").unwrap()];
        let peer = [10, 0, 0, 1].into();
        assert_eq!(find(Peer::unnamed(peer), &headers, &proxies).0, peer);
        assert_eq!(find(Peer::direct(peer), &headers, &proxies).0.to_string(), "6.6.6.6");
    }

    fn hop() -> impl Strategy<Value = String> {
        let written = |address: IpAddr, port: u16, form: u8| match (form % 3, address) {
            (0, _) => address.to_string(),
            (_, IpAddr::V6(v6)) if form.is_multiple_of(2) => format!("[{v6}]"),
            (_, address) => SocketAddr::new(address, port).to_string(),
        };
        (any::<IpAddr>(), any::<u16>(), any::<u8>())
            .prop_map(move |(address, port, form)| written(address, port, form))
    }

    proptest! {
        /// Whatever is on the left, of whatever bytes a header may have: the client is whom the proxy has added.
        #[test]
        fn the_left_does_not_matter(
            forged in proptest::collection::vec("[ -~\u{80}-\u{ff}]{0,40}", 0..5),
            client_address in any::<IpAddr>(),
            proxies_behind in 0usize..3,
            own_line in any::<bool>(),
        ) {
            let text = client_address.to_string();
            let added = [vec![text], vec!["10.9.9.9".to_owned(); proxies_behind]].concat().join(", ");
            let lines: Vec<String> = if own_line || forged.is_empty() {
                forged.iter().cloned().chain([added]).collect()
            } else {
                vec![format!("{},{added}", forged.join(","))]
            };
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let trusted = ["10.0.0.0/8", "192.168.0.0/16", "2001:db8:a::/48", "127.0.0.1"];
            let canonical = client_address.to_canonical();
            let is_trusted = trusted.iter().any(|net| parse_network(net).unwrap().contains(&canonical));
            prop_assume!(!is_trusted);
            prop_assert_eq!(client("10.0.0.1", &lines), canonical.to_string());
            // And without a proxy, nothing matters at all.
            prop_assert_eq!(client(&client_address.to_string(), &lines), canonical.to_string());
        }

        #[test]
        fn every_way_to_write_an_address_is_read_alike(hop in hop()) {
            let bare = hop.parse::<SocketAddr>().map(|address| address.ip());
            let bare = bare.or_else(|_| hop.trim_matches(['[', ']']).parse::<IpAddr>()).unwrap();
            prop_assert_eq!(parse_hop(hop.as_bytes()), Some(bare.to_canonical()));
        }

        #[test]
        fn no_bytes_bring_it_down(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = parse_hop(&bytes);
            let _ = parse_network(&String::from_utf8_lossy(&bytes));
        }
    }
}
