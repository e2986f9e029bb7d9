//! What the gateway sees: its keys and stream in Redis, or the event feed where there is no Redis.

use serde_json::{Map, Value};

use super::{App, Feed, actors::Device, eventually};

/// The gateway's view of one service.
pub struct Gateway<'a> {
    app: &'a App,
}

impl<'a> Gateway<'a> {
    /// Of `app`.
    pub fn new(app: &'a App) -> Self {
        Self { app }
    }

    /// Fails unless the gateway has been told by now that `session` has this status: in Redis by key and by stream,
    /// looked at once; else by the feed.
    pub async fn was_told(&self, session: &str, status: &str) -> Value {
        if !self.has_redis() {
            let events = Feed::open(self.app, Some("0")).await.until(session, status).await;
            return events.last().expect("an event").data.clone();
        }
        let record = self.record(session).expect("a record");
        assert_eq!(record["status"], status, "{record}");
        let said = self.stream().into_iter().rfind(|(_, event)| event["device_session_id"] == session);
        assert_eq!(said.expect("an event").1["status"], status);
        record
    }

    /// Waits until the gateway has a record of `session` with this status.
    pub async fn hears(&self, session: &str, status: &str) {
        if !self.has_redis() {
            Feed::open(self.app, Some("0")).await.until(session, status).await;
            return;
        }
        let what = format!("the gateway's record says {status}");
        eventually(&what, async || self.record(session).filter(|record| record["status"] == status)).await;
        let told = |(_, event): &(String, Map<String, Value>)| {
            event["device_session_id"] == session && event["status"] == status
        };
        eventually("the event is in the stream", async || self.stream().iter().any(told).then_some(())).await;
    }

    /// Every event so far, oldest first, as the records that they carry. Ends with a login that marks the end, and
    /// that is left out.
    pub async fn history(&self) -> Vec<Value> {
        let marker = self.app.visitor("end-of-history@example.com").log_in_with(&Device::new()).await;
        let events = Feed::open(self.app, Some("0")).await.until(&marker, "active").await;
        let data = events.into_iter().map(|event| event.data);
        data.filter(|record| record["device_session_id"] != marker).collect()
    }

    /// The record in the gateway's Redis.
    pub fn record(&self, session: &str) -> Option<Value> {
        let text: Option<String> = self.run(&["GET", &self.key(session)]);
        text.map(|text| serde_json::from_str(&text).expect("JSON"))
    }

    /// The record's key in the gateway's Redis.
    pub fn key(&self, session: &str) -> String {
        format!("{}{session}", self.app.setting("GATEWAY_SESSION_KEY_PREFIX"))
    }

    /// The stream in the gateway's Redis: ids and fields, oldest first.
    pub fn stream(&self) -> Vec<(String, Map<String, Value>)> {
        let entries = self.raw_stream().into_iter();
        entries
            .map(|(id, fields)| {
                let pairs = fields.chunks_exact(2);
                (id, pairs.map(|pair| (pair[0].clone(), Value::from(pair[1].clone()))).collect())
            })
            .collect()
    }

    /// The stream in the gateway's Redis: ids, and names and values in the order in which they are written.
    pub fn raw_stream(&self) -> Vec<(String, Vec<String>)> {
        let stream = self.app.setting("GATEWAY_SESSION_EVENTS_STREAM");
        self.run(&["XRANGE", &stream, "-", "+"])
    }

    fn has_redis(&self) -> bool {
        self.app.gateway_redis().is_some() || self.app.cluster().is_some()
    }

    /// Asks the gateway's Redis; in a cluster the server that has the key, which comes second.
    fn run<T: ::redis::FromRedisValue>(&self, command: &[&str]) -> T {
        match (self.app.gateway_redis(), self.app.cluster()) {
            (Some(server), _) => server.run(command),
            (None, Some(cluster)) => cluster.run(command),
            (None, None) => panic!("a gateway with a Redis"),
        }
    }
}
