//! A wire to a Redis that understands what is said over it: it can rewrite commands, hold some of them back until they
//! are let go (they arrive then even when the sender has given up), cut all connections, or lead to another server.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex},
    thread,
    time::Duration,
};

/// How often to look whether what is held back was let go.
const GLANCE: Duration = Duration::from_millis(5);

/// A command's words, as bytes.
pub type Command = Vec<Vec<u8>>;

/// What becomes of each command.
pub type Rewrite = fn(Command) -> Command;

/// Leaves every command as it is.
pub fn faithful(command: Command) -> Command {
    command
}

/// A running proxy. Its threads end with the connections that they serve.
pub struct Meddler {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    rewrite: Rewrite,
    state: Mutex<State>,
    let_go: Condvar,
}

#[derive(Default)]
struct State {
    target: String,
    /// Which commands are held back.
    held: Option<fn(&Command) -> bool>,
    waiting: Vec<Command>,
    connections: Vec<[TcpStream; 2]>,
}

impl Meddler {
    /// To the server at `target`.
    pub fn to(target: String, rewrite: Rewrite) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Mutex::new(State { target, ..State::default() });
        let shared = Arc::new(Shared { rewrite, state, let_go: Condvar::new() });
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                serving.serve(client);
            }
        });
        Self { port, shared }
    }

    /// `127.0.0.1:port`.
    pub fn addr(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Holds back commands like these from now on, and whatever comes after one on its connection.
    pub fn hold(&self, which: fn(&Command) -> bool) {
        self.shared.state.lock().unwrap().held = Some(which);
    }

    /// What is being held back.
    pub fn held(&self) -> Vec<Command> {
        self.shared.state.lock().unwrap().waiting.clone()
    }

    /// Lets it all go.
    pub fn release(&self) {
        let mut state = self.shared.state.lock().unwrap();
        (state.held, state.waiting) = (None, Vec::new());
        drop(state);
        self.shared.let_go.notify_all();
    }

    /// Cuts every connection.
    pub fn cut(&self) {
        for side in self.shared.state.lock().unwrap().connections.drain(..).flatten() {
            let _ = side.shutdown(Shutdown::Both);
        }
    }

    /// Leads to another server from now on.
    pub fn lead_to(&self, target: String) {
        self.shared.state.lock().unwrap().target = target;
        self.cut();
    }
}

impl Shared {
    fn serve(self: &Arc<Self>, client: TcpStream) {
        let mut state = self.state.lock().unwrap();
        let Ok(server) = TcpStream::connect(&state.target) else { return };
        for side in [&client, &server] {
            side.set_nodelay(true).unwrap();
        }
        let (from_client, from_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        let (to_client, to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        state.connections.push([client, server]);
        let shared = Arc::clone(self);
        thread::spawn(move || shared.forward(from_client, to_server));
        thread::spawn(move || back(from_server, to_client));
    }

    fn forward(&self, mut from: TcpStream, mut to: TcpStream) {
        let (mut unread, mut buffer, mut late) = (Vec::new(), vec![0; 65_536], Vec::new());
        loop {
            // While something is held back, somebody may let it go at any time.
            from.set_read_timeout((!late.is_empty()).then_some(GLANCE)).unwrap();
            let length = match from.read(&mut buffer) {
                Ok(length) => length,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    usize::MAX
                }
                Err(_) => 0,
            };
            unread.extend_from_slice(buffer.get(..length).unwrap_or_default());
            let mut at = 0;
            while let Some((command, end)) = parse(&unread, at) {
                at = end;
                late.push((self.rewrite)(command));
            }
            unread.drain(..at);
            if length == 0 {
                self.until_let_go(&late);
            }
            if !self.pass_on(&mut late, &mut to) || length == 0 {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    }

    /// Sends `late` on, up to the first command that is held back; whether there is still somebody to send to.
    fn pass_on(&self, late: &mut Vec<Command>, to: &mut TcpStream) -> bool {
        let mut state = self.state.lock().unwrap();
        let held = |command: &Command| state.held.is_some_and(|held| held(command));
        let free = late.iter().position(held).unwrap_or(late.len());
        let out: Vec<u8> = late.drain(..free).flat_map(|command| encode(&command)).collect();
        for command in late.iter() {
            if !state.waiting.contains(command) {
                state.waiting.push(command.clone());
            }
        }
        drop(state);
        to.write_all(&out).is_ok()
    }

    /// Whoever sent it has hung up; it arrives all the same.
    fn until_let_go(&self, late: &[Command]) {
        let held = |state: &mut State| state.held.is_some_and(|held| late.iter().any(held));
        drop(self.let_go.wait_while(self.state.lock().unwrap(), held).unwrap());
    }
}

fn back(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = vec![0; 65_536];
    let mut listening = true;
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        // Whoever asked may have hung up long ago; the server's answers are read all the same.
        listening = listening && to.write_all(&buffer[..length]).is_ok();
    }
    let _ = to.shutdown(Shutdown::Both);
}

/// The command that begins at `at`, and where it ends, once it is there as a whole.
fn parse(bytes: &[u8], at: usize) -> Option<(Command, usize)> {
    let (count, mut at) = number(bytes, at, b'*')?;
    let mut words = Vec::with_capacity(count);
    for _ in 0..count {
        let (length, start) = number(bytes, at, b'$')?;
        words.push(bytes.get(start..start + length)?.to_vec());
        at = start + length + 2;
        bytes.get(at - 1)?;
    }
    Some((words, at))
}

fn number(bytes: &[u8], at: usize, kind: u8) -> Option<(usize, usize)> {
    let rest = bytes.get(at..)?;
    let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
    assert_eq!(rest[0], kind, "clients of Redis speak in arrays of strings");
    let number = std::str::from_utf8(&rest[1..end]).unwrap().parse().unwrap();
    Some((number, at + end + 2))
}

fn encode(command: &Command) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", command.len()).into_bytes();
    for word in command {
        bytes.extend(format!("${}\r\n", word.len()).bytes());
        bytes.extend(word);
        bytes.extend(b"\r\n");
    }
    bytes
}
