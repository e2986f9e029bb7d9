//! TLS to Redis with a private certificate authority, client certificates, and users with limited rights.

use authsession::engine::{Commit, Engine, redis::Redis};

use crate::{
    certificates::Certificates,
    fixture::{collection, settings, shard},
    harness::{ANY_PORT, RedisServer},
};

struct TlsServer {
    _server: RedisServer,
    addr: String,
    certificates: Certificates,
}

/// A server that speaks TLS. It asks for client certificates where `clients` is `yes`.
fn tls_server(clients: &str) -> TlsServer {
    let certificates = Certificates::make();
    let file = |name| certificates.file(name);
    let (ca, certificate, key) = (file("ca.crt"), file("server.crt"), file("server.key"));
    let server = RedisServer::with(&[
        "--tls-port",
        ANY_PORT,
        "--tls-ca-cert-file",
        &ca,
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &key,
        "--tls-auth-clients",
        clients,
    ]);
    // The rights that docs/operations.md asks for.
    let who = ["ACL", "SETUSER", "authsession", "on", ">open:sesame", "~test-*"].into_iter();
    let rights = ["+@read", "+@write", "+@scripting", "+@connection", "+wait", "+info"];
    let () = server.run(&who.chain(rights).collect::<Vec<_>>());
    let addr = format!("127.0.0.1:{}", server.option("tls-port"));
    TlsServer { _server: server, addr, certificates }
}

async fn serves(addr: &str, options: &[(&str, &str)]) -> Result<(), String> {
    let engine = Redis::new(&settings(addr, options));
    let text = |error: authsession::base::Unavailable| error.source.to_string();
    engine.ready().await.map_err(text)?;
    engine.populated("j").await.map_err(text)?;
    engine.pending(engine.outbox_of(shard(7)), 10).await.map_err(text)?;
    engine.collections("a:", None, 10).await.map_err(text)?;
    let mut commit = Commit::on(shard(7));
    commit.put(collection("a:x").item("one"), b"1".into());
    commit.announce(b"one".into());
    engine.commit(commit).await.map_err(text)?;
    engine.get(&[collection("a:x").item("one")]).await.map_err(text).map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_trusted_by_its_authority_only() {
    let server = tls_server("no");
    let url = format!("rediss://{}", server.addr);
    let ca = server.certificates.file("ca.crt");
    serves(&url, &[("TLS_CA_FILE", &ca)]).await.unwrap();
    serves(&url.replace("127.0.0.1", "localhost"), &[("TLS_CA_FILE", &ca)]).await.unwrap();
    let login = [("TLS_CA_FILE", ca.as_str()), ("USERNAME", "authsession"), ("PASSWORD", "open:sesame")];
    serves(&url, &login).await.unwrap();

    // Neither another authority, nor none of ours, nor another name, nor plain text.
    let stranger = Certificates::make();
    assert!(serves(&url, &[("TLS_CA_FILE", &stranger.file("ca.crt"))]).await.is_err());
    assert!(serves(&url, &[]).await.is_err());
    assert!(serves(&url.replace("127.0.0.1", "127.0.0.2"), &[("TLS_CA_FILE", &ca)]).await.is_err());
    assert!(serves(&server.addr, &[]).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_may_ask_for_a_certificate_of_ours() {
    let server = tls_server("yes");
    let url = format!("rediss://authsession:open%3Asesame@{}", server.addr);
    let files = ["ca.crt", "client.crt", "client.key"].map(|name| server.certificates.file(name));
    let ca = ("TLS_CA_FILE", files[0].as_str());
    let ours = [ca, ("TLS_CERT_FILE", files[1].as_str()), ("TLS_KEY_FILE", files[2].as_str())];
    serves(&url, &ours).await.unwrap();
    assert!(serves(&url, &[ca]).await.is_err());
}
