//! What lies in the store: nobody who reads its key names learns who has an account, and nobody who reads its values
//! learns a code.

use std::sync::Arc;

use crate::harness::{Setup, Store, redis::RedisServer};

/// Every key of the server with everything under it, as text.
fn everything(server: &RedisServer) -> Vec<(String, String)> {
    let keys: Vec<Vec<u8>> = server.run(&["KEYS", "*"]);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut all = Vec::new();
    for key in keys {
        let name = text(&key);
        let kind: String = server.run(&["TYPE", &name]);
        let read = match kind.as_str() {
            "hash" => vec!["HGETALL", name.as_str()],
            "string" => vec!["GET", &name],
            "stream" => vec!["XRANGE", &name, "-", "+"],
            other => panic!("{name} is a {other}"),
        };
        all.push((name.clone(), format!("{:?}", server.run::<redis::Value>(&read))));
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_names_tell_nothing_of_users_and_values_nothing_of_codes() {
    let server = Arc::new(RedisServer::start());
    let app = Setup::on(Store::Redis).server(&server).set("CODE_LENGTH", "10").start().await;
    let pilot = app.visitor("pilot@example.com");
    pilot.log_in().await;
    let (_, waiting) = pilot.code().await;
    app.operator().block_email("blocked@example.com").await.ok();
    let codes = pilot.codes();
    assert!(codes.contains(&waiting));
    let all = everything(&server);
    assert!(!all.is_empty());
    for (name, value) in &all {
        assert!(!name.contains("example") && !name.contains("pilot"), "{name}");
        for code in &codes {
            let digits: Vec<String> = code.bytes().map(|digit| digit.to_string()).collect();
            assert!(!value.contains(code.as_str()), "the code lies at {name}");
            assert!(!value.contains(&digits.join(", ")), "the code lies at {name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_but_active_sessions_and_users_has_an_end() {
    let server = Arc::new(RedisServer::start());
    let app = Setup::on(Store::Redis).server(&server).start().await;
    let before: Vec<String> = server.run(&["KEYS", "*"]);
    for at in 0..5 {
        let pilot = app.visitor(&format!("pilot{at}@example.com"));
        let (challenge, code) = pilot.code().await;
        pilot.guess_wrong(&challenge, &code, 2).await;
    }
    let keys: Vec<String> = server.run(&["KEYS", "*"]);
    let fresh: Vec<&String> = keys.iter().filter(|key| !before.contains(key)).collect();
    let endless: Vec<&&String> = fresh
        .iter()
        .filter(|key| server.run::<i64>(&["PTTL", key]) == -1)
        .filter(|key| !key.ends_with(":keys"))
        .collect();
    assert!(fresh.len() >= 10, "{fresh:?}");
    assert_eq!(endless, Vec::<&&String>::new());
}
