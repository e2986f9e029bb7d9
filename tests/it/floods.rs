//! The real binary under clients that mean it no good: thousands of slow connections, and ten times as many requests as it
//! takes on. All on loopback, bounded, and as many as the machine's limits allow.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use reqwest::{Client, RequestBuilder};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use tempfile::TempDir;
use tokio::{io::AsyncWriteExt, net::TcpStream, time::sleep};

use crate::harness::{
    Listener, Operator, actors::SEND, process::Service, upstream::Answer as Reply, upstreams::MailService,
};

/// Slow connections to each listener, where this process may have so many.
const SLOW: usize = 1200;

/// What the process may hold in memory while all this goes on, in kilobytes: stated in docs/operations.md.
const MOST_MEMORY: u64 = 256 * 1024;

/// Ten times what one listener works on at once.
const REQUESTS: usize = 10 * 1024;

/// How many files this process may have open, from now on as many as the system lets it.
fn descriptors() -> usize {
    let most = getrlimit(Resource::Nofile).maximum;
    let _ = setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most });
    getrlimit(Resource::Nofile).current.map_or(usize::MAX, |number| usize::try_from(number).unwrap())
}

fn temporary() -> (TempDir, String) {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("data").display().to_string();
    (dir, data)
}

/// Opens connections, and goes on adding bytes of a head to each, and new connections for those that were lost, two hundred
/// a second at most: so fast a machine under load still answers those who mean it well.
async fn dribble(address: String, connections: usize, enough: Arc<AtomicBool>, opened: Arc<AtomicBool>) {
    let head =
        format!("POST {SEND} HTTP/1.1\r\nhost: x\r\ncontent-length: 40\r\nx-padding: {}", "x".repeat(4000));
    let mut open: Vec<Option<TcpStream>> = (0..connections).map(|_| None).collect();
    for byte in head.bytes() {
        for slot in &mut open {
            let lost = match slot {
                Some(stream) => stream.write_all(&[byte]).await.is_err(),
                None => true,
            };
            if lost {
                *slot = TcpStream::connect(&address).await.ok();
                if opened.load(Ordering::Relaxed) {
                    sleep(Duration::from_millis(5)).await;
                }
            }
            if enough.load(Ordering::Relaxed) {
                return;
            }
        }
        opened.store(true, Ordering::Relaxed);
        sleep(Duration::from_millis(50)).await;
    }
}

/// The status of the answer, asked for on a connection of its own; again where that is lost, as any client does.
async fn honest(request: impl Fn(&Client) -> RequestBuilder, lost: &mut usize) -> u16 {
    loop {
        let client = Client::builder().no_proxy().build().unwrap();
        match request(&client).send().await {
            Ok(answer) => return answer.status().as_u16(),
            Err(_) => *lost += 1,
        }
        assert!(*lost < 8, "one in ten at most");
    }
}

fn host(url: &str) -> String {
    url.rsplit('/').next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_slow_connections_keep_nobody_from_getting_an_answer() {
    let (_dir, data) = temporary();
    let slow = SLOW.min(descriptors() / 8);
    // A listener takes three eighths of the files: here a third of what comes.
    let settings = [("DATA_DIR", data.as_str()), ("RATE_LIMIT_SEND_PER_MINUTE", "0")];
    let service = Service::start_with_files(slow * 8 / 9, &settings).await;
    let (enough, mut attackers) = (Arc::<AtomicBool>::default(), Vec::new());
    for url in [&service.wire.public, &service.wire.internal] {
        let opened = Arc::<AtomicBool>::default();
        attackers.push(tokio::spawn(dribble(host(url), slow, enough.clone(), opened.clone())));
        crate::harness::eventually("all are open", async || opened.load(Ordering::Relaxed).then_some(()))
            .await;
    }
    let (mut lost, mut waits) = (0, Vec::new());
    for at in 0..40 {
        let begun = Instant::now();
        let (public, internal) = (&service.wire.public, &service.wire.internal);
        let body = json!({ "email": format!("pilot{at}@example.com") });
        let send = |client: &Client| client.post(format!("{public}{SEND}")).json(&body);
        assert_eq!(honest(send, &mut lost).await, 200);
        let read = |client: &Client| client.get(format!("{internal}/api/v1/internal/users/nobody/sessions"));
        assert_eq!(honest(read, &mut lost).await, 200);
        waits.push(begun.elapsed());
    }
    enough.store(true, Ordering::Relaxed);
    for attacker in attackers {
        attacker.await.unwrap();
    }
    let (most, _) = service.memory();
    waits.sort();
    eprintln!(
        "{slow} slow connections to each listener: a send and a read took {:?} in the middle and {:?} at most, {lost} of 80 \
         were asked again; {most} kB",
        waits[20], waits[39]
    );
    assert!(most < MOST_MEMORY, "{most} kB");
    // Who is cut off is gone, socket and all, before the next one comes in.
    assert!(!service.lines().iter().any(|line| line.contains("cannot accept connections")));
    // A client that stays keeps its connection through it all, and the service is none the worse.
    Operator::new(&service.wire).list("nobody").await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_times_too_many_requests_are_refused_at_once_and_memory_stays_bounded() {
    let (_dir, data) = temporary();
    descriptors();
    let mail = MailService::start().await;
    mail.always(Reply::Hang);
    let service = Service::start(&[
        ("DATA_DIR", &data),
        ("MAIL_SERVICE_MODE", "rest"),
        ("MAIL_SERVICE_BASE_URL", &mail.url()),
        ("MAIL_SERVICE_REQUEST_TIMEOUT", "60s"),
        ("RATE_LIMIT_SEND_PER_MINUTE", "0"),
    ])
    .await;
    // Each client is one HTTP/2 connection with a hundred requests on it.
    let clients: Vec<Client> = (0..=REQUESTS / 100)
        .map(|_| Client::builder().no_proxy().http2_prior_knowledge().build().unwrap())
        .collect();
    let (refused, mut refusals) = tokio::sync::mpsc::unbounded_channel();
    let flood: Vec<_> = (0..REQUESTS)
        .map(|at| {
            let body = json!({ "email": format!("pilot{at}@example.com") });
            let request = clients[at / 100].post(format!("{}{SEND}", service.wire.public)).json(&body);
            let refused = refused.clone();
            tokio::spawn(async move {
                let answer = request.send().await;
                let status = answer
                    .as_ref()
                    .map(|answer| (answer.status().as_u16(), answer.headers()["retry-after"].clone()));
                let _ = refused
                    .send(status.map(|(status, after)| (status, after.to_str().unwrap().to_owned())).ok());
            })
        })
        .collect();
    // All but those that wait for their mail hear at once that they should come again. On a machine that is too slow even
    // for that, a few lose their connection.
    let mut lost = 0;
    for _ in 0..REQUESTS - 1024 {
        match refusals.recv().await.unwrap() {
            Some(answer) => assert_eq!(answer, (503, "1".to_owned())),
            None => lost += 1,
        }
    }
    assert!(lost < REQUESTS / 10, "{lost} lost their connection");
    assert_eq!(Operator::new(&service.wire).list("nobody").await.ok(), json!({ "sessions": [] }));
    service.wire.get(Listener::Public, "/healthz").await.ok();
    service.wire.get(Listener::Public, "/readyz").await.ok();
    let (most, _) = service.memory();
    assert!(most < MOST_MEMORY, "{most} kB");
    eprintln!("{REQUESTS} requests at once: {lost} lost their connection; {most} kB");
    let asked = mail.received().len();
    assert!((1..=1024).contains(&asked), "the services behind us see no more than that: {asked}");
    flood.iter().for_each(tokio::task::JoinHandle::abort);
    join_all(flood).await;
}
