//! The outbox as a log that is kept for readers.

use async_trait::async_trait;

use super::{
    Embedded,
    tables::{MARKS, OUTBOX, end, entries, floor, key_of},
    writer::Work,
};
use crate::{
    base::Unavailable,
    engine::{EventLog, History, Position},
};

#[async_trait]
impl EventLog for Embedded {
    async fn history(&self, after: Position, limit: usize) -> Result<History, Unavailable> {
        self.read(|snapshot| {
            let (outbox, marks) = (snapshot.all.open_table(OUTBOX)?, snapshot.all.open_table(MARKS)?);
            let known = floor(&marks)?..=end(&outbox, &marks)?;
            if after != Position::START && !known.contains(&after) {
                return Ok(History::Expired);
            }
            let (ms, sequence) = key_of(after);
            Ok(History::Entries(entries(&outbox, (ms, sequence.saturating_add(1)), limit)?))
        })
    }

    async fn end(&self) -> Result<Position, Unavailable> {
        self.read(|snapshot| Ok(end(&snapshot.all.open_table(OUTBOX)?, &snapshot.all.open_table(MARKS)?)?))
    }

    async fn grown(&self, position: Position) {
        let mut grown = self.grown.clone();
        if grown.wait_for(|end| *end > position).await.is_err() {
            // The writer has stopped: the log will never grow again.
            std::future::pending::<()>().await;
        }
    }

    async fn retain(&self, keep: u64) -> Result<(), Unavailable> {
        self.write(Work::Retain(keep)).await.map(|_| ())
    }
}
