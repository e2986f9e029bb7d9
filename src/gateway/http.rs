//! `followSessionEvents`: the stream of session events as Server-Sent Events (WHATWG HTML, section 9.2).

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use futures_util::stream::{self, Stream, StreamExt};
use tracing::warn;

use super::{Batch, Feed, GatewayRecord};
use crate::{
    engine::Position,
    http::{Problem, Routes},
};

/// How often a silent stream shows that it lives.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// How long to leave a stream alone that has nothing to show.
const PAUSE: Duration = Duration::from_millis(200);

/// How many events are read at once.
const BATCH: usize = 256;

pub(super) fn routes(feed: Arc<dyn Feed>) -> Routes {
    Routes::default()
        .stream("/api/v1/internal/session-events", "follow_session_events", follow_session_events)
        .with_state(feed)
}

async fn follow_session_events(
    State(feed): State<Arc<dyn Feed>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let cursor = match headers.get("last-event-id") {
        Some(text) => text.to_str().ok().and_then(|text| text.parse().ok()).ok_or_else(malformed_cursor)?,
        None => feed.end().await.map_err(|error| Problem::unavailable(&error))?,
    };
    // The first batch is read before the answer begins, while it can still be an error.
    let (first, through) =
        match feed.read(cursor, BATCH).await.map_err(|error| Problem::unavailable(&error))? {
            Batch::Events(events, through) => (events, through),
            Batch::Expired => return Err(cursor_expired()),
        };
    let events = follow(feed, first, through);
    // A bare `:` line is a comment, which readers skip.
    let heartbeat = KeepAlive::new().interval(HEARTBEAT).text("");
    Ok(Sse::new(events).keep_alive(heartbeat).into_response())
}

/// The events of `first`, then all that follow. Ends where it cannot go on; the reader connects again with the last id
/// he saw, and is told then what was wrong.
fn follow(
    feed: Arc<dyn Feed>,
    first: Vec<(Position, GatewayRecord)>,
    through: Position,
) -> impl Stream<Item = Result<Event, Infallible>> {
    let later = stream::unfold((feed, through), async |(feed, cursor)| {
        feed.grown(cursor).await;
        match feed.read(cursor, BATCH).await {
            Ok(Batch::Events(events, through)) => {
                if events.is_empty() {
                    // The stream said that it had grown and has nothing to show, as one does that was emptied.
                    tokio::time::sleep(PAUSE).await;
                }
                Some((events, (feed, through)))
            }
            Ok(Batch::Expired) => None,
            Err(error) => {
                warn!(dependency = error.dependency, cause = %error.source, "an event feed ends");
                None
            }
        }
    });
    stream::once(async { first })
        .chain(later)
        .flat_map(stream::iter)
        .map(|(id, record)| Ok(encode(id, &record)))
}

fn encode(id: Position, record: &GatewayRecord) -> Event {
    Event::default().event("session").id(id.to_string()).data(record.to_json())
}

fn malformed_cursor() -> Problem {
    Problem::invalid_request("Last-Event-ID must be the id of an event, or 0")
}

fn cursor_expired() -> Problem {
    Problem::new(
        StatusCode::GONE,
        "cursor_expired",
        "events after this cursor are no longer kept; read the sessions anew",
    )
}
