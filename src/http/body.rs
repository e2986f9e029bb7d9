//! Request bodies: read whole, and small.

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use http_body_util::BodyExt;
use tokio::time::timeout;

use super::Problem;

/// The largest request body, in bytes.
const LIMIT: usize = 16 * 1024;

/// How much more is read and thrown away before `request_too_large` is answered. A client that is cut off while it
/// still writes sees a broken connection instead of the answer.
const SWALLOWED: usize = 1024 * 1024;

/// The whole of `body`, which arrives `within` this time or not at all.
pub(super) async fn read(body: Body, within: Duration) -> Result<Bytes, Problem> {
    // Most requests: no clock is needed.
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    timeout(within, collect(body)).await.unwrap_or_else(|_| Err(Problem::request_timeout()))
}

/// What the length header says does not matter, only what arrives: no memory is taken for a promise.
async fn collect(mut body: Body) -> Result<Bytes, Problem> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > LIMIT + SWALLOWED {
        return Err(Problem::request_too_large());
    }
    let mut bytes = Vec::new();
    let mut total = 0;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return Err(Problem::invalid_request("the request body could not be read"));
        };
        let Ok(data) = frame.into_data() else { continue };
        total += data.len();
        if total > LIMIT + SWALLOWED {
            break;
        }
        if total <= LIMIT {
            bytes.extend_from_slice(&data);
        }
    }
    if total > LIMIT { Err(Problem::request_too_large()) } else { Ok(bytes.into()) }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use futures_util::stream;

    use super::*;

    async fn read(body: Body) -> Result<Bytes, Problem> {
        super::read(body, Duration::from_mins(1)).await
    }

    fn chunked(chunks: Vec<usize>) -> Body {
        Body::from_stream(stream::iter(
            chunks.into_iter().map(|size| Ok::<_, std::io::Error>(vec![b'x'; size])),
        ))
    }

    #[tokio::test]
    async fn a_body_of_exactly_the_limit_is_read_and_one_byte_more_is_not() {
        assert_eq!(read(chunked(vec![LIMIT - 1, 1])).await.unwrap().len(), LIMIT);
        assert_eq!(read(Body::from(vec![0; LIMIT])).await.unwrap().len(), LIMIT);
        for body in [chunked(vec![LIMIT, 1]), Body::from(vec![0; LIMIT + 1]), chunked(vec![LIMIT; 1000])] {
            assert_eq!(read(body).await.unwrap_err().status(), StatusCode::PAYLOAD_TOO_LARGE);
        }
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_an_invalid_request() {
        let broken = stream::iter([Ok(vec![1]), Err(std::io::Error::other("gone"))]);
        assert_eq!(read(Body::from_stream(broken)).await.unwrap_err().status(), StatusCode::BAD_REQUEST);
    }
}
