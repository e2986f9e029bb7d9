//! What the projection is called, and how much of it is kept.

use crate::base::settings::Reader;

/// Settings of the gateway capability.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `AUTHSESSION_GATEWAY_REDIS_ADDR`: nothing for the store's own Redis.
    pub redis_addr: Option<String>,
    /// `AUTHSESSION_GATEWAY_SESSION_KEY_PREFIX`.
    pub session_key_prefix: String,
    /// `AUTHSESSION_GATEWAY_SESSION_EVENTS_STREAM`.
    pub session_events_stream: String,
    /// `AUTHSESSION_GATEWAY_SESSION_EVENTS_MAX_LEN`: about as many events are kept.
    pub session_events_max_len: u64,
}

impl Settings {
    /// From the environment.
    pub fn read(reader: &mut Reader) -> Self {
        Self {
            redis_addr: reader.text("AUTHSESSION_GATEWAY_REDIS_ADDR"),
            session_key_prefix: reader
                .text("AUTHSESSION_GATEWAY_SESSION_KEY_PREFIX")
                .unwrap_or_else(|| "gateway:session:".to_owned()),
            session_events_stream: reader
                .text("AUTHSESSION_GATEWAY_SESSION_EVENTS_STREAM")
                .unwrap_or_else(|| "gateway:session_events".to_owned()),
            session_events_max_len: reader.number(
                "AUTHSESSION_GATEWAY_SESSION_EVENTS_MAX_LEN",
                100_000,
                1..=u64::MAX,
            ),
        }
    }
}
