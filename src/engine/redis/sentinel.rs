//! Follows the sentinels: which server is the master now.
//!
//! A failover breaks no connection by itself: the old master may live on, cut off or not told yet, and would go on to
//! answer with what was true before. So every sentinel is asked several times a second, and every connection to a
//! server that is the master no longer is given up.
//!
//! Sentinels tell one another of a failover only within seconds. So the one with the newest epoch is believed: whoever
//! asked another would meanwhile read from the old master what is not so any more. At the start each is heard, or found
//! silent, before any is believed.

use std::{
    collections::HashMap,
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::join_all;
use redis::{ConnectionAddr, RedisError, RedisResult, Value, cmd, from_redis_value};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    Settings,
    address::sibling,
    lane::commands,
    settings::Role,
    told::told,
    topology::{Dialed, dial, failed},
};

/// How often each sentinel is asked.
const INTERVAL: Duration = Duration::from_millis(200);

/// How long the last word of a sentinel counts that has gone silent: longer than the others take to hear of it.
const REMEMBERED: Duration = Duration::from_secs(5);

/// What the sentinels say. Clones share it; the asking ends with the last of them.
#[derive(Clone)]
pub(super) struct Sentinels {
    settings: Arc<Settings>,
    named: watch::Receiver<Named>,
    _watch: Arc<DropGuard>,
}

/// What one sentinel said last.
#[derive(Clone)]
enum Word {
    /// Nothing yet.
    None,
    /// This is the master since this epoch.
    Master(u64, ConnectionAddr),
    /// It does not answer, or knows no such master.
    Silent(String),
}

#[derive(Clone)]
enum Named {
    /// Not all have been heard yet.
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
        let watch = keep_asking_all(Arc::clone(&settings), named);
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

/// Asks every sentinel again and again, and tells whom the newest word names.
async fn keep_asking_all(settings: Arc<Settings>, named: watch::Sender<Named>) {
    let words = Mutex::new(vec![Word::None; settings.places().len()]);
    let (words, named) = (&words, &named);
    let asked = settings.places().iter().enumerate().map(|(at, sentinel)| {
        let tell = move |word| {
            let mut words = words.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(last) = words.get_mut(at) {
                *last = word;
            }
            named.send_if_modified(|named| judge(&mut words, named));
        };
        keep_asking(&settings, sentinel, tell)
    });
    join_all(asked).await;
}

/// Whether `named` changes by what the sentinels said last. A master once named stays so until another is.
fn judge(words: &mut [Word], named: &mut Named) -> bool {
    let known = matches!(named, Named::Master(_));
    // The first to answer may know less than the others.
    if !known && words.iter().any(|word| matches!(word, Word::None)) {
        return false;
    }
    let newest = words.iter().filter_map(|word| match word {
        Word::Master(epoch, place) => Some((epoch, place)),
        Word::None | Word::Silent(_) => None,
    });
    if let Some((_, place)) = newest.max_by_key(|(epoch, _)| **epoch) {
        let news = !matches!(named, Named::Master(now) if now == place);
        if news {
            *named = Named::Master(place.clone());
        }
        return news;
    }
    if known {
        return false;
    }
    let mut causes = String::new();
    for word in words {
        if let Word::Silent(cause) = word {
            // Writing to a string cannot fail.
            let _ = write!(causes, "; {cause}");
        }
        // All are heard again before one is believed.
        *word = Word::None;
    }
    *named = Named::Nobody(failed(&format!("no sentinel names the master{causes}")));
    true
}

/// Asks one sentinel again and again.
async fn keep_asking(settings: &Settings, sentinel: &ConnectionAddr, tell: impl Fn(Word)) {
    let mut heard = None;
    loop {
        let cause = match ask_until_it_fails(settings, sentinel, (&tell, &mut heard)).await {
            Ok(()) => "it names no such master".to_owned(),
            Err(error) => told(&error),
        };
        if heard.is_none_or(|heard: Instant| heard.elapsed() > REMEMBERED) {
            tell(Word::Silent(format!("{sentinel}: {cause}")));
        }
        sleep(INTERVAL).await;
    }
}

/// Tells what `sentinel` says, until it names nobody.
async fn ask_until_it_fails(
    settings: &Settings,
    sentinel: &ConnectionAddr,
    (tell, heard): (&impl Fn(Word), &mut Option<Instant>),
) -> RedisResult<()> {
    let patience = settings.operation_timeout() / 3;
    let late = |_| failed("it does not answer");
    let dialed = dial(settings, sentinel, Role::Sentinel, CancellationToken::new());
    let mut dialed = timeout(patience, dialed).await.map_err(late)??;
    let ask = |what: &str| {
        let mut ask = cmd("SENTINEL");
        ask.arg(what).arg(settings.sentinel_master());
        ask
    };
    // In one go: the epoch is that of the address.
    let both = commands([ask("GET-MASTER-ADDR-BY-NAME"), ask("MASTER")]);
    loop {
        let answers: Vec<RedisResult<Value>> =
            timeout(patience, both.query_async(&mut dialed.wire)).await.map_err(late)??;
        let mut answers = answers.into_iter();
        let place = answers.next().unwrap_or(Ok(Value::Nil))?;
        let Some((host, port)) = from_redis_value::<Option<(String, u16)>>(place)? else { return Ok(()) };
        let about: RedisResult<HashMap<String, String>> =
            answers.next().unwrap_or(Ok(Value::Nil)).and_then(|about| Ok(from_redis_value(about)?));
        // One that may not be asked this is believed where no other knows better.
        let epoch = about.ok().and_then(|about| about.get("config-epoch")?.parse().ok()).unwrap_or_default();
        tell(Word::Master(epoch, sibling(sentinel, &host, port)));
        *heard = Some(Instant::now());
        sleep(INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn master(epoch: u64, host: &str) -> Word {
        Word::Master(epoch, ConnectionAddr::Tcp(host.to_owned(), 1))
    }

    fn silent() -> Word {
        Word::Silent("away".to_owned())
    }

    /// Whom the sentinels name after each of `said`: which one says what.
    fn named(sentinels: usize, said: Vec<(usize, Word)>) -> Vec<String> {
        let (mut words, mut named) = (vec![Word::None; sentinels], Named::Soon);
        let say = |(at, word): (usize, Word)| {
            words[at] = word;
            judge(&mut words, &mut named);
            match &named {
                Named::Soon => "soon".to_owned(),
                Named::Master(place) => place.to_string(),
                Named::Nobody(_) => "nobody".to_owned(),
            }
        };
        said.into_iter().map(say).collect()
    }

    #[test]
    fn all_are_heard_before_the_first_is_believed_and_then_the_newest() {
        let said = vec![(0, master(3, "old")), (1, silent()), (2, master(4, "new")), (0, master(5, "newer"))];
        assert_eq!(named(3, said), ["soon", "soon", "new:1", "newer:1"]);
        let said = vec![(0, master(4, "new")), (1, silent()), (0, silent()), (1, master(3, "old"))];
        assert_eq!(named(2, said), ["soon", "new:1", "new:1", "old:1"], "the word of the silent is over");
    }

    #[test]
    fn after_a_time_without_any_all_are_heard_again() {
        let said = vec![(0, silent()), (1, silent()), (0, master(3, "old")), (1, master(4, "new"))];
        assert_eq!(named(2, said), ["soon", "nobody", "nobody", "new:1"]);
        let said = vec![
            (0, silent()),
            (1, silent()),
            (1, silent()),
            (0, silent()),
            (0, master(3, "only")),
            (1, silent()),
        ];
        assert_eq!(named(2, said), ["soon", "nobody", "nobody", "nobody", "nobody", "only:1"]);
    }
}
