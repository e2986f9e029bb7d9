//! A wire that can be slow: what is sent over it is held back until the test lets it go, and arrives then even when
//! the sender has given up.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
};

use super::eventually;

/// A proxy to one server.
pub struct Proxy {
    addr: String,
    held: watch::Sender<bool>,
    /// Pieces that are waiting, and pieces that arrived late and were answered.
    waiting: Arc<AtomicUsize>,
    answered: Arc<AtomicUsize>,
    acceptor: JoinHandle<()>,
}

impl Proxy {
    /// Forwards to `server`.
    pub async fn to(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("a bound address").to_string();
        let (held, _) = watch::channel(false);
        let (waiting, answered) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let (gate, waits, answers) = (held.clone(), Arc::clone(&waiting), Arc::clone(&answered));
        let acceptor = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(upstream) = TcpStream::connect(&server).await else { continue };
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = upstream.into_split();
                tokio::spawn(forward(from_client, to_server, gate.subscribe(), Arc::clone(&waits)));
                tokio::spawn(back(from_server, to_client, Arc::clone(&answers)));
            }
        });
        Self { addr, held, waiting, answered, acceptor }
    }

    /// `127.0.0.1:port`.
    pub fn addr(&self) -> String {
        self.addr.clone()
    }

    /// Holds back whatever is sent from now on.
    pub fn hold(&self) {
        self.held.send_replace(true);
    }

    /// Whether something is being held back.
    pub fn holds_something(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }

    /// Lets it all go, and returns once the server has answered.
    pub async fn release(&self) {
        let before = self.answered.load(Ordering::SeqCst);
        let pieces = self.waiting.load(Ordering::SeqCst);
        self.held.send_replace(false);
        eventually("what was late has been answered", async || {
            (self.answered.load(Ordering::SeqCst) >= before + pieces).then_some(())
        })
        .await;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

async fn forward(
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
    mut held: watch::Receiver<bool>,
    waiting: Arc<AtomicUsize>,
) {
    let mut buffer = vec![0; 65_536];
    loop {
        let Ok(()) = from.readable().await else { return };
        let length = match from.try_read(&mut buffer) {
            Ok(0) => return,
            Ok(length) => length,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
            Err(_) => return,
        };
        let holding = *held.borrow();
        waiting.fetch_add(usize::from(holding), Ordering::SeqCst);
        if held.wait_for(|held| !held).await.is_err() || !send(&to, &buffer[..length]).await {
            return;
        }
        waiting.fetch_sub(usize::from(holding), Ordering::SeqCst);
    }
}

async fn back(from: OwnedReadHalf, to: OwnedWriteHalf, answered: Arc<AtomicUsize>) {
    let mut buffer = vec![0; 65_536];
    let mut listening = true;
    loop {
        let Ok(()) = from.readable().await else { return };
        match from.try_read(&mut buffer) {
            Ok(0) => return,
            Ok(length) => {
                answered.fetch_add(1, Ordering::SeqCst);
                // Whoever asked may have hung up long ago; the server's answers are read all the same.
                listening = listening && send(&to, &buffer[..length]).await;
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

async fn send(to: &OwnedWriteHalf, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        if to.writable().await.is_err() {
            return false;
        }
        match to.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return false,
        }
    }
    true
}
