//! `authsession reproject`: the gateway's records written anew from the truth.

use std::{
    collections::BTreeMap,
    process::{Child, Output, Stdio},
    sync::Arc,
};

use futures_util::future::join_all;
use serde_json::Value;

use crate::harness::{
    App, Setup, Store, eventually,
    process::{command, run},
    redis::{RedisCluster, RedisServer},
};

const SHARED: [&str; 4] =
    ["REDIS_KEY_PREFIX", "GATEWAY_SESSION_KEY_PREFIX", "GATEWAY_SESSION_EVENTS_STREAM", "DATA_DIR"];
const ADDRESSES: [&str; 3] = ["REDIS_ADDR", "REDIS_MODE", "GATEWAY_REDIS_ADDR"];

/// A service whose gateway has a Redis of its own.
async fn service(store: Store) -> (App, Arc<RedisServer>) {
    let gateway = Arc::new(RedisServer::start());
    (Setup::on(store).gateway(&gateway).start().await, gateway)
}

/// The settings of `app` that the command needs.
fn settings(app: &App) -> Vec<(&'static str, String)> {
    let all = SHARED.into_iter().chain(ADDRESSES).map(|name| (name, app.setting(name)));
    all.filter(|(_, value)| !value.is_empty()).collect()
}

fn reproject(app: &App, arguments: &[&str]) -> Output {
    let settings = settings(app);
    let settings: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    run(&settings, &[&["reproject"], arguments].concat())
}

/// Starts it, slowly.
fn begin(app: &App, per_second: &str) -> Child {
    let settings = settings(app);
    let settings: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut command = command(&settings);
    command.args(["reproject", "--per-second", per_second]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn out(output: &Output) -> String {
    [&output.stdout[..], &output.stderr[..]].map(String::from_utf8_lossy).concat()
}

#[track_caller]
fn succeeded(output: &Output) -> Value {
    assert!(output.status.success(), "{}", out(output));
    serde_json::from_slice(output.stdout.split(|byte| *byte == b'\n').rfind(|line| !line.is_empty()).unwrap())
        .unwrap()
}

/// What the gateway knows: records by key.
fn records(app: &App, gateway: &RedisServer) -> BTreeMap<String, String> {
    let keys: Vec<String> =
        gateway.run(&["KEYS", &format!("{}*", app.setting("GATEWAY_SESSION_KEY_PREFIX"))]);
    keys.into_iter().map(|key| (key.clone(), gateway.run(&["GET", &key]))).collect()
}

/// Sessions of three users, every third of them revoked.
async fn populate(app: &App, each: usize) -> (Vec<String>, Vec<String>) {
    let (mut active, mut revoked) = (Vec::new(), Vec::new());
    for email in ["a@example.com", "b@example.com", "c@example.com"] {
        for number in 0..each {
            let session = app.visitor(email).log_in().await;
            if number % 3 == 0 {
                app.operator().revoke(&session).await.ok();
                revoked.push(session);
            } else {
                active.push(session);
            }
        }
    }
    (active, revoked)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_lost_everything_gets_every_record_back() {
    let (app, gateway) = service(Store::Redis).await;
    let (active, revoked) = populate(&app, 7).await;
    let before = records(&app, &gateway);
    assert_eq!(before.len(), active.len() + revoked.len());
    gateway.run::<()>(&["FLUSHALL"]);
    let told = succeeded(&reproject(&app, &[]));
    assert_eq!((&told["active"], &told["revoked"]), (&active.len().into(), &revoked.len().into()), "{told}");
    assert_eq!(records(&app, &gateway), before);
    let ttl = |session: &String| gateway.run::<i64>(&["PTTL", &app.gateway().key(session)]);
    assert!(active.iter().all(|session| ttl(session) == -1));
    assert!(revoked.iter().all(|session| ttl(session) > 0));
    assert_eq!(
        gateway.run::<u64>(&["EXISTS", &app.setting("GATEWAY_SESSION_EVENTS_STREAM")]),
        0,
        "no events"
    );
    succeeded(&reproject(&app, &[]));
    assert_eq!(records(&app, &gateway), before, "again changes nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_was_restored_from_a_backup_forgets_no_revoke() {
    let (app, gateway) = service(Store::Redis).await;
    let pilot = app.visitor("pilot@example.com");
    let (revoked, active) = (pilot.log_in().await, pilot.log_in().await);
    let stale: String = gateway.run(&["GET", &app.gateway().key(&revoked)]);
    app.operator().revoke(&revoked).await.ok();
    gateway.run::<()>(&["SET", &app.gateway().key(&revoked), &stale]);
    // What a revoke wrote a moment ago, of which the command had not read yet.
    gateway.run::<()>(&["SET", &app.gateway().key(&active), "revoked meanwhile"]);
    succeeded(&reproject(&app, &[]));
    assert_eq!(app.gateway().record(&revoked).unwrap()["status"], "revoked");
    let untouched: String = gateway.run(&["GET", &app.gateway().key(&active)]);
    assert_eq!(untouched, "revoked meanwhile", "an active record overwrites nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_live_traffic_the_records_end_as_the_truth() {
    let (app, gateway) = service(Store::Redis).await;
    let (mut active, mut revoked) = populate(&app, 20).await;
    gateway.run::<()>(&["FLUSHALL"]);
    let running = begin(&app, "60");
    for session in active.split_off(active.len() / 2) {
        app.operator().revoke(&session).await.ok();
        revoked.push(session);
        active.push(app.visitor("d@example.com").log_in().await);
    }
    let output = running.wait_with_output().unwrap();
    succeeded(&output);
    let expected = active.iter().map(|session| (session, "active"));
    for (session, status) in expected.chain(revoked.iter().map(|session| (session, "revoked"))) {
        assert_eq!(app.gateway().record(session).expect("a record")["status"], status);
    }
    assert_eq!(records(&app, &gateway).len(), active.len() + revoked.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_was_stopped_goes_on_where_it_was_and_mends_what_changed_since() {
    let (app, gateway) = service(Store::Redis).await;
    let mut sessions = Vec::new();
    for number in 0..40 {
        sessions.push(app.visitor(&format!("{number}@example.com")).log_in().await);
    }
    gateway.run::<()>(&["FLUSHALL"]);
    let running = begin(&app, "20");
    eventually("some records are there", async || (!records(&app, &gateway).is_empty()).then_some(())).await;
    let script = format!("kill -TERM {}", running.id());
    assert!(std::process::Command::new("sh").args(["-c", &script]).status().unwrap().success());
    let output = running.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", out(&output));
    let stderr = String::from_utf8(output.stderr).unwrap();
    let (_, checkpoint) = stderr.trim().rsplit_once("--from ").expect(&stderr);
    // Worst case: all is revoked, and yet the gateway has it as the stopped run may have left it.
    for session in &sessions {
        let key = app.gateway().key(session);
        let left: Option<String> = gateway.run(&["GET", &key]);
        app.operator().revoke(session).await.ok();
        if let Some(left) = left {
            gateway.run::<()>(&["SET", &key, &left]);
        }
    }
    succeeded(&reproject(&app, &["--from", checkpoint]));
    for session in &sessions {
        assert_eq!(app.gateway().record(session).expect("a record")["status"], "revoked");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_is_away_for_a_moment_is_waited_for() {
    let (app, gateway) = service(Store::Redis).await;
    let (active, revoked) = populate(&app, 4).await;
    gateway.kill();
    let running = begin(&app, "1000");
    tokio::task::spawn_blocking({
        let gateway = gateway.clone();
        move || gateway.restart()
    })
    .await
    .unwrap();
    succeeded(&running.wait_with_output().unwrap());
    assert_eq!(records(&app, &gateway).len(), active.len() + revoked.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_embedded_store_is_reprojected_while_no_service_has_it() {
    let (app, gateway) = service(Store::Embedded).await;
    let (active, revoked) = populate(&app, 4).await;
    let before = records(&app, &gateway);
    gateway.run::<()>(&["FLUSHALL"]);
    let refused = reproject(&app, &[]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(out(&refused).contains("in use"), "{}", out(&refused));
    app.drain();
    let told = eventually("the store is free", async || {
        let output = reproject(&app, &["--per-second", "100000"]);
        output.status.success().then(|| succeeded(&output))
    })
    .await;
    assert_eq!((&told["active"], &told["revoked"]), (&active.len().into(), &revoked.len().into()), "{told}");
    assert_eq!(records(&app, &gateway), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_cluster_every_server_is_walked_through() {
    let cluster = RedisCluster::shared();
    let setup = Setup::on(Store::Redis).set("REDIS_MODE", "cluster").set("REDIS_ADDR", &cluster.addr());
    let app = setup.start().await;
    let mut keys = Vec::new();
    for number in 0..30 {
        let session = app.visitor(&format!("{number}@example.com")).log_in().await;
        if number % 3 == 0 {
            app.operator().revoke(&session).await.ok();
        }
        keys.push(app.gateway().key(&session));
    }
    let known = || keys.iter().map(|key| cluster.run(&["GET", key])).collect::<Vec<Option<String>>>();
    let before = known();
    for key in &keys {
        cluster.run::<()>(&["DEL", key]);
    }
    let told = succeeded(&reproject(&app, &[]));
    assert_eq!((&told["active"], &told["revoked"]), (&20.into(), &10.into()), "{told}");
    assert!(before.iter().all(Option::is_some));
    assert_eq!(known(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_runs_at_once_do_no_harm() {
    let (app, gateway) = service(Store::Redis).await;
    populate(&app, 10).await;
    let before = records(&app, &gateway);
    gateway.run::<()>(&["FLUSHALL"]);
    let runs = (0..2)
        .map(|_| begin(&app, "500"))
        .map(|running| tokio::task::spawn_blocking(move || running.wait_with_output().unwrap()));
    for output in join_all(runs.collect::<Vec<_>>()).await {
        succeeded(&output.unwrap());
    }
    assert_eq!(records(&app, &gateway), before);
}

#[test]
fn without_a_redis_there_is_nothing_to_do() {
    let dir = tempfile::TempDir::new().unwrap();
    let data = dir.path().join("data").display().to_string();
    let output = run(&[("DATA_DIR", &data)], &["reproject"]);
    assert!(output.status.success() && out(&output).contains("nothing to reproject"), "{}", out(&output));
    assert!(!std::path::Path::new(&data).exists(), "nothing was made");
}

#[test]
fn options_that_there_are_not_are_refused() {
    for wrong in [&["--form", "active"][..], &["--from"], &["--from", "nowhere"], &["--per-second", "0"]] {
        let output = run(&[], &[&["reproject"], wrong].concat());
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
    }
}
