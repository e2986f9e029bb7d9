//! Keeps the map of a cluster: it is read from any server that answers, every few seconds, and at once when a call meets
//! something that the map does not show.

use std::{
    collections::HashSet,
    sync::{Arc, PoisonError},
    time::Duration,
};

use redis::{ConnectionAddr, RedisResult, cmd};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    address::{sibling, with_port},
    cluster::{Known, Map, PAUSE},
    settings::Role,
    slots::{Range, Slots, rows},
    told::told,
    topology::{dial, failed},
};

/// How old the map may get.
const INTERVAL: Duration = Duration::from_secs(2);

impl Known {
    /// Keeps the map up to date, for ever.
    pub(super) async fn keep_surveying(&self) {
        let mut turn = 0;
        loop {
            match self.survey(turn).await {
                Ok(slots) => drop(self.map.send_replace(Map::Is(Arc::new(slots)))),
                Err(error) => {
                    let mut first = false;
                    self.map.send_if_modified(|map| {
                        first = matches!(map, Map::Soon);
                        let never = !matches!(map, Map::Is(_));
                        if never {
                            *map = Map::Away(error.clone());
                        }
                        never
                    });
                    if first {
                        let error = told(&error);
                        tracing::warn!(dependency = self.dependency, error, "the Redis cluster is away");
                    }
                }
            }
            // Another server is asked each time: one that is cut off from the others does not know it.
            turn += 1;
            sleep(PAUSE).await;
            drop(timeout(INTERVAL, self.wanted.notified()).await);
        }
    }

    /// The map as the first server that answers has it.
    async fn survey(&self, turn: usize) -> RedisResult<Slots> {
        let places = self.places();
        let begin = turn.checked_rem(places.len()).unwrap_or_default();
        // One that is frozen must not hold up the rest for long.
        let patience = self.settings.operation_timeout() / 2;
        let mut error = failed("no server of the cluster is known");
        for place in places.iter().cycle().skip(begin).take(places.len()) {
            match timeout(patience, self.ask(place)).await {
                Ok(Ok(slots)) => return Ok(slots),
                Ok(Err(cause)) => error = cause,
                Err(_late) => error = failed("a server of the cluster does not answer"),
            }
        }
        Err(error)
    }

    /// Whom to ask: the masters, then the places that the operator has named.
    fn places(&self) -> Vec<ConnectionAddr> {
        let mut places: Vec<ConnectionAddr> = Vec::new();
        if let Map::Is(slots) = &*self.map.borrow() {
            places.extend(slots.nodes().filter_map(|node| node.place().cloned()));
        }
        places.extend(self.settings.places().iter().cloned());
        let mut seen = HashSet::new();
        places.retain(|place| seen.insert(place.to_string()));
        places
    }

    async fn ask(&self, place: &ConnectionAddr) -> RedisResult<Slots> {
        let mut dialed = dial(&self.settings, place, Role::Server, CancellationToken::new()).await?;
        let rows = rows(cmd("CLUSTER").arg("SLOTS").query_async(&mut dialed.wire).await?)?;
        if rows.is_empty() {
            return Err(failed("a server of the cluster knows of no slots"));
        }
        let ranges = rows.into_iter().map(|row| {
            let place = match row.host {
                Some(host) => sibling(place, &host, row.port),
                None => with_port(place, row.port),
            };
            Range { first: row.first, last: row.last, node: self.node_at(place) }
        });
        let slots = Slots::new(ranges.collect());
        // Connections to those that have no slots any more are closed.
        let current: HashSet<String> =
            slots.nodes().filter_map(|node| node.place().map(ToString::to_string)).collect();
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner).retain(|place, _| current.contains(place));
        Ok(slots)
    }
}
