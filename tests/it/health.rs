//! What an orchestrator asks.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::harness::{
    App, Listener, Setup, Store, eventually,
    redis::{RedisCluster, RedisServer},
};

async fn a_running_service_is_healthy_and_ready_on_both_listeners(store: Store) {
    let app = App::start(store).await;
    for listener in [Listener::Public, Listener::Internal] {
        for path in ["/healthz", "/readyz"] {
            let answer = app.get(listener, path).await;
            assert_eq!(answer.ok()["status"], "ok");
            assert_eq!(answer.header("content-type"), Some("application/json"));
        }
    }
}

async fn metrics_are_prometheus_text(store: Store) {
    let app = App::start(store).await;
    let answer = app.get(Listener::Internal, "/metrics").await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").unwrap().starts_with("text/plain"), "{:?}", answer.headers);
}

/// A Redis that may throw sessions away is told of, and stops nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_evicting_redis_is_a_warning_until_it_is_mended() {
    let store = Arc::new(RedisServer::with(&["--maxmemory-policy", "allkeys-lru"]));
    let gateway = Arc::new(RedisServer::start());
    let app = Setup::on(Store::Redis).server(&store).gateway(&gateway).start().await;
    let warned = async |listener, dependency: &str, policy: &str| {
        eventually("the warning is there", async || {
            let answer = app.get(listener, "/readyz").await.ok();
            assert_eq!(answer["status"], "ok");
            let warnings = answer["warnings"].as_array()?;
            let told = warnings.iter().filter_map(Value::as_str);
            told.into_iter().any(|told| told.starts_with(dependency) && told.contains(policy)).then_some(())
        })
        .await;
    };
    for listener in [Listener::Public, Listener::Internal] {
        warned(listener, "store", "allkeys-lru").await;
    }
    assert_eq!(app.get(Listener::Internal, "/healthz").await.ok(), json!({ "status": "ok" }));
    app.visitor("pilot@example.com").log_in().await;
    store.run::<()>(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    gateway.run::<()>(&["CONFIG", "SET", "maxmemory-policy", "volatile-ttl"]);
    warned(Listener::Internal, "gateway", "volatile-ttl").await;
    gateway.run::<()>(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    eventually("no warning is left", async || {
        (app.get(Listener::Internal, "/readyz").await.ok() == json!({ "status": "ok" })).then_some(())
    })
    .await;
}

/// Hosted servers forbid `CONFIG`, careful operators `INFO`. Where both are forbidden nothing can be told, or broken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_forbidden_command_hides_no_warning() {
    let store = Arc::new(RedisServer::with(&["--maxmemory-policy", "allkeys-lru"]));
    for (user, forbidden, told) in [("a", "-config", true), ("b", "-info", true), ("c", "-@dangerous", false)]
    {
        store.run::<()>(&["ACL", "SETUSER", user, "on", ">secret", "~*", "&*", "+@all", forbidden]);
        let setup = Setup::on(Store::Redis).server(&store);
        let app = setup.set("REDIS_USERNAME", user).set("REDIS_PASSWORD", "secret").start().await;
        let warning = async || app.get(Listener::Internal, "/readyz").await.ok().get("warnings").cloned();
        if told {
            eventually("the warning is there", warning).await;
        } else {
            app.visitor("pilot@example.com").log_in().await;
            assert_eq!(warning().await, None);
        }
    }
}

/// A cluster of which one master is away: its other users are served, so this is told, and is no reason to take the
/// service away; another instance would meet the same cluster. A cluster that serves nobody is one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_master_of_a_cluster_is_a_warning_and_a_cluster_that_is_down_is_not_ready() {
    let cluster = Arc::new(tokio::task::block_in_place(|| RedisCluster::start(3, 0)));
    let coverage = |whole| {
        for server in &cluster.masters()[..2] {
            let () = server.run(&["CONFIG", "SET", "cluster-require-full-coverage", whole]);
        }
    };
    coverage("no");
    let setup = Setup::on(Store::Cluster).cluster(&cluster).set("REDIS_MIN_REPLICAS", "0");
    let app = setup.set("REDIS_OPERATION_TIMEOUT", "300ms").start().await;
    let ready = async || app.get(Listener::Public, "/readyz").await;
    let says = async |status, body: &Value| {
        eventually("it says so", async || {
            let answer = ready().await;
            (answer.status == status && (status != 200 || answer.json() == *body)).then_some(())
        })
        .await;
    };
    says(200, &json!({ "status": "ok" })).await;
    cluster.masters()[2].pause();
    let warning = "store: 1 of 3 Redis masters do not serve";
    says(200, &json!({ "status": "ok", "warnings": [warning] })).await;
    // From when on the others know it, they serve nobody.
    coverage("yes");
    says(503, &Value::Null).await;
    cluster.masters()[2].resume();
    says(200, &json!({ "status": "ok" })).await;
}

on_every_store! {
    a_running_service_is_healthy_and_ready_on_both_listeners,
    metrics_are_prometheus_text,
}
