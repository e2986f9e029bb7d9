//! What one replica wrote to the gateway's Redis arrives late, after another has written something newer.

use std::sync::Arc;

use crate::harness::{Setup, Store, Visitor, eventually, proxy::Proxy, redis::RedisServer};

/// A login's record is held up on its way, the session is revoked elsewhere, and then the record arrives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_active_record_that_arrives_late_never_overwrites_revoked() {
    let gateway = Arc::new(RedisServer::start());
    let setup = Setup::on(Store::Redis).gateway(&gateway).set("REDIS_OPERATION_TIMEOUT", "250ms");
    let app = setup.start().await;
    let proxy = Proxy::to(gateway.addr()).await;
    let slow = app.replica_with(&[("GATEWAY_REDIS_ADDR", &proxy.addr())]).await;
    let pilot = Visitor::new(&slow.wire, &app.mail, "pilot@example.com");
    let before = pilot.log_in().await;
    app.gateway().was_told(&before, "active").await;
    for _ in 0..5 {
        proxy.hold();
        let session = pilot.log_in().await;
        eventually("the record is held up", async || proxy.holds_something().then_some(())).await;
        app.operator().revoke(&session).await.ok();
        app.gateway().was_told(&session, "revoked").await;
        proxy.release().await;
        app.gateway().was_told(&session, "revoked").await;
        // Whatever the slow replica says next comes after all that it said late.
        eventually("the slow replica reaches the gateway again", async || {
            let marker = pilot.log_in().await;
            app.gateway().record(&marker)
        })
        .await;
        app.gateway().was_told(&session, "revoked").await;
    }
}
