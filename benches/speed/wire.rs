//! HTTP/1.1 with as little as possible: ready-made bytes out, status and body in. What the load costs is taken from the
//! servers it measures, since they share the machine.

use std::{io, net::SocketAddr, ops::Range};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Where the two listeners of one process are; a reference has one for both.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Door {
    pub(crate) public: SocketAddr,
    pub(crate) internal: SocketAddr,
}

/// A connection that is kept.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// What a message's head says.
struct Head {
    /// Of a response.
    status: u16,
    /// Where the body lies.
    body: Range<usize>,
}

impl Connection {
    pub(crate) async fn open(addr: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        Ok(Self::over(stream))
    }

    pub(crate) fn over(stream: TcpStream) -> Self {
        Self { stream, buffer: Vec::with_capacity(8192) }
    }

    /// Sends `request`; the answer's status and body.
    pub(crate) async fn call(&mut self, request: &[u8]) -> io::Result<(u16, &[u8])> {
        self.write(request).await?;
        self.buffer.clear();
        loop {
            self.read().await?;
            if let Some(Head { status, body }) = response(&self.buffer)? {
                while self.buffer.len() < body.end {
                    self.read().await?;
                }
                return Ok((status, &self.buffer[body]));
            }
        }
    }

    /// The next request's body: for those who serve. `None` at the end.
    pub(crate) async fn next_request(&mut self) -> io::Result<Option<&[u8]>> {
        self.buffer.clear();
        loop {
            if let Err(error) = self.read().await {
                return if self.buffer.is_empty() { Ok(None) } else { Err(error) };
            }
            if let Some(Head { body, .. }) = request(&self.buffer)? {
                while self.buffer.len() < body.end {
                    self.read().await?;
                }
                return Ok(Some(&self.buffer[body]));
            }
        }
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    async fn read(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

/// The head of the response in `bytes`, once it is all there.
fn response(bytes: &[u8]) -> io::Result<Option<Head>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut parsed = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = parsed.parse(bytes).map_err(io::Error::other)? else {
        return Ok(None);
    };
    let status = parsed.code.unwrap_or_default();
    Ok(Some(Head { status, body: head..head + length(parsed.headers)? }))
}

/// The head of the request in `bytes`, once it is all there.
fn request(bytes: &[u8]) -> io::Result<Option<Head>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut parsed = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(head) = parsed.parse(bytes).map_err(io::Error::other)? else {
        return Ok(None);
    };
    Ok(Some(Head { status: 0, body: head..head + length(parsed.headers)? }))
}

fn length(headers: &[httparse::Header<'_>]) -> io::Result<usize> {
    let found = headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let text = found.and_then(|header| std::str::from_utf8(header.value).ok());
    text.and_then(|text| text.trim().parse().ok())
        .ok_or_else(|| io::Error::other("a message without a length"))
}
