//! A login and a revoke on every other kind of Redis that may be configured.

use std::sync::Arc;

use crate::harness::{
    App, Setup, Store,
    certificates::Certificates,
    eventually,
    redis::{RedisCluster, RedisSentinels, RedisServer, wait_until},
};

/// With a longer timeout than a busy machine makes any call, the first ones over new connections included.
fn patient(store: Store) -> Setup {
    Setup::on(store).set("REDIS_OPERATION_TIMEOUT", "3s")
}

/// Two logins of which one is revoked; at the end the gateway knows of both.
async fn a_login_and_a_revoke(app: &App) {
    let pilot = app.visitor("pilot@example.com");
    let (kept, ended) = (pilot.log_in().await, pilot.log_in().await);
    app.gateway().was_told(&ended, "active").await;
    assert_eq!(app.operator().revoke(&ended).await.ok()["outcome"], "revoked");
    app.gateway().was_told(&ended, "revoked").await;
    app.gateway().was_told(&kept, "active").await;
    assert_eq!(app.operator().status_of(&kept).await, "active");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_behind_sentinels() {
    let watched = tokio::task::block_in_place(|| RedisSentinels::start(1));
    let setup = patient(Store::Redis).set("GATEWAY_REDIS_MODE", "sentinel");
    let app = setup.set("GATEWAY_REDIS_ADDR", &watched.addr()).start().await;
    let record =
        |session: &str| watched.master().run::<Option<String>>(&["GET", &app.gateway().key(session)]);
    let says = |session: &str, status: &str| {
        record(session).is_some_and(|record| record.contains(&format!("\"{status}\"")))
    };
    let pilot = app.visitor("pilot@example.com");
    let (kept, ended, third) = (pilot.log_in().await, pilot.log_in().await, pilot.log_in().await);
    assert!(says(&ended, "active"));
    app.operator().revoke(&ended).await.ok();
    assert!(says(&ended, "revoked") && says(&kept, "active"));
    // A record that a failover may undo does not count either, though the store itself has no replicas.
    let replica = watched.replica();
    replica.pause();
    app.operator().revoke(&third).await.unavailable();
    replica.resume();
    eventually("the revoke is acknowledged", async || {
        (app.operator().revoke(&third).await.status == 200).then_some(())
    })
    .await;
    assert!(says(&third, "revoked"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_server_that_keeps_keys_apart_as_a_cluster_does() {
    let server = Arc::new(RedisServer::with(&["--cluster-enabled", "yes"]));
    server.run::<()>(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
    wait_until("it serves", || server.try_run::<()>(&["SET", "it", "serves"]).is_ok());
    let app = patient(Store::Redis).server(&server).start().await;
    a_login_and_a_revoke(&app).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unix_socket_and_a_database_of_our_own() {
    let server = Arc::new(RedisServer::start());
    let addr = format!("unix://{}", server.socket().display());
    let app = patient(Store::Redis).server(&server).set("REDIS_ADDR", &addr).start().await;
    a_login_and_a_revoke(&app).await;
    let app = patient(Store::Redis).server(&server).set("REDIS_ADDR", &addr).set("REDIS_DB", "3");
    let app = app.start().await;
    let session = app.visitor("pilot@example.com").log_in().await;
    app.operator().revoke(&session).await.ok();
    assert_eq!(app.gateway().record(&session), None, "nothing is in database 0");
    let mut connection = server.connect();
    let () = redis::cmd("SELECT").arg(3).query(&mut connection).unwrap();
    let record: String = redis::cmd("GET").arg(app.gateway().key(&session)).query(&mut connection).unwrap();
    assert!(record.contains("\"revoked\""), "{record}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_over_tls_that_asks_for_our_certificate() {
    let certificates = Certificates::make();
    let [ca, server_cert, server_key, cert, key] =
        ["ca.crt", "server.crt", "server.key", "client.crt", "client.key"]
            .map(|name| certificates.file(name));
    let files = [ca.clone(), server_cert, server_key];
    let cluster = Arc::new(tokio::task::block_in_place(|| RedisCluster::over_tls(3, 3, &files)));
    // One seed is enough: the others are those that it names, and they must be met over TLS, too.
    let seed = cluster.tls_urls().split(',').next().unwrap().to_owned();
    for seeds in [cluster.tls_urls(), seed] {
        let setup = patient(Store::Cluster).cluster(&cluster).set("REDIS_ADDR", &seeds);
        let setup = setup.set("REDIS_TLS_CA_FILE", &ca).set("REDIS_TLS_CERT_FILE", &cert);
        a_login_and_a_revoke(&setup.set("REDIS_TLS_KEY_FILE", &key).start().await).await;
    }
    let setup = patient(Store::Cluster).cluster(&cluster).set("REDIS_ADDR", &cluster.tls_urls());
    let stranger = setup.set("REDIS_TLS_CA_FILE", &ca).start().await;
    stranger.visitor("pilot@example.com").send().await.unavailable();
}

/// The rights are those that docs/operations.md asks for, no more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_of_limited_rights_in_a_cluster() {
    let cluster = tokio::task::block_in_place(RedisCluster::shared);
    for server in cluster.servers() {
        let who = ["ACL", "SETUSER", "limited", "on", ">open:sesame", "~test-*"].into_iter();
        let rights = ["+@read", "+@write", "+@scripting", "+@connection", "+wait", "+info"];
        let in_a_cluster = ["+cluster|slots", "+cluster|nodes"];
        let () = server.run(&who.chain(rights).chain(in_a_cluster).collect::<Vec<_>>());
    }
    let setup = patient(Store::Cluster).set("REDIS_USERNAME", "limited");
    let app = setup.set("REDIS_PASSWORD", "open:sesame").start().await;
    a_login_and_a_revoke(&app).await;
    for master in cluster.masters() {
        assert!(master.run::<String>(&["CLIENT", "LIST"]).contains("user=limited"), "it was that user");
    }
    let setup = patient(Store::Cluster).set("REDIS_USERNAME", "limited");
    let stranger = setup.set("REDIS_PASSWORD", "wrong").start().await;
    stranger.visitor("pilot@example.com").send().await.unavailable();
}
