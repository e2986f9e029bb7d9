//! The outbox as a log that is kept for readers.

use async_trait::async_trait;

use super::{
    Embedded,
    tables::{END, FLOOR, MARKS, OUTBOX, entries, key_of, mark},
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
            let marks = snapshot.all.open_table(MARKS)?;
            let known = mark(&marks, FLOOR)?..=mark(&marks, END)?;
            if after != Position::START && !known.contains(&after) {
                return Ok(History::Expired);
            }
            let (ms, sequence) = key_of(after);
            let outbox = snapshot.all.open_table(OUTBOX)?;
            Ok(History::Entries(entries(&outbox, (ms, sequence.saturating_add(1)), limit)?))
        })
    }

    async fn end(&self) -> Result<Position, Unavailable> {
        self.read(|snapshot| Ok(mark(&snapshot.all.open_table(MARKS)?, END)?))
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
