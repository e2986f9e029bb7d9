//! Where to listen, in Go's form.

use std::fmt;

/// `host:port`, `[v6]:port`, or `:port` for every interface. Port 0 lets the system choose.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListenAddress {
    /// An address or a name; empty for every interface.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl ListenAddress {
    /// What [`Self::parse`] takes, for a message.
    pub const TAKES: &str = "an address such as :8080, 127.0.0.1:8080 or [::1]:8080";

    /// From Go's form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|_| digits)?;
        let host = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').filter(|v6| v6.parse::<std::net::Ipv6Addr>().is_ok())?,
            None => Some(host).filter(|host| host.is_empty() || is_host(host))?,
        };
        Some(Self { host: host.to_owned(), port })
    }

    /// The default that stands in the contract.
    pub(super) fn on(host: &str, port: u16) -> Self {
        Self { host: host.to_owned(), port }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// An IPv4 address, or letters, digits, hyphens and dots; the resolver says whether there is such a name.
fn is_host(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gos_form_is_read_and_printed_alike() {
        for text in [":8080", "127.0.0.1:8081", "[::1]:8080", "[::]:0", "localhost:65535"] {
            assert_eq!(ListenAddress::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(ListenAddress::parse("[::1]:80").unwrap().host, "::1");
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            "8080",
            ":",
            ":65536",
            ":+80",
            "::1:8080",
            "[::1]",
            "[1.2.3.4]:80",
            "[::1:80",
            "a b:80",
            "http://x:80",
        ] {
            assert_eq!(ListenAddress::parse(text), None, "{text}");
        }
    }
}
