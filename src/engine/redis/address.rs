//! Where a Redis is: one server, or several that know the rest.

use std::fmt;

use redis::{ConnectionAddr, IntoConnectionInfo};

use crate::base::Secret;

/// What an address variable takes.
pub(super) const ADDRESS_TAKES: &str = "host:port (IPv6: [::1]:6379), redis://[user:password@]host:port[/db], \
    rediss://… for TLS, unix:///path, or for sentinels and clusters a comma list of them";

/// One server or more, and what their URLs say besides.
#[derive(Clone)]
pub(super) struct Address {
    /// At least one.
    pub(super) places: Vec<ConnectionAddr>,
    pub(super) username: Option<String>,
    pub(super) password: Option<Secret>,
    pub(super) db: Option<i64>,
}

/// The places; never a user or a password.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places: Vec<String> = self.places.iter().map(ToString::to_string).collect();
        f.write_str(&places.join(","))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Address {
    /// Reads one address or a comma list. The first that names a user, password or database speaks for all.
    pub(super) fn parse(text: &str) -> Option<Self> {
        // A password may hold a comma.
        if let Some(one) = Self::parse_one(text) {
            return Some(one);
        }
        let mut all = text.split(',').map(|one| Self::parse_one(one.trim()));
        let mut list = all.next().flatten()?;
        for one in all {
            let one = one?;
            if one.is_tls() != list.is_tls() {
                return None;
            }
            list.places.extend(one.places);
            list.username = list.username.or(one.username);
            list.password = list.password.or(one.password);
            list.db = list.db.or(one.db);
        }
        Some(list)
    }

    /// Whether connections to it are encrypted.
    pub(super) fn is_tls(&self) -> bool {
        matches!(self.places.first(), Some(ConnectionAddr::TcpTls { .. }))
    }

    /// Whether it is a socket of this machine.
    pub(super) fn is_local(&self) -> bool {
        self.places.iter().any(|place| matches!(place, ConnectionAddr::Unix(_)))
    }

    fn parse_one(text: &str) -> Option<Self> {
        if text.contains("://") { Self::parse_url(text) } else { Self::parse_host_and_port(text) }
    }

    fn parse_host_and_port(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let host = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']')?,
            None => host,
        };
        let bare_ipv6 = host.contains(':') && !text.starts_with('[');
        let stranger = |c: char| c.is_whitespace() || matches!(c, ',' | '/' | '@' | '[' | ']');
        if host.is_empty() || bare_ipv6 || host.contains(stranger) {
            return None;
        }
        let port = port.parse().ok().filter(|port| *port != 0)?;
        let place = ConnectionAddr::Tcp(host.to_owned(), port);
        Some(Self { places: vec![place], username: None, password: None, db: None })
    }

    fn parse_url(text: &str) -> Option<Self> {
        let info = text.into_connection_info().ok()?;
        let place = info.addr().clone();
        let whole = match &place {
            // Without checking the other side's certificate, TLS protects nothing.
            ConnectionAddr::TcpTls { host, insecure, .. } => !insecure && !host.contains(','),
            ConnectionAddr::Tcp(host, _) => !host.contains(','),
            ConnectionAddr::Unix(path) => !path.to_string_lossy().contains("://"),
            _ => false,
        };
        let login = info.redis_settings();
        whole.then(|| Self {
            places: vec![place],
            username: login.username().map(str::to_owned),
            password: login.password().map(Secret::new),
            // The library does not tell "database 0" from "none named".
            db: Some(login.db()).filter(|db| *db != 0),
        })
    }
}

/// `place`, or the same server under another host and port: what a sentinel or a cluster calls its members.
pub(super) fn sibling(place: &ConnectionAddr, host: &str, port: u16) -> ConnectionAddr {
    let host = host.to_owned();
    if matches!(place, ConnectionAddr::TcpTls { .. }) {
        return ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None };
    }
    ConnectionAddr::Tcp(host, port)
}

/// The same host, another port.
pub(super) fn with_port(place: &ConnectionAddr, port: u16) -> ConnectionAddr {
    match place {
        ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => sibling(place, host, port),
        ConnectionAddr::Unix(_) | _ => place.clone(),
    }
}
