//! How to reach Redis. The options are shared by the store and the gateway's copy; the address is each one's own.

use std::{fmt, ops::RangeInclusive, path::PathBuf, time::Duration};

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo};

use crate::base::{Secret, settings::Reader};

/// What an address variable takes.
const ADDRESS_TAKES: &str =
    "host:port (IPv6: [::1]:6379), redis://[user:password@]host:port[/db] or unix:///path";
const TIMEOUT: Duration = Duration::from_millis(500);
const LONGEST_TIMEOUT: Duration = Duration::from_secs(10);
const DATABASES: RangeInclusive<u64> = 0..=16_383;
const REPLICAS: RangeInclusive<u64> = 0..=100;

/// Everything but the address.
#[derive(Clone, Debug)]
pub struct Options {
    username: Option<String>,
    password: Option<Secret>,
    db: i64,
    key_prefix: String,
    operation_timeout: Duration,
    min_replicas: u64,
}

/// How to reach one Redis.
#[derive(Clone, Debug)]
pub struct Settings {
    address: Address,
    options: Options,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Standalone,
    Sentinel,
    Cluster,
}

/// One server, and what its URL says besides. What a URL says goes before the options.
#[derive(Clone)]
struct Address {
    place: ConnectionAddr,
    username: Option<String>,
    password: Option<Secret>,
    db: Option<i64>,
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.place)
    }
}

impl Options {
    /// Reads `AUTHSESSION_REDIS_*`, the address excepted. To be called once.
    pub fn read(reader: &mut Reader) -> Self {
        let modes =
            [("standalone", Mode::Standalone), ("sentinel", Mode::Sentinel), ("cluster", Mode::Cluster)];
        let mode = reader.choice("AUTHSESSION_REDIS_MODE", Mode::Standalone, &modes);
        let ca_file =
            reader.optional("AUTHSESSION_REDIS_TLS_CA_FILE", "a path", |path| Some(PathBuf::from(path)));
        // Only `sentinel` will use it.
        reader.text("AUTHSESSION_REDIS_SENTINEL_MASTER");
        if mode != Mode::Standalone {
            reader.fault("AUTHSESSION_REDIS_MODE: sentinel and cluster are not served yet");
        }
        if ca_file.is_some() {
            reader.fault("AUTHSESSION_REDIS_TLS_CA_FILE: TLS to Redis is not served yet");
        }
        let default_replicas = u64::from(mode != Mode::Standalone);
        Self {
            username: reader.text("AUTHSESSION_REDIS_USERNAME"),
            password: reader.text("AUTHSESSION_REDIS_PASSWORD").map(Secret::new),
            db: reader.number("AUTHSESSION_REDIS_DB", 0, DATABASES).try_into().unwrap_or_default(),
            key_prefix: read_prefix(reader),
            operation_timeout: reader.duration(
                "AUTHSESSION_REDIS_OPERATION_TIMEOUT",
                TIMEOUT,
                LONGEST_TIMEOUT,
            ),
            min_replicas: reader.number("AUTHSESSION_REDIS_MIN_REPLICAS", default_replicas, REPLICAS),
        }
    }

    /// These options with the address in the variable `name`; nothing where that is unset or bad.
    pub fn at(&self, reader: &mut Reader, name: &'static str) -> Option<Settings> {
        let address = reader.optional(name, ADDRESS_TAKES, Address::parse)?;
        Some(Settings { address, options: self.clone() })
    }
}

/// Host and port, or the socket's path; never a user or a password.
impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.place.fmt(f)
    }
}

impl Settings {
    /// The store's Redis: nothing where `AUTHSESSION_REDIS_ADDR` is unset.
    pub fn read(reader: &mut Reader) -> Option<Self> {
        Options::read(reader).at(reader, "AUTHSESSION_REDIS_ADDR")
    }

    /// The same options with another address; nothing where that is not an address.
    #[must_use]
    pub fn with_addr(&self, addr: &str) -> Option<Self> {
        Some(Self { address: Address::parse(addr)?, options: self.options.clone() })
    }

    /// What every key of ours starts with.
    #[must_use]
    pub fn key_prefix(&self) -> &str {
        &self.options.key_prefix
    }

    /// How long anything asked of Redis may take, connecting included.
    #[must_use]
    pub const fn operation_timeout(&self) -> Duration {
        self.options.operation_timeout
    }

    /// How many replicas must have a commit before it counts.
    #[must_use]
    pub const fn min_replicas(&self) -> u64 {
        self.options.min_replicas
    }

    /// As the client library wants it. Holds the password in the clear: made where a connection is.
    pub(super) fn connection_info(&self) -> redis::RedisResult<ConnectionInfo> {
        let info = self.address.place.clone().into_connection_info()?;
        let db = self.address.db.unwrap_or(self.options.db);
        let mut login = info.redis_settings().clone().set_db(db);
        if let Some(username) = self.address.username.as_ref().or(self.options.username.as_ref()) {
            login = login.set_username(username);
        }
        if let Some(password) = self.address.password.as_ref().or(self.options.password.as_ref()) {
            login = login.set_password(String::from_utf8_lossy(password.expose()));
        }
        Ok(info.set_redis_settings(login))
    }
}

impl Address {
    fn parse(text: &str) -> Option<Self> {
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
        Some(Self { place, username: None, password: None, db: None })
    }

    fn parse_url(text: &str) -> Option<Self> {
        let info = text.into_connection_info().ok()?;
        let place = info.addr().clone();
        if !matches!(place, ConnectionAddr::Tcp(..) | ConnectionAddr::Unix(_)) {
            // TLS is not served yet.
            return None;
        }
        let login = info.redis_settings();
        Some(Self {
            place,
            username: login.username().map(str::to_owned),
            password: login.password().map(Secret::new),
            // The library does not tell "database 0" from "none named".
            db: Some(login.db()).filter(|db| *db != 0),
        })
    }
}

fn read_prefix(reader: &mut Reader) -> String {
    // A brace would make Redis Cluster take the wrong part of a key for its slot.
    let fits = |text: &str| text.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '{' | '}'));
    reader
        .optional("AUTHSESSION_REDIS_KEY_PREFIX", "visible ASCII characters without braces", |text| {
            fits(text).then(|| text.to_owned())
        })
        .unwrap_or_else(|| "authsession:".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Option<Settings>, Vec<String>> {
        let variables =
            variables.iter().map(|(name, value)| (format!("AUTHSESSION_REDIS_{name}"), (*value).to_owned()));
        let mut reader = Reader::new(variables);
        let settings = Settings::read(&mut reader);
        reader.finish().map(|()| settings).map_err(|faults| faults.0)
    }

    fn at(addr: &str) -> String {
        read(&[("ADDR", addr)]).unwrap().unwrap().connection_info().unwrap().addr().to_string()
    }

    #[test]
    fn no_address_means_no_redis() {
        assert!(read(&[]).unwrap().is_none());
    }

    #[test]
    fn addresses_are_read_in_every_form() {
        assert_eq!(at("127.0.0.1:6379"), "127.0.0.1:6379");
        assert_eq!(at("[::1]:6380"), "::1:6380");
        assert_eq!(at("redis.internal:6379"), "redis.internal:6379");
        assert_eq!(at("redis://cache"), "cache:6379");
        assert_eq!(at("unix:///run/redis.sock"), "/run/redis.sock");
        assert_eq!(at("redis+unix:///run/redis.sock"), "/run/redis.sock");
        for wrong in
            ["cache", ":6379", "::1:6379", "a:1,b:2", "cache:0", "cache:99999", "http://cache:1", "[::1:1"]
        {
            assert!(read(&[("ADDR", wrong)]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_the_url_says_goes_before_the_options() {
        let options = [("USERNAME", "u"), ("PASSWORD", "p"), ("DB", "5")];
        let with = |addr| read(&[&[("ADDR", addr)], &options[..]].concat()).unwrap().unwrap();
        let login = |settings: &Settings| {
            let info = settings.connection_info().unwrap();
            let login = info.redis_settings();
            (login.username().unwrap().to_owned(), login.password().unwrap().to_owned(), login.db())
        };
        let settings = with("cache:1");
        assert_eq!(login(&settings), ("u".into(), "p".into(), 5));
        let other = settings.with_addr("redis://x:p%40ss@cache:1/7").unwrap();
        assert_eq!(login(&other), ("x".into(), "p@ss".into(), 7));
        assert!(!format!("{settings:?}{other:?}").contains("p@ss"));
    }

    #[test]
    fn what_is_not_served_yet_stops_the_start() {
        for (name, value) in [
            ("MODE", "sentinel"),
            ("MODE", "cluster"),
            ("TLS_CA_FILE", "/ca.pem"),
            ("ADDR", "rediss://cache:1"),
        ] {
            assert!(read(&[(name, value)]).is_err(), "{name}");
        }
        assert_eq!(read(&[("KEY_PREFIX", "a{b}")]).unwrap_err().len(), 1);
    }
}
