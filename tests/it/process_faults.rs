//! Processes and stores killed in the middle of traffic: nothing that was acknowledged is lost.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{
    Device, Feed, Listener, Operator, Wire,
    actors::{CONFIRM, INTERNAL, SEND, reason, text},
    eventually,
    process::Service,
    redis::RedisServer,
    upstreams::MailService,
};

/// What the service said yes to.
#[derive(Default)]
struct Acknowledged {
    opened: BTreeMap<String, String>,
    revoked: BTreeSet<String>,
    blocked: BTreeSet<String>,
}

/// Posts, and gives the body of a 200; nothing for a broken connection or a 503.
async fn attempt(wire: &Wire, listener: Listener, path: &str, body: &Value) -> Option<Value> {
    let response = wire.request(listener, "POST", path).json(body).send().await.ok()?;
    let (status, text) = (response.status(), response.text().await.ok()?);
    assert!(status == 200 || status == 503, "{status} {text}");
    (status == 200).then(|| serde_json::from_str(&text).unwrap())
}

/// Logs in again and again, revokes every other session, and now and then blocks somebody, until told to stop.
async fn traffic(
    worker: &str,
    wire: &Wire,
    mail: &MailService,
    said: &Mutex<Acknowledged>,
    stop: &AtomicBool,
) {
    for round in 0.. {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        let email = format!("pilot{worker}x{}@example.com", round / 4);
        let Some(send) = attempt(wire, Listener::Public, SEND, &json!({ "email": email })).await else {
            continue;
        };
        let Some(code) = mail.code_for(&email) else { continue };
        let device = Device::new();
        let challenge = text(&send, "challenge_id");
        let body = json!({ "challenge_id": challenge, "code": code, "client_public_key": device.key() });
        let Some(body) = attempt(wire, Listener::Public, CONFIRM, &body).await else { continue };
        let session = text(&body, "device_session_id");
        said.lock().unwrap().opened.insert(session.clone(), device.key());
        if round % 2 == 0 {
            let path = format!("{INTERNAL}/sessions/{session}/revoke");
            if attempt(wire, Listener::Internal, &path, &reason()).await.is_some() {
                said.lock().unwrap().revoked.insert(session);
            }
        } else if round % 4 == 3 {
            let body = json!({ "email": email, "reason_code": "x", "actor": { "type": "system" } });
            if attempt(wire, Listener::Internal, &format!("{INTERNAL}/user-blocks"), &body).await.is_some() {
                said.lock().unwrap().blocked.insert(session);
            }
        }
    }
}

/// Runs traffic until enough was acknowledged, and then calls `kill` while it still runs.
async fn until_killed(service: &Service, mail: &MailService, kill: impl FnOnce()) -> Acknowledged {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    let run = RUNS.fetch_add(1, Ordering::SeqCst);
    let said = Arc::new(Mutex::new(Acknowledged::default()));
    let stop = AtomicBool::new(false);
    let names: Vec<String> = (0..8).map(|worker| format!("{run}x{worker}")).collect();
    let workers = names.iter().map(|worker| traffic(worker, &service.wire, mail, &said, &stop));
    let workers = futures_util::future::join_all(workers);
    let killer = async {
        eventually("enough was acknowledged", async || {
            let said = said.lock().unwrap();
            (said.revoked.len() >= 24 && said.blocked.len() >= 4).then_some(())
        })
        .await;
        kill();
        stop.store(true, Ordering::SeqCst);
    };
    futures_util::future::join(workers, killer).await;
    Arc::into_inner(said).unwrap().into_inner().unwrap()
}

/// Everything acknowledged is there, and the gateway has been told of every end.
async fn nothing_is_lost(service: &Service, said: &Acknowledged) {
    let operator = Operator::new(&service.wire);
    let (opened, revoked, blocked) = (said.opened.len(), said.revoked.len(), said.blocked.len());
    eprintln!("killed: {opened} logins, {revoked} revokes, {blocked} blocks acknowledged");
    for (id, key) in &said.opened {
        let session = operator.session(id).await;
        assert_eq!(session["client_public_key"], *key);
        if said.revoked.contains(id) || said.blocked.contains(id) {
            assert_eq!(session["status"], "revoked", "{id}");
        }
    }
    // What is revoked in truth is revoked for the gateway: by now for what was acknowledged, soon for the rest.
    let mut feed = Feed::open(&service.wire, Some("0")).await;
    let mut ends: BTreeSet<&String> = said.revoked.union(&said.blocked).collect();
    while !ends.is_empty() {
        let event = feed.event().await;
        if event.data["status"] == "revoked" {
            let id = text(&event.data, "device_session_id");
            ends.remove(&id);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_process_has_lost_nothing_it_acknowledged() {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("data").display().to_string();
    let mail = MailService::start().await;
    let url = mail.url();
    let settings = [
        ("DATA_DIR", data.as_str()),
        ("MAIL_SERVICE_MODE", "rest"),
        ("MAIL_SERVICE_BASE_URL", &url),
        ("RATE_LIMIT_SEND_PER_MINUTE", "0"),
        ("RATE_LIMIT_CONFIRM_PER_MINUTE", "0"),
    ];
    for _ in 0..3 {
        let mut service = Service::start(&settings).await;
        let said = until_killed(&service, &mail, || service.signal("KILL")).await;
        service.ended().await;
        let service = Service::start(&settings).await;
        nothing_is_lost(&service, &said).await;
    }
}

/// The same on Redis that syncs every write.
async fn on_redis(kill: impl Fn(&Service, &RedisServer), restart: impl Fn(&RedisServer), process_dies: bool) {
    let server = RedisServer::durable();
    let mail = MailService::start().await;
    let (addr, url) = (server.addr(), mail.url());
    let settings = [
        ("REDIS_ADDR", addr.as_str()),
        ("MAIL_SERVICE_MODE", "rest"),
        ("MAIL_SERVICE_BASE_URL", &url),
        ("RATE_LIMIT_SEND_PER_MINUTE", "0"),
        ("RATE_LIMIT_CONFIRM_PER_MINUTE", "0"),
    ];
    let mut service = Service::start(&settings).await;
    let said = until_killed(&service, &mail, || kill(&service, &server)).await;
    restart(&server);
    if process_dies {
        service.ended().await;
        service = Service::start(&settings).await;
    }
    eventually("the service is ready", async || {
        (service.wire.get(Listener::Internal, "/readyz").await.status == 200).then_some(())
    })
    .await;
    nothing_is_lost(&service, &said).await;
    for session in said.revoked.union(&said.blocked) {
        let record: String = server.run(&["GET", &format!("gateway:session:{session}")]);
        assert!(record.contains("\"revoked\""), "{record}");
    }
    // The sweeper finishes what the kill interrupted: no record says active of a session that is not.
    let operator = Operator::new(&service.wire);
    for session in said.opened.keys() {
        let truth = operator.status_of(session).await;
        eventually("the gateway's record agrees with the truth", async || {
            let record: Option<String> = server.run(&["GET", &format!("gateway:session:{session}")]);
            record.filter(|record| record.contains(&format!("\"{truth}\"")))
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_killed_on_redis_has_lost_nothing_it_acknowledged() {
    on_redis(|service, _| service.signal("KILL"), |_| {}, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_redis_has_lost_nothing_that_was_acknowledged() {
    on_redis(|_, server| server.kill(), RedisServer::restart, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn process_and_redis_killed_together_have_lost_nothing_that_was_acknowledged() {
    let both = |service: &Service, server: &RedisServer| {
        server.kill();
        service.signal("KILL");
    };
    on_redis(both, RedisServer::restart, true).await;
}
