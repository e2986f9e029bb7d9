//! Somebody has a copy of the whole store: without the code secret he finds no code by trying all of them. With the
//! secret that the store keeps where none is set he does, which shows that the search is in earnest.

use std::{collections::BTreeSet, fs};

use authsession::{
    base::{Secret, World},
    engine::{Engine, embedded::Embedded},
};

use crate::harness::{
    Device, Listener,
    actors::{CONFIRM, SEND, challenge_of, session_of},
    process::Service,
};
use serde_json::json;
use tempfile::TempDir;

const CODE_SECRET: &str = "a-code-secret-of-more-than-32-bytes";

/// Every value of the store in `dir`, by the name of its collection.
async fn values(dir: &str) -> Vec<(String, Vec<u8>)> {
    let store = Embedded::open(dir.as_ref(), World::system()).expect("the store");
    let mut all = Vec::new();
    let mut from = None;
    loop {
        let page = store.collections("", from.as_ref(), 1000).await.expect("collections");
        for collection in page.found {
            let items = store.list(&collection, None, 1000).await.expect("items").items;
            all.extend(items.into_iter().map(|(_, value)| (collection.name.clone(), value)));
        }
        from = page.next;
        if from.is_none() {
            return all;
        }
    }
}

/// Whether `code` would be found by whoever tries all codes under every key that he can lay hands on: each run of 32
/// bytes in any value, and none at all. A code is hashed with 16 bytes of salt, which lie before the hash.
fn is_found(values: &[(String, Vec<u8>)], code: &str) -> bool {
    let windows = |size: usize| values.iter().flat_map(move |(_, value)| value.windows(size));
    let hashed: BTreeSet<(&[u8], &[u8])> = windows(48).map(|both| both.split_at(16)).collect();
    let keys: BTreeSet<&[u8]> = windows(32).chain([&[][..], &[0; 32]]).collect();
    let salts: BTreeSet<&[u8]> = hashed.iter().map(|(salt, _)| *salt).collect();
    keys.iter().any(|key| {
        let key = Secret::new(*key);
        salts.iter().any(|salt| hashed.contains(&(*salt, &key.mac("code", &[salt, code.as_bytes()])[..])))
    })
}

/// One code in the mail and one that was used, and the store they lie in.
async fn stolen(secret: &[(&str, &str)]) -> ([String; 2], Vec<(String, Vec<u8>)>, Vec<u8>) {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("data").display().to_string();
    let settings = [&[("DATA_DIR", data.as_str()), ("CODE_LENGTH", "10")], secret].concat();
    let mut service = Service::start(&settings).await;
    let mut codes = Vec::new();
    for email in ["used@example.com", "waiting@example.com"] {
        let sent = service.wire.post(Listener::Public, SEND, &json!({ "email": email })).await;
        let challenge = challenge_of(&sent);
        let code = service.code_for(&challenge).await;
        if codes.is_empty() {
            let key = Device::new().key();
            let body = json!({ "challenge_id": challenge, "code": code, "client_public_key": key });
            session_of(&service.wire.post(Listener::Public, CONFIRM, &body).await);
        }
        codes.push(code);
    }
    service.kill();
    let file = fs::read(format!("{data}/authsession.redb")).unwrap();
    (codes.try_into().unwrap(), values(&data).await, file)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stolen_store_tells_no_code_without_the_code_secret() {
    let (codes, values, file) = stolen(&[("CODE_SECRET", CODE_SECRET)]).await;
    assert!(values.iter().any(|(name, _)| name == "keys"), "the key of names is in there");
    for code in &codes {
        assert!(!file.windows(code.len()).any(|part| part == code.as_bytes()), "in the clear");
        assert!(!is_found(&values, code), "under a key that lies beside it");
    }
    assert!(!file.windows(16).any(|part| part == &CODE_SECRET.as_bytes()[..16]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_keeps_the_secret_itself_tells_the_code_that_waits() {
    let (codes, values, _) = stolen(&[]).await;
    assert!(is_found(&values, &codes[1]), "the search finds what there is to find");
}
