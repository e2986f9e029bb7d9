//! A reader of the event feed: Server-Sent Events, as a gateway without Redis reads them.

use reqwest::Response;
use serde_json::Value;
use tokio::time::timeout;

use super::{Answer, Listener, PATIENCE, Wire};

const PATH: &str = "/api/v1/internal/session-events";

/// An open feed.
pub struct Feed {
    response: Response,
    unread: String,
}

/// One block of the feed.
#[derive(Clone, PartialEq, Debug)]
pub enum Block {
    /// A session changed.
    Event(Event),
    /// A line that only keeps the connection alive.
    Comment,
}

/// A session changed.
#[derive(Clone, PartialEq, Debug)]
pub struct Event {
    /// Where to go on from.
    pub id: String,
    /// What kind of event.
    pub kind: String,
    /// The gateway's record.
    pub data: Value,
}

impl Feed {
    /// Follows from now on, or after a cursor. Fails unless the feed opens.
    pub async fn open(wire: &Wire, after: Option<&str>) -> Self {
        let mut request = wire.request(Listener::Internal, "GET", PATH).header("accept", "text/event-stream");
        if let Some(after) = after {
            request = request.header("last-event-id", after);
        }
        let response = timeout(PATIENCE, request.send()).await.expect("in time").expect("an answer");
        assert_eq!(response.status(), 200);
        let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
        assert!(kind.starts_with("text/event-stream"), "{kind}");
        assert!(response.headers().contains_key("x-request-id"));
        Self { response, unread: String::new() }
    }

    /// Asks for the feed after a cursor that is refused.
    pub async fn refused(wire: &Wire, after: &str) -> Answer {
        let request = wire.request(Listener::Internal, "GET", PATH).header("last-event-id", after);
        wire.call(Listener::Internal, request).await
    }

    /// The next event.
    pub async fn event(&mut self) -> Event {
        loop {
            if let Block::Event(event) = self.block().await {
                return event;
            }
        }
    }

    /// Reads until an event says that `session` has `status`; gives all events read, that one last.
    pub async fn until(&mut self, session: &str, status: &str) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            let event = self.event().await;
            let found = event.data["device_session_id"] == session && event.data["status"] == status;
            events.push(event);
            if found {
                return events;
            }
        }
    }

    /// The next event or comment.
    pub async fn block(&mut self) -> Block {
        loop {
            if let Some((block, rest)) = self.unread.split_once("\n\n") {
                let (block, rest) = (parse(block), rest.to_owned());
                self.unread = rest;
                return block;
            }
            let chunk = timeout(PATIENCE, self.response.chunk()).await.expect("something in the feed");
            let chunk = chunk.expect("an unbroken feed").expect("an endless feed");
            self.unread.push_str(std::str::from_utf8(&chunk).expect("UTF-8"));
        }
    }

    /// Whether the feed ends within patience, whatever comes before.
    pub async fn ends(mut self) -> bool {
        let rest = async { while let Ok(Some(_)) = self.response.chunk().await {} };
        timeout(PATIENCE, rest).await.is_ok()
    }
}

fn parse(block: &str) -> Block {
    let field = |name: &str| {
        let lines = block.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        lines.map(|value| value.strip_prefix(' ').unwrap_or(value)).collect::<Vec<_>>()
    };
    let (ids, kinds, data) = (field("id"), field("event"), field("data"));
    if ids.is_empty() && kinds.is_empty() && data.is_empty() {
        assert!(block.lines().all(|line| line.starts_with(':')), "{block:?}");
        return Block::Comment;
    }
    assert_eq!((ids.len(), kinds.len(), data.len()), (1, 1, 1), "{block:?}");
    let data = serde_json::from_str(data[0]).unwrap_or_else(|error| panic!("{error}: {block:?}"));
    Block::Event(Event { id: ids[0].to_owned(), kind: kinds[0].to_owned(), data })
}
