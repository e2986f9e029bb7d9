//! Follows the sentinels: which server is the master now.
//!
//! A failover breaks no connection by itself: the old master may live on, cut off or not told yet, and would go on to
//! answer with what was true before. So one task asks a sentinel several times a second, and every connection to a
//! server that is the master no longer is given up.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use redis::{ConnectionAddr, RedisError, RedisResult, Value, cmd};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    Settings,
    address::sibling,
    settings::Role,
    topology::{Dialed, dial, failed},
};

/// How often a sentinel is asked.
const INTERVAL: Duration = Duration::from_millis(200);

/// What the sentinels say. Clones share it; the asking ends with the last of them.
#[derive(Clone)]
pub(super) struct Sentinels {
    settings: Arc<Settings>,
    named: watch::Receiver<Named>,
    _watch: Arc<DropGuard>,
}

#[derive(Clone)]
enum Named {
    /// Nobody has been asked yet.
    Soon,
    /// This is the master.
    Master(ConnectionAddr),
    /// No sentinel says so.
    Nobody(RedisError),
}

impl Sentinels {
    /// Starts asking in the background: the caller must be inside a Tokio runtime.
    pub(super) fn open(settings: Arc<Settings>) -> Self {
        let (named, watched) = watch::channel(Named::Soon);
        let stop = CancellationToken::new();
        let watch = keep_asking(Arc::clone(&settings), named);
        tokio::spawn(stop.clone().run_until_cancelled_owned(watch));
        Self { settings, named: watched, _watch: Arc::new(stop.drop_guard()) }
    }

    /// A connection to the master. `closed` is also cancelled when it is the master no longer.
    pub(super) async fn dial(&self, closed: CancellationToken) -> RedisResult<Dialed> {
        let mut named = self.named.clone();
        let place = match named.wait_for(|named| !matches!(named, Named::Soon)).await.as_deref() {
            Ok(Named::Master(place)) => place.clone(),
            Ok(Named::Nobody(cause)) => return Err(cause.clone()),
            Ok(Named::Soon) | Err(_) => return Err(failed("nobody asks the sentinels any more")),
        };
        let mut dialed = dial(&self.settings, &place, Role::Server, closed.clone()).await?;
        // In the middle of a failover the sentinels name the old master still, or the new one already.
        let role: Vec<Value> = cmd("ROLE").query_async(&mut dialed.wire).await?;
        if !matches!(role.first(), Some(Value::BulkString(role)) if role == b"master") {
            return Err(failed("the server that the sentinels call the master is a replica"));
        }
        tokio::spawn(async move {
            let other = |named: &Named| matches!(named, Named::Master(now) if *now != place);
            // An error means that nobody asks any more: then nobody uses the connection either.
            let replaced = async { drop(named.wait_for(other).await) };
            closed.run_until_cancelled(replaced).await;
            closed.cancel();
        });
        Ok(dialed)
    }
}

/// Asks one sentinel again and again; another one where it does not answer, or knows no master.
async fn keep_asking(settings: Arc<Settings>, named: watch::Sender<Named>) {
    let mut causes = String::new();
    for sentinel in settings.places().iter().cycle() {
        let cause = match ask_until_it_fails(&settings, sentinel, &named).await {
            Ok(()) => "it names no such master".to_owned(),
            Err(error) => error.to_string(),
        };
        // Writing to a string cannot fail.
        let _ = write!(causes, "; {sentinel}: {cause}");
        if Some(sentinel) == settings.places().last() {
            named.send_if_modified(|named| {
                let never = !matches!(named, Named::Master(_));
                if never {
                    *named = Named::Nobody(failed(&format!("no sentinel names the master{causes}")));
                }
                never
            });
            causes.clear();
            sleep(INTERVAL).await;
        }
    }
}

/// Tells what `sentinel` says, until it names nobody.
async fn ask_until_it_fails(
    settings: &Settings,
    sentinel: &ConnectionAddr,
    named: &watch::Sender<Named>,
) -> RedisResult<()> {
    // One that is frozen must leave time for the others.
    let patience = settings.operation_timeout() / 3;
    let late = |_| failed("it does not answer");
    let dialed = dial(settings, sentinel, Role::Sentinel, CancellationToken::new());
    let mut dialed = timeout(patience, dialed).await.map_err(late)??;
    let mut ask = cmd("SENTINEL");
    ask.arg("GET-MASTER-ADDR-BY-NAME").arg(settings.sentinel_master());
    loop {
        let answer = timeout(patience, ask.query_async::<Option<(String, u16)>>(&mut dialed.wire));
        let Some((host, port)) = answer.await.map_err(late)?? else { return Ok(()) };
        let place = sibling(sentinel, &host, port);
        named.send_if_modified(|named| {
            let news = !matches!(named, Named::Master(now) if *now == place);
            if news {
                *named = Named::Master(place);
            }
            news
        });
        sleep(INTERVAL).await;
    }
}
