//! Slow, silent and greedy clients: they lose their places, and nobody else does.

use futures_util::future::select_all;

use super::*;

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
const KEPT: &str = "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
const READ: &str = "GET /read HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

async fn is_cut_off(mut stream: TcpStream) -> bool {
    let mut rest = Vec::new();
    matches!(stream.read_to_end(&mut rest).await, Ok(0) | Err(_))
}

#[tokio::test]
async fn one_connection_too_many_takes_the_place_of_the_one_that_was_silent_longest() {
    let service = Service::tuned(&[], |limits| limits.connections = 8).await;
    let asking = connect(service.public, READ).await;
    service.levers.begun().await;
    let mut silent = Vec::new();
    for start in ["", "GET /healthz HT", "PRI * HTTP/2.0\r\n", "POST /echo HTTP/1.1\r\nhost: x\r\n"] {
        for _ in 0..10 {
            silent.push(connect(service.public, start).await);
        }
        assert_eq!(ask(service.public, HEALTH).await.status, 200, "{start:?}");
    }
    let oldest = silent.drain(..20).collect::<Vec<_>>();
    for stream in oldest {
        assert!(is_cut_off(stream).await);
    }
    service.levers.go_on.notify_one();
    assert_eq!(answer(asking).await.body, "\"done\"", "whoever waits for us is left alone");
}

#[tokio::test]
async fn bodies_that_do_not_come_make_room_when_they_stand_still() {
    let service = Service::tuned(&[], |limits| {
        (limits.connections, limits.standstill) = (8, Duration::from_millis(50));
    })
    .await;
    let head = post("/echo", "", "").replace("length: 0", "length: 100");
    let mut slow = Vec::new();
    for _ in 0..30 {
        slow.push(connect(service.public, &head).await);
    }
    assert_eq!(ask(service.public, HEALTH).await.status, 200);
    assert!(is_cut_off(slow.swap_remove(0)).await, "and does not hear of a timeout of its own");
}

#[tokio::test]
async fn whoever_does_not_begin_is_closed_in_time() {
    let service = Service::tuned(&[], |limits| limits.head = Duration::from_millis(50)).await;
    for start in ["", "G", "GET /healthz HTTP/1.1\r\nx: y", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let mut stream = connect(service.public, start).await;
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        assert!(!rest.starts_with(b"HTTP"), "{start:?}");
    }
}

#[tokio::test]
async fn whoever_has_asked_and_asks_no_more_is_closed_in_time() {
    let service = Service::tuned(&[], |limits| impatient(limits, 100)).await;
    // Idle, and in the middle of a second head.
    for next in ["", "GET /healthz HTTP/1.1\r\nx: y"] {
        let mut stream = connect(service.public, &format!("{KEPT}{next}")).await;
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        assert!(rest.starts_with(b"HTTP/1.1 200"), "{next:?}");
    }
}

#[tokio::test]
async fn an_answer_that_is_not_taken_does_not_hold_the_connection_for_ever() {
    let service = Service::tuned(&[], |limits| impatient(limits, 100)).await;
    // Its only piece has been taken, and no other comes.
    let mut stream = connect(service.public, "GET /ticks HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let mut all = String::new();
    let _ = stream.read_to_string(&mut all).await;
    assert!(all.contains("tick\n") && !all.ends_with("0\r\n\r\n"), "{all}");
}

#[tokio::test]
async fn a_request_too_many_is_refused_in_our_shape_and_a_place_is_free_again_at_once() {
    let service = Service::tuned(&[], |limits| limits.requests = 2).await;
    let waiting = [connect(service.public, READ).await, connect(service.public, READ).await];
    service.levers.begun().await;
    service.levers.begun().await;
    for path in ["/healthz", "/nowhere"] {
        let refused = service.get(path).await;
        assert_eq!((refused.status, refused.code().as_str()), (503, "service_unavailable"));
        assert_eq!(refused.headers["retry-after"], "1");
        assert_eq!(refused.headers["cache-control"], "no-store");
    }
    assert_eq!(ask(service.internal, HEALTH).await.status, 200, "the other listener has places of its own");
    service.levers.go_on.notify_waiters();
    for stream in waiting {
        assert_eq!(answer(stream).await.status, 200);
    }
    assert_eq!(service.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn whoever_holds_all_requests_and_stands_still_loses_them() {
    let service = Service::tuned(&[], |limits| {
        (limits.requests, limits.standstill) = (4, Duration::from_millis(50));
    })
    .await;
    let head = post("/echo", "", "").replace("length: 0", "length: 100");
    let mut slow = Vec::new();
    for _ in 0..4 {
        slow.push(connect(service.public, &head).await);
    }
    while service.get("/healthz").await.status != 200 {
        sleep(Duration::from_millis(10)).await;
    }
    let (cut_off, ..) = select_all(slow.into_iter().map(|stream| is_cut_off(stream).boxed())).await;
    assert!(cut_off, "and does not hear of a timeout of its own");
}

#[tokio::test]
async fn whoever_waits_for_us_is_never_cut_off_however_many_come() {
    let service = Service::tuned(&[], |limits| {
        (limits.connections, limits.requests, limits.standstill) = (5, 4, Duration::ZERO);
    })
    .await;
    let mut waiting = Vec::new();
    for request in [READ, READ, &post("/change", "", "{}"), &post("/change", "", "{}")] {
        waiting.push(connect(service.public, request).await);
        service.levers.begun().await;
    }
    for _ in 0..20 {
        assert_eq!(service.get("/healthz").await.status, 503, "all requests are taken");
    }
    waiting.push(connect(service.public, "").await);
    let next = connect(service.public, HEALTH).await;
    assert!(is_cut_off(waiting.pop().unwrap()).await, "the silent one");
    assert_eq!(answer(next).await.status, 503);
    service.levers.go_on.notify_waiters();
    for stream in waiting {
        assert_eq!(answer(stream).await.body, "\"done\"");
    }
    assert_eq!(service.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn where_every_connection_waits_for_us_the_next_one_waits_for_its_place() {
    let service =
        Service::tuned(&[], |limits| (limits.connections, limits.standstill) = (2, Duration::ZERO)).await;
    let waiting = [connect(service.public, READ).await, connect(service.public, READ).await];
    service.levers.begun().await;
    service.levers.begun().await;
    let next = connect(service.public, HEALTH).await;
    service.levers.go_on.notify_waiters();
    for stream in waiting {
        assert_eq!(answer(stream).await.body, "\"done\"");
    }
    assert_eq!(answer(next).await.status, 200);
}
