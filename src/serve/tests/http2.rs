//! HTTP/2 as an attacker speaks it: frames by hand. Whatever it does costs it the connection, and others notice nothing.

use super::*;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

fn literal(name: &[u8], value: &[u8]) -> Vec<u8> {
    let length = |text: &[u8]| u8::try_from(text.len()).unwrap();
    [&[0, length(name)], name, &[length(value)], value].concat()
}

/// A head in HPACK: two static entries and literals.
fn head(method: u8, path: &str) -> Vec<u8> {
    [vec![method, 0x86], literal(b":path", path.as_bytes()), literal(b":authority", b"x")].concat()
}

const GET: u8 = 0x82;
const POST: u8 = 0x83;

fn get(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &head(GET, path))
}

async fn open(service: &Service) -> TcpStream {
    let mut stream = TcpStream::connect(service.public).await.unwrap();
    stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await.unwrap();
    stream
}

/// Reads frames until one pleases `until`; false where the connection ends before.
async fn reads(stream: &mut TcpStream, mut until: impl FnMut(u8, u32, &[u8]) -> bool) -> bool {
    loop {
        let mut start = [0; 9];
        if stream.read_exact(&mut start).await.is_err() {
            return false;
        }
        let mut payload = vec![0; usize::from(start[1]) << 8 | usize::from(start[2])];
        if stream.read_exact(&mut payload).await.is_err() {
            return false;
        }
        let id = u32::from_be_bytes([start[5], start[6], start[7], start[8]]);
        if until(start[3], id, &payload) {
            return true;
        }
    }
}

/// Writes `attack` for as long as the service reads it, at most so often; then waits for the end of the connection.
/// True where the service said why.
async fn ends_with_a_word(
    stream: TcpStream,
    times: u32,
    mut attack: impl FnMut(u32) -> Vec<u8> + Send + 'static,
) -> bool {
    let (mut reading, mut writing) = stream.into_split();
    let writer = tokio::spawn(async move {
        for time in 0..times {
            if writing.write_all(&attack(time)).await.is_err() {
                break;
            }
        }
        writing
    });
    let mut all = Vec::new();
    let _ = reading.read_to_end(&mut all).await;
    drop(writer.await.unwrap());
    let mut rest = all.as_slice();
    let mut said = false;
    while let Some((start, more)) = rest.split_first_chunk::<9>() {
        let length = usize::from(start[1]) << 8 | usize::from(start[2]);
        said |= start[3] == GOAWAY && more.len() >= 8 && more[4..8] != [0; 4];
        rest = more.get(length..).unwrap_or_default();
    }
    said
}

#[tokio::test]
async fn requests_that_are_taken_back_at_once_cost_the_connection() {
    let service = Service::start(&[]).await;
    let attacker = open(&service).await;
    let cancel = 8u32.to_be_bytes();
    let rapid = move |time: u32| {
        let pair = |id| [get(id, "/read"), frame(RST_STREAM, 0, id, &cancel)].concat();
        (0..100).flat_map(|at| pair(1 + 2 * (100 * time + at))).collect()
    };
    assert!(ends_with_a_word(attacker, 1000, rapid).await);
    assert_eq!(service.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn a_head_that_goes_on_and_on_costs_the_connection() {
    let service = Service::start(&[]).await;
    for piece in [vec![], literal(b"x", &[b'y'; 100]), vec![0x82; 1000]] {
        let attacker = open(&service).await;
        let flood = move |time| {
            if time == 0 {
                frame(HEADERS, END_STREAM, 1, &head(GET, "/client"))
            } else {
                frame(CONTINUATION, 0, 1, &piece)
            }
        };
        assert!(ends_with_a_word(attacker, 1_000_000, flood).await);
    }
    assert_eq!(service.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn errors_that_make_us_reset_cost_the_connection() {
    let service = Service::start(&[]).await;
    let attacker = open(&service).await;
    // A window larger than there can be is an error of its stream (RFC 9113 section 6.9.1): so we reset what we work on.
    let most = 0x7fff_ffff_u32.to_be_bytes();
    let made_to_reset = move |time: u32| {
        let id = 1 + 2 * time;
        [get(id, "/read"), frame(WINDOW_UPDATE, 0, id, &most)].concat()
    };
    assert!(ends_with_a_word(attacker, 100_000, made_to_reset).await);
    assert_eq!(service.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused_and_no_more_than_so_many_requests_are_open() {
    let service = Service::start(&[]).await;
    let mut client = open(&service).await;
    let large: Vec<u8> = (0..200).flat_map(|_| literal(b"x", &[b'y'; 100])).collect();
    let (first, second) = large.split_at(large.len() / 2);
    let block = [head(GET, "/client"), first.to_vec()].concat();
    let request =
        [frame(HEADERS, END_STREAM, 1, &block), frame(CONTINUATION, END_HEADERS, 1, second)].concat();
    client.write_all(&request).await.unwrap();
    let mut status = None;
    assert!(
        reads(&mut client, |kind, id, payload| {
            status = payload.first().copied();
            id == 1 && (kind == HEADERS || kind == RST_STREAM)
        })
        .await
    );
    // 431 as a literal behind the static name `:status`, or a reset: never a 200 (0x88).
    assert_ne!(status, Some(0x88));

    let many: Vec<u8> = (1..=101).flat_map(|at| get(1 + 2 * at, "/read")).collect();
    client.write_all(&many).await.unwrap();
    let refused = |kind, id, payload: &[u8]| kind == RST_STREAM && id == 203 && payload == [0, 0, 0, 7];
    assert!(reads(&mut client, refused).await, "the 101st is REFUSED_STREAM");
    assert_eq!(service.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn answers_that_nobody_makes_room_for_end_with_the_connection() {
    let service = Service::tuned(&[], |limits| {
        impatient(limits, 300);
        (limits.requests, limits.standstill) = (60, Duration::from_millis(50));
    })
    .await;
    let no_window = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    let mut greedy = Vec::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(service.public).await.unwrap();
        let many: Vec<u8> = (0..20).flat_map(|at| get(1 + 2 * at, "/healthz")).collect();
        stream.write_all(&[PREFACE, &no_window, &many].concat()).await.unwrap();
        greedy.push(stream);
    }
    // All places are taken by answers that are not fetched, until those who hold them have to go.
    while service.get("/healthz").await.status != 200 {
        sleep(Duration::from_millis(10)).await;
    }
    for mut stream in greedy {
        assert!(!reads(&mut stream, |_, _, _| false).await);
    }
}

#[tokio::test]
async fn a_client_with_nothing_to_ask_is_sent_home() {
    let service = Service::tuned(&[], |limits| impatient(limits, 100)).await;
    let mut client = open(&service).await;
    client.write_all(&get(1, "/healthz")).await.unwrap();
    assert!(reads(&mut client, |kind, _, _| kind == GOAWAY).await);
    assert!(!reads(&mut client, |_, _, _| false).await);
}

#[tokio::test]
async fn a_body_in_pieces_of_nothing_ends_in_time() {
    let service = Service::start(&[]).await;
    let attacker = open(&service).await;
    let begin = [head(POST, "/echo"), literal(b"content-type", b"application/json")].concat();
    let drip = move |time| {
        if time == 0 { frame(HEADERS, END_HEADERS, 1, &begin) } else { frame(0, 0, 1, &[]) }
    };
    assert!(ends_with_a_word(attacker, 1_000_000, drip).await);
    assert_eq!(service.get("/healthz").await.status, 200);
}
