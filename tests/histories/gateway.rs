//! Reads records and events as a gateway would, from the server that has them. A read counts only where that server
//! was still the one to ask when the answer was there: a master that was just replaced may answer with what was.

use std::{collections::HashMap, time::Duration};

use redis::{Connection, FromRedisValue, RedisResult, Value, cmd};

use crate::{
    harness::redis::RedisServer,
    history::{Event, Status},
    stage::{Stage, Store},
};

const PATIENCE: Duration = Duration::from_millis(300);
const STREAM: &str = "gateway:session_events";

/// A gateway's connections to its Redis.
pub struct Reader {
    kind: Kind,
    ports: Vec<u16>,
    connections: HashMap<u16, Connection>,
}

#[derive(Clone, Copy)]
enum Kind {
    One,
    /// Whoever alone says that he is the master.
    TheMaster,
    Cluster,
}

impl Reader {
    /// Of the gateway's Redis, where there is one.
    pub fn of(stage: &Stage) -> Option<Self> {
        let ports = |servers: &[RedisServer]| servers.iter().map(RedisServer::port).collect();
        let (kind, ports) = match (&stage.store, &stage.gateway) {
            (_, Some(server)) | (Store::One(server), None) => (Kind::One, vec![server.port()]),
            (Store::Sentinels(sentinels), None) => (Kind::TheMaster, ports(sentinels.servers())),
            (Store::Chain(servers), None) => (Kind::TheMaster, ports(servers)),
            (Store::Cluster(cluster), None) => (Kind::Cluster, ports(cluster.servers())),
            (Store::Embedded, None) => return None,
        };
        Some(Self { kind, ports, connections: HashMap::new() })
    }

    /// What the records of `sessions` say, as far as it could be read; nothing for one that has none.
    pub fn records(&mut self, sessions: &[String]) -> Vec<(String, Option<Status>)> {
        let before = self.view();
        let mut by_owner: HashMap<u16, Vec<&String>> = HashMap::new();
        for session in sessions {
            if let Some(owner) = before.owner(&key(session)) {
                by_owner.entry(owner).or_default().push(session);
            }
        }
        let mut read = Vec::new();
        for (owner, sessions) in by_owner {
            let mut all = redis::pipe();
            for session in &sessions {
                all.get(key(session));
            }
            let answer = self.ask(owner, |connection| all.query::<Vec<Option<String>>>(connection));
            for (session, record) in sessions.iter().zip(answer.unwrap_or_default()) {
                read.push((owner, (*session).clone(), record.map(|record| status(&record))));
            }
        }
        let after = self.view();
        let sound = |(owner, session, _): &(u16, String, _)| after.owner(&key(session)) == Some(*owner);
        read.into_iter().filter(sound).map(|(_, session, status)| (session, status)).collect()
    }

    /// Every event, oldest first; nothing where it could not be read.
    pub fn events(&mut self) -> Option<Vec<Event>> {
        let owner = self.view().owner(STREAM)?;
        let mut range = cmd("XRANGE");
        range.arg(STREAM).arg("-").arg("+");
        let entries: Vec<(String, HashMap<String, String>)> =
            self.ask(owner, |connection| range.query(connection)).ok()?;
        let event = |(id, fields): (String, HashMap<String, String>)| Event {
            ms: id.split('-').next().unwrap().parse().unwrap(),
            session: fields["device_session_id"].clone(),
            status: Status::parse(&fields["status"]),
        };
        Some(entries.into_iter().map(event).collect())
    }

    fn view(&mut self) -> View {
        let mut claims = Vec::new();
        for port in self.ports.clone() {
            match self.kind {
                Kind::One => claims.push(Claim { port, epoch: 0, slots: vec![(0, 16_383)] }),
                Kind::TheMaster => {
                    let role = self.ask(port, |connection| cmd("ROLE").query::<Vec<Value>>(connection));
                    let role = role.ok().and_then(|role| role.into_iter().next());
                    if matches!(role, Some(Value::BulkString(role)) if role == b"master") {
                        claims.push(Claim { port, epoch: 0, slots: vec![(0, 16_383)] });
                    }
                }
                Kind::Cluster => {
                    let nodes =
                        self.ask(port, |connection| cmd("CLUSTER").arg("NODES").query::<String>(connection));
                    claims.extend(nodes.unwrap_or_default().lines().filter_map(Claim::read));
                }
            }
        }
        View(claims)
    }

    fn ask<T>(&mut self, port: u16, what: impl FnOnce(&mut Connection) -> RedisResult<T>) -> RedisResult<T>
    where
        T: FromRedisValue,
    {
        let mut connection = if let Some(connection) = self.connections.remove(&port) {
            connection
        } else {
            let client = redis::Client::open(format!("redis://127.0.0.1:{port}"))?;
            let connection = client.get_connection_with_timeout(PATIENCE)?;
            connection.set_read_timeout(Some(PATIENCE))?;
            connection
        };
        let answer = what(&mut connection);
        if answer.is_ok() {
            self.connections.insert(port, connection);
        }
        answer
    }
}

/// Who says that he has which slots.
struct View(Vec<Claim>);

#[derive(PartialEq, Eq)]
struct Claim {
    port: u16,
    epoch: u64,
    slots: Vec<(u16, u16)>,
}

impl View {
    /// The one who has the key: the newest claim counts. Nobody, where two have equal claims.
    fn owner(&self, key: &str) -> Option<u16> {
        let slot = crc16::State::<crc16::XMODEM>::calculate(key.as_bytes()) % 16_384;
        let has = |claim: &&Claim| claim.slots.iter().any(|(first, last)| (*first..=*last).contains(&slot));
        let newest = self.0.iter().filter(has).max_by_key(|claim| claim.epoch)?;
        let rivals = self.0.iter().filter(has).filter(|claim| claim.epoch == newest.epoch);
        rivals.into_iter().all(|claim| claim.port == newest.port).then_some(newest.port)
    }
}

impl Claim {
    /// From a line of `CLUSTER NODES`.
    fn read(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split(' ').collect();
        if !words.get(2)?.split(',').any(|flag| flag == "master") {
            return None;
        }
        let port = words[1].split('@').next()?.rsplit(':').next()?.parse().ok()?;
        let range = |word: &&str| {
            let (first, last) = word.split_once('-').unwrap_or((word, word));
            Some((first.parse().ok()?, last.parse().ok()?))
        };
        let slots = words[8..].iter().filter_map(range).collect();
        Some(Self { port, epoch: words[6].parse().ok()?, slots })
    }
}

fn key(session: &str) -> String {
    format!("gateway:session:{session}")
}

fn status(record: &str) -> Status {
    let record: serde_json::Value = serde_json::from_str(record).expect("JSON");
    Status::parse(record["status"].as_str().expect("a status"))
}
