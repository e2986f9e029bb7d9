//! What the projection is called, and how much of it is kept.

use crate::base::settings::Reader;

/// Settings of the gateway capability.
#[derive(Clone, Debug)]
pub struct Settings {
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
            session_key_prefix: reader.text_or("AUTHSESSION_GATEWAY_SESSION_KEY_PREFIX", "gateway:session:"),
            session_events_stream: reader
                .text_or("AUTHSESSION_GATEWAY_SESSION_EVENTS_STREAM", "gateway:session_events"),
            session_events_max_len: reader.number(
                "AUTHSESSION_GATEWAY_SESSION_EVENTS_MAX_LEN",
                100_000,
                1..=1_000_000_000,
            ),
        }
    }
}
