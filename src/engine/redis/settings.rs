//! How to reach Redis. The options are shared by the store and the gateway's copy; the address is each one's own.

use std::{fmt, ops::RangeInclusive, time::Duration};

use redis::{Client, ConnectionAddr, IntoConnectionInfo, ProtocolVersion, RedisResult};

use super::{
    address::{ADDRESS_TAKES, Address},
    tls::Tls,
    topology::tcp_settings,
};
use crate::base::{Secret, settings::Reader, use_ring};

const TIMEOUT: Duration = Duration::from_millis(500);
const LONGEST_TIMEOUT: Duration = Duration::from_secs(10);
const DATABASES: RangeInclusive<u64> = 0..=16_383;
/// Where the store's Redis is, and the gateway's: each in a variable or in a file.
const STORE: (&str, &str) = ("AUTHSESSION_REDIS_ADDR", "AUTHSESSION_REDIS_ADDR_FILE");
const GATEWAY: (&str, &str) = ("AUTHSESSION_GATEWAY_REDIS_ADDR", "AUTHSESSION_GATEWAY_REDIS_ADDR_FILE");

const REPLICAS: RangeInclusive<u64> = 0..=100;

const MODES: [(&str, Mode); 3] =
    [("standalone", Mode::Standalone), ("sentinel", Mode::Sentinel), ("cluster", Mode::Cluster)];

/// Everything but the address.
#[derive(Clone, Debug)]
pub struct Options {
    mode: Mode,
    sentinel_master: String,
    username: Option<String>,
    password: Option<Secret>,
    db: i64,
    tls: Tls,
    key_prefix: String,
    operation_timeout: Duration,
    /// Where it is set.
    min_replicas: Option<u64>,
}

/// How to reach one Redis.
#[derive(Clone, Debug)]
pub struct Settings {
    address: Address,
    options: Options,
}

/// What the address leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mode {
    /// The one server.
    Standalone,
    /// Sentinels, which know the server that takes writes.
    Sentinel,
    /// Some nodes of a cluster, which know the others.
    Cluster,
}

impl Mode {
    /// How many replicas must have a change, where nothing else is said.
    const fn min_replicas(self) -> u64 {
        match self {
            Self::Standalone => 0,
            Self::Sentinel | Self::Cluster => 1,
        }
    }
}

/// Who is spoken to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// A server that has data.
    Server,
    /// A sentinel: its user and password are those of its own URL, if any.
    Sentinel,
}

impl Options {
    /// Reads `AUTHSESSION_REDIS_*`, the address excepted. To be called once.
    pub fn read(reader: &mut Reader) -> Self {
        let mode = reader.choice("AUTHSESSION_REDIS_MODE", Mode::Standalone, &MODES);
        let db = reader.number("AUTHSESSION_REDIS_DB", 0, DATABASES);
        if mode == Mode::Cluster && db != 0 {
            reader.fault("AUTHSESSION_REDIS_DB takes 0 in a cluster, which has no other");
        }
        reader.declare_default("AUTHSESSION_REDIS_MIN_REPLICAS", mode.min_replicas());
        let replicas = |text: &str| text.parse().ok().filter(|number| REPLICAS.contains(number));
        Self {
            mode,
            sentinel_master: reader.text_or("AUTHSESSION_REDIS_SENTINEL_MASTER", "mymaster"),
            username: reader.secret(
                ("AUTHSESSION_REDIS_USERNAME", "AUTHSESSION_REDIS_USERNAME_FILE"),
                "text",
                |text| Some(text.to_owned()),
            ),
            password: reader.secret(
                ("AUTHSESSION_REDIS_PASSWORD", "AUTHSESSION_REDIS_PASSWORD_FILE"),
                "text",
                |text| Some(Secret::new(text)),
            ),
            db: db.try_into().unwrap_or_default(),
            tls: Tls::read(reader),
            key_prefix: read_prefix(reader),
            operation_timeout: reader.duration(
                "AUTHSESSION_REDIS_OPERATION_TIMEOUT",
                TIMEOUT,
                LONGEST_TIMEOUT,
            ),
            min_replicas: reader.optional(
                "AUTHSESSION_REDIS_MIN_REPLICAS",
                "a whole number from 0 to 100",
                replicas,
            ),
        }
    }

    /// These options with the address in the variable `name`, or in the file that the other one names, since an address
    /// may hold a password; nothing where neither is set, or what is there is bad.
    fn at(&self, reader: &mut Reader, names: (&'static str, &'static str)) -> Option<Settings> {
        let address = reader.secret(names, ADDRESS_TAKES, Address::parse)?;
        let (name, _) = names;
        let several = address.places.len() > 1;
        match self.mode {
            Mode::Standalone if several => {
                reader.fault(format!("{name} takes one address, unless its mode is sentinel or cluster"));
            }
            Mode::Sentinel | Mode::Cluster if address.is_local() => {
                reader.fault(format!("{name} takes host:port where its mode is sentinel or cluster"));
            }
            Mode::Cluster if address.db.is_some() => {
                reader.fault(format!("{name} takes no database in a cluster, which has 0 only"));
            }
            Mode::Standalone | Mode::Sentinel | Mode::Cluster => {}
        }
        let is_one = |db| u64::try_from(db).is_ok_and(|db| DATABASES.contains(&db));
        if self.mode != Mode::Cluster && address.db.is_some_and(|db| !is_one(db)) {
            let (first, last) = DATABASES.into_inner();
            reader.fault(format!("{name} takes a database from {first} to {last}"));
        }
        if self.tls.is_set() && !address.is_tls() && !address.is_local() {
            reader
                .fault(format!("{name} takes rediss://host:port where AUTHSESSION_REDIS_TLS_ files are set"));
        }
        Some(Settings { address, options: self.clone() })
    }

    /// With the store's address; nothing where there is none, which means the embedded store.
    pub fn for_the_store(&self, reader: &mut Reader) -> Option<Settings> {
        let (name, file) = STORE;
        // Or whoever meant a cluster would be served from a file, and not notice before it is lost.
        if self.mode != Mode::Standalone && !reader.is_set(name) && !reader.is_set(file) {
            reader.fault(format!("{name} is missing: AUTHSESSION_REDIS_MODE says that there is a Redis"));
        }
        self.at(reader, STORE)
    }

    /// Whether nothing speaks of a Redis for the store: not even a faulty address.
    #[must_use]
    pub fn is_embedded(&self, reader: &Reader) -> bool {
        let (name, file) = STORE;
        self.mode == Mode::Standalone && !reader.is_set(name) && !reader.is_set(file)
    }

    /// With the address of a Redis of the gateway's own, which may be of another kind. A lone server has no replicas to
    /// wait for, whatever the store's has; any other has one, where nothing else is said; a cluster has one database.
    pub fn for_the_gateway(&self, reader: &mut Reader) -> Option<Settings> {
        let mode = reader.choice("AUTHSESSION_GATEWAY_REDIS_MODE", self.mode, &MODES);
        let min_replicas = if mode == Mode::Standalone { Some(0) } else { self.min_replicas };
        let db = if mode == Mode::Cluster { 0 } else { self.db };
        Self { mode, db, min_replicas, ..self.clone() }.at(reader, GATEWAY)
    }
}

/// Host and port, or the socket's path; never a user or a password.
impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

impl Settings {
    /// The store's Redis: nothing where `AUTHSESSION_REDIS_ADDR` is unset.
    pub fn read(reader: &mut Reader) -> Option<Self> {
        Options::read(reader).for_the_store(reader)
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
    pub fn min_replicas(&self) -> u64 {
        self.options.min_replicas.unwrap_or_else(|| self.options.mode.min_replicas())
    }

    /// What the address leads to.
    pub(super) const fn mode(&self) -> Mode {
        self.options.mode
    }

    /// What the sentinels call the server that takes writes.
    pub(super) fn sentinel_master(&self) -> &str {
        &self.options.sentinel_master
    }

    /// The servers that the address names: at least one.
    pub(super) fn places(&self) -> &[ConnectionAddr] {
        &self.address.places
    }

    /// A client for the server at `place`. Holds the password in the clear: made where a connection is.
    pub(super) fn client(&self, place: ConnectionAddr, role: Role) -> RedisResult<Client> {
        let is_tls = matches!(place, ConnectionAddr::TcpTls { .. });
        let info = place.into_connection_info()?;
        // Version 3 of the protocol, because only it reports a closed connection at once.
        let mut login = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let (username, password) = self.login(role);
        if let Some(username) = username {
            login = login.set_username(username);
        }
        if let Some(password) = password {
            login = login.set_password(String::from_utf8_lossy(password.expose()));
        }
        if role == Role::Server {
            login = login.set_db(self.address.db.unwrap_or(self.options.db));
        }
        let info = info.set_redis_settings(login).set_tcp_settings(tcp_settings());
        if is_tls {
            use_ring();
            return Client::build_with_tls(info, self.options.tls.certificates());
        }
        Client::open(info)
    }

    /// What a URL says goes before the options, but for sentinels, whose URLs are about themselves.
    fn login(&self, role: Role) -> (Option<&String>, Option<&Secret>) {
        let url = (self.address.username.as_ref(), self.address.password.as_ref());
        let options = (self.options.username.as_ref(), self.options.password.as_ref());
        let (first, second) = match (role, self.options.mode) {
            (Role::Sentinel, _) => return url,
            (Role::Server, Mode::Sentinel) => (options, url),
            (Role::Server, Mode::Standalone | Mode::Cluster) => (url, options),
        };
        (first.0.or(second.0), first.1.or(second.1))
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
        read(&[("ADDR", addr)]).unwrap().unwrap().to_string()
    }

    #[test]
    fn no_address_means_no_redis() {
        assert!(read(&[]).unwrap().is_none());
        assert!(read(&[("MODE", "standalone")]).unwrap().is_none());
        for mode in ["sentinel", "cluster"] {
            let faults = read(&[("MODE", mode)]).unwrap_err();
            assert!(
                faults.len() == 1 && faults[0].starts_with("AUTHSESSION_REDIS_ADDR is missing"),
                "{faults:?}"
            );
        }
    }

    #[test]
    fn addresses_are_read_in_every_form() {
        assert_eq!(at("127.0.0.1:6379"), "127.0.0.1:6379");
        assert_eq!(at("[::1]:6380"), "::1:6380");
        assert_eq!(at("redis.internal:6379"), "redis.internal:6379");
        assert_eq!(at("redis://cache"), "cache:6379");
        assert_eq!(at("unix:///run/redis.sock"), "/run/redis.sock");
        assert_eq!(at("redis+unix:///run/redis.sock"), "/run/redis.sock");
        for wrong in [
            "cache",
            ":6379",
            "::1:6379",
            "a:1,b:2",
            "a:1,",
            "cache:0",
            "cache:99999",
            "http://cache:1",
            "[::1:1",
        ] {
            assert!(read(&[("ADDR", wrong)]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_the_url_says_goes_before_the_options() {
        let options = [("USERNAME", "u"), ("PASSWORD", "p"), ("DB", "5")];
        let with = |addr| read(&[&[("ADDR", addr)], &options[..]].concat()).unwrap().unwrap();
        let login = |settings: &Settings| {
            let client = settings.client(settings.places()[0].clone(), Role::Server).unwrap();
            let login = client.get_connection_info().redis_settings();
            (login.username().unwrap().to_owned(), login.password().unwrap().to_owned(), login.db())
        };
        let settings = with("cache:1");
        assert_eq!(login(&settings), ("u".into(), "p".into(), 5));
        let other = with("redis://x:p%40ss@cache:1/7");
        assert_eq!(login(&other), ("x".into(), "p@ss".into(), 7));
        assert!(!format!("{settings:?}{other:?}").contains("p@ss"));
    }

    #[test]
    fn a_database_has_the_same_bounds_in_a_url_and_in_its_variable() {
        let in_url = |number: &str| read(&[("ADDR", &format!("redis://cache:1/{number}"))]);
        let in_list = |number: &str| {
            read(&[("MODE", "sentinel"), ("ADDR", &format!("redis://a:1/{number},redis://b:1"))])
        };
        let in_variable = |number: &str| read(&[("ADDR", "cache:1"), ("DB", number)]);
        let of_the_gateway = |number: &str| {
            let address = ("AUTHSESSION_GATEWAY_REDIS_ADDR".to_owned(), format!("redis://cache:1/{number}"));
            let mut reader = Reader::new([address]);
            let settings = Options::read(&mut reader).for_the_gateway(&mut reader);
            reader.finish().map(|()| settings).map_err(|faults| faults.0)
        };
        for (number, is_taken) in
            [("0", true), ("16383", true), ("16384", false), ("99999", false), ("-1", false)]
        {
            let all = [in_url(number), in_list(number), in_variable(number), of_the_gateway(number)];
            for (at, settings) in all.into_iter().enumerate() {
                assert_eq!(settings.is_ok(), is_taken, "{number}: {at}");
                let faults = settings.err().unwrap_or_default();
                assert!(faults.iter().all(|fault| fault.contains("16383")), "{faults:?}");
            }
        }
    }

    #[test]
    fn lists_are_for_sentinels_and_clusters() {
        let list = |mode, addr| read(&[("MODE", mode), ("ADDR", addr)]).map(|read| read.unwrap().to_string());
        for mode in ["sentinel", "cluster"] {
            assert_eq!(list(mode, "a:1, b:2,[::1]:3").unwrap(), "a:1,b:2,::1:3");
            assert_eq!(list(mode, "rediss://u:p,w@a:1,rediss://b:2").unwrap_err().len(), 1);
            assert_eq!(list(mode, "rediss://u:pw@a:1,rediss://b:2").unwrap(), "a:1,b:2");
            for wrong in ["a:1,", "a:1,b", "rediss://a:1,b:2", "unix:///run/redis.sock"] {
                assert_eq!(list(mode, wrong).unwrap_err().len(), 1, "{wrong}");
            }
        }
        assert_eq!(list("standalone", "a:1,b:2").unwrap_err().len(), 1);
        assert!(read(&[("MODE", "cluster"), ("DB", "1"), ("ADDR", "a:1")]).is_err());
        assert_eq!(read(&[("KEY_PREFIX", "a{b}")]).unwrap_err().len(), 1);
    }

    #[test]
    fn each_kind_of_redis_waits_for_its_own_replicas() {
        let replicas = |store, gateway, set: Option<&str>| {
            let variables = [("REDIS_MODE", Some(store)), ("REDIS_MIN_REPLICAS", set)];
            let gateway = [("GATEWAY_REDIS_MODE", Some(gateway)), ("GATEWAY_REDIS_ADDR", Some("a:1"))];
            let set = variables.into_iter().chain(gateway).filter_map(|(name, value)| Some((name, value?)));
            let mut reader =
                Reader::new(set.map(|(name, value)| (format!("AUTHSESSION_{name}"), value.to_owned())));
            let options = Options::read(&mut reader);
            options.for_the_gateway(&mut reader).unwrap().min_replicas()
        };
        assert_eq!(replicas("standalone", "sentinel", None), 1);
        assert_eq!(replicas("standalone", "cluster", Some("0")), 0);
        assert_eq!(replicas("sentinel", "cluster", Some("2")), 2);
        assert_eq!(replicas("cluster", "standalone", Some("2")), 0);
    }

    #[test]
    fn tls_files_are_read_at_the_start() {
        for name in ["TLS_CA_FILE", "TLS_CERT_FILE", "TLS_KEY_FILE"] {
            assert!(read(&[(name, "/nowhere/ca.pem"), ("ADDR", "rediss://cache:1")]).is_err(), "{name}");
        }
        // No certificate is in there.
        let this = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        assert!(read(&[("TLS_CA_FILE", this), ("ADDR", "rediss://cache:1")]).is_err());
        assert!(read(&[("ADDR", "rediss://cache:1#insecure")]).is_err());
    }

    #[test]
    fn sentinels_are_told_what_their_own_urls_say() {
        let options = [("MODE", "sentinel"), ("PASSWORD", "for-the-master")];
        let with = |addr| read(&[&[("ADDR", addr)], &options[..]].concat()).unwrap().unwrap();
        let password = |settings: &Settings, role| {
            let client = settings.client(settings.places()[0].clone(), role).unwrap();
            client.get_connection_info().redis_settings().password().map(str::to_owned)
        };
        let both = with("redis://:for-sentinels@a:1,b:2");
        assert_eq!(password(&both, Role::Sentinel).as_deref(), Some("for-sentinels"));
        assert_eq!(password(&both, Role::Server).as_deref(), Some("for-the-master"));
        assert_eq!(password(&with("a:1"), Role::Sentinel), None);
    }
}
