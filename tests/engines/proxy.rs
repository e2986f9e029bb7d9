//! A TCP proxy before a server, whose connections can go silent: nothing is closed, nothing arrives any more. So does
//! a connection whose other end lost its power or its route.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

/// A running proxy. Its threads end with the connections that they serve.
pub(crate) struct Proxy {
    port: u16,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    accepted: AtomicUsize,
    /// Connections numbered below this are silent.
    silent_below: AtomicUsize,
}

impl Proxy {
    /// Forwards to the local port `target`.
    pub(crate) fn start(target: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let counts = Arc::new(Counts::default());
        let shared = Arc::clone(&counts);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let number = shared.accepted.fetch_add(1, SeqCst);
                let Ok(server) = TcpStream::connect(("127.0.0.1", target)) else { continue };
                let (to_server, to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                for (from, to) in [(client, to_server), (server, to_client)] {
                    let counts = Arc::clone(&shared);
                    thread::spawn(move || forward(from, to, || number < counts.silent_below.load(SeqCst)));
                }
            }
        });
        Self { port, counts }
    }

    pub(crate) fn addr(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// How many connections have been made.
    pub(crate) fn accepted(&self) -> usize {
        self.counts.accepted.load(SeqCst)
    }

    /// All connections made so far go silent; later ones work.
    pub(crate) fn silence(&self) {
        self.counts.silent_below.store(self.accepted(), SeqCst);
    }
}

fn forward(mut from: TcpStream, mut to: TcpStream, is_silent: impl Fn() -> bool) {
    let mut buffer = [0; 4096];
    while let Ok(length) = from.read(&mut buffer) {
        // Whatever a silent connection is told is swallowed.
        if !is_silent() && (length == 0 || to.write_all(&buffer[..length]).is_err()) {
            break;
        }
        if length == 0 {
            return;
        }
    }
    drop(to.shutdown(std::net::Shutdown::Both));
}
