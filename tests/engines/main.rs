//! What every engine must do, and what each must survive.

#[path = "../harness/redis.rs"]
mod harness;

#[test]
fn a_test_redis_dies_and_comes_back() {
    let server = harness::RedisServer::durable();
    let _: () = server.run(&["SET", "k", "v"]);
    server.restart();
    assert_eq!(server.run::<String>(&["GET", "k"]), "v");
    let replica = harness::RedisServer::replica_of(&server);
    assert_eq!(replica.run::<String>(&["GET", "k"]), "v");
    server.pause();
    server.resume();
    assert_eq!(server.run::<String>(&["GET", "k"]), "v");
}
