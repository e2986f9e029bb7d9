//! What happens to requests, streams and background work when the service ends.

use super::*;

const READ: &str = "GET /read HTTP/1.1\r\nhost: x\r\n\r\n";

#[tokio::test]
async fn a_drain_answers_what_was_asked_before() {
    let service = Service::start(&[]).await;
    let asked = connect(service.public, READ).await;
    service.levers.begun().await;
    service.stop.cancel();
    while service.get("/readyz").await.status == 200 {}
    assert_eq!(service.get("/readyz").await.code(), "service_unavailable");
    service.levers.go_on.notify_one();
    assert_eq!(answer(asked).await.body, "\"done\"");
    assert_eq!(service.running.await.unwrap(), Ending::Drained);
    assert!(TcpStream::connect(service.public).await.is_err());
}

#[tokio::test]
async fn a_change_goes_on_though_its_client_has_hung_up_and_the_drain_waits_for_it() {
    let service = Service::start(&[]).await;
    let (change, read) =
        (connect(service.public, &post("/change", "", "")).await, connect(service.public, READ).await);
    service.levers.begun().await;
    service.levers.begun().await;
    drop((change, read));
    service.stop.cancel();
    while TcpStream::connect(service.public).await.is_ok() {}
    assert_eq!(service.levers.finished.load(Ordering::SeqCst), 0);
    service.levers.go_on.notify_waiters();
    assert_eq!(service.running.await.unwrap(), Ending::Drained);
    assert_eq!(service.levers.finished.load(Ordering::SeqCst), 1, "the change, but not the read");
}

#[tokio::test]
async fn what_does_not_finish_in_time_is_cut() {
    let service = Service::start(&[("AUTHSESSION_SHUTDOWN_TIMEOUT", "100ms")]).await;
    let _asked = connect(service.public, READ).await;
    service.levers.begun().await;
    assert_eq!(service.end().await, Ending::Cut);
}

#[tokio::test]
async fn streams_end_with_the_drain_and_idle_connections_do_not_hold_it_up() {
    let service = Service::start(&[]).await;
    let request = "GET /ticks HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut streaming = connect(service.public, request).await;
    let mut idle = connect(service.public, "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let silent = connect(service.public, "").await;
    let stuck = connect(service.public, "GET /healthz HT").await;
    let mut first = [0; 512];
    assert!(streaming.read(&mut first).await.unwrap() > 0);
    assert!(idle.read(&mut first).await.unwrap() > 0);
    assert_eq!(service.end().await, Ending::Drained);
    let mut rest = String::new();
    streaming.read_to_string(&mut rest).await.unwrap();
    assert!(rest.ends_with("0\r\n\r\n"), "a stream is ended, not broken off: {rest:?}");
    drop((silent, stuck));
}

#[tokio::test]
async fn background_work_is_told_to_stop_after_the_last_answer() {
    let told = Arc::new(AtomicUsize::new(0));
    let seen = told.clone();
    let task = Task::new("watcher", move |stop| async move {
        stop.cancelled().await;
        seen.fetch_add(1, Ordering::SeqCst);
    });
    let service = Service::with(&[], vec![task], Arc::new(|| async { Ok(vec![]) }.boxed())).await;
    let asked = connect(service.public, READ).await;
    service.levers.begun().await;
    service.stop.cancel();
    while TcpStream::connect(service.public).await.is_ok() {}
    assert_eq!(told.load(Ordering::SeqCst), 0);
    service.levers.go_on.notify_one();
    assert_eq!(service.running.await.unwrap(), Ending::Drained);
    assert_eq!(told.load(Ordering::SeqCst), 1);
    assert_eq!(answer(asked).await.status, 200);
}

#[tokio::test]
async fn background_work_that_ends_by_itself_ends_the_service() {
    let returns = Task::new("returns", |_| async {});
    let panics = Task::new("panics", |_| async { panic!("on purpose") });
    for task in [returns, panics] {
        let service = Service::with(&[], vec![task], Arc::new(|| async { Ok(vec![]) }.boxed())).await;
        assert_eq!(service.running.await.unwrap(), Ending::TaskEnded);
    }
}

#[tokio::test]
async fn dropping_the_service_closes_everything() {
    let service = Service::start(&[]).await;
    let mut asked = connect(service.public, READ).await;
    service.levers.begun().await;
    service.running.abort();
    assert!(service.running.await.unwrap_err().is_cancelled());
    assert_eq!(asked.read(&mut [0]).await.unwrap_or_default(), 0);
    while TcpStream::connect(service.public).await.is_ok() {}
}
