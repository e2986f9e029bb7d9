//! A fast fake mail service: takes every delivery at once and keeps the code under its challenge, in memory.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    thread,
};

use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Builder,
};

use crate::wire::Connection;

const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 18\r\n\r\n{\"outcome\":\"sent\"}";

type Codes = Arc<Mutex<HashMap<String, String>>>;

/// Serves until the process ends, on a thread of its own.
#[derive(Clone)]
pub(crate) struct Mailbox {
    addr: SocketAddr,
    codes: Codes,
}

impl Mailbox {
    pub(crate) fn open() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        let addr = listener.local_addr().expect("a bound address");
        let codes = Codes::default();
        let kept = codes.clone();
        thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(accept(listener, kept));
        });
        Self { addr, codes }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The code mailed for `challenge`, which is forgotten with this.
    pub(crate) fn take(&self, challenge: &str) -> Option<String> {
        self.codes.lock().unwrap().remove(challenge)
    }

    /// Forgets everything.
    pub(crate) fn empty(&self) {
        self.codes.lock().unwrap().clear();
    }
}

async fn accept(listener: std::net::TcpListener, codes: Codes) {
    let listener = TcpListener::from_std(listener).expect("a socket");
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        let codes = codes.clone();
        tokio::spawn(async move { drop(serve(stream, codes).await) });
    }
}

async fn serve(stream: TcpStream, codes: Codes) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut connection = Connection::over(stream);
    while let Some(body) = connection.next_request().await? {
        let letter = std::str::from_utf8(body).map_err(io::Error::other)?;
        let (challenge, code) = (text(letter, r#""challenge_id":""#), text(letter, r#""code":""#));
        codes.lock().unwrap().insert(challenge.to_owned(), code.to_owned());
        connection.write(ANSWER).await?;
    }
    Ok(())
}

/// What stands behind `before`, up to the next quotation mark.
fn text<'a>(letter: &'a str, before: &str) -> &'a str {
    let (_, rest) = letter.split_once(before).unwrap_or_default();
    rest.split('"').next().unwrap_or_default()
}
