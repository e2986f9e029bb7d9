//! The secrets that the store keeps, and a process that has them in memory.

use authsession::engine::{Collection, Commit, Keys};

use crate::fixture::{Fixture, shard};

#[tokio::test]
async fn a_process_serves_while_the_store_keeps_its_secrets() {
    let fixture = Fixture::embedded();
    let keys = Keys::new(fixture.engine.clone(), fixture.clock.world());
    keys.names().await.unwrap();
    keys.code_secret().await.unwrap();
    let kept = Collection::new(shard(0), "keys");
    let [ours, other] = [
        fixture.items(&kept, 10).await,
        vec![(b"codes".into(), vec![1; 33]), (b"names".into(), vec![1; 33])],
    ];
    assert_eq!(ours.len(), 2);
    let put = async |items: &[(Vec<u8>, Vec<u8>)]| {
        for (name, secret) in items {
            let mut commit = Commit::on(kept.shard);
            commit.put(kept.item(name.clone()), secret.clone());
            fixture.done(commit).await;
        }
        keys.guard().await.unwrap();
    };
    put(&[]).await;
    keys.check().unwrap();
    put(&other).await;
    keys.check().unwrap_err();
    assert!(keys.names().await.is_err() && keys.code_secret().await.is_err());
    put(&ours[..1]).await;
    keys.check().unwrap_err();
    put(&other[..1]).await;
    put(&ours[1..]).await;
    keys.check().unwrap_err();
    put(&ours).await;
    keys.check().unwrap();
    assert!(keys.names().await.is_ok() && keys.code_secret().await.is_ok());
}
