//! A long JSON list, sent while it is made: never in memory whole. Where it cannot go on, the connection is broken off,
//! so that nobody takes a part for the whole.

use std::error::Error;

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, header::CONTENT_TYPE},
    response::Response,
};
use futures_util::{
    StreamExt,
    future::ready,
    stream::{Stream, iter, once},
};
use serde::Serialize;
use tracing::warn;

/// Why a list broke off.
type Broken = Box<dyn Error + Send + Sync>;

/// Some elements of a list, in JSON.
pub struct JsonElements(Vec<u8>);

impl JsonElements {
    /// These, of which there is at least one.
    pub fn of<T: Serialize>(elements: impl IntoIterator<Item = T>) -> Result<Self, Broken> {
        let mut json = Vec::new();
        for element in elements {
            if !json.is_empty() {
                json.push(b',');
            }
            serde_json::to_writer(&mut json, &element)?;
        }
        Ok(Self(json))
    }
}

/// `{"field":[…]}`, with the elements as `pages` bring them.
pub fn json_list(
    field: &'static str,
    pages: impl Stream<Item = Result<JsonElements, Broken>> + Send + 'static,
) -> Response {
    let head = Bytes::from(format!("{{\"{field}\":["));
    let pages = pages.enumerate().flat_map(|(at, page)| {
        let comma = (at > 0).then(|| Ok(Bytes::from_static(b",")));
        let page = page.map(|JsonElements(json)| Bytes::from(json)).inspect_err(|error| {
            warn!(cause = %error, "a list was broken off");
        });
        iter(comma.into_iter().chain([page]))
    });
    let tail = once(ready(Ok(Bytes::from_static(b"]}"))));
    let mut response = Response::new(Body::from_stream(once(ready(Ok(head))).chain(pages).chain(tail)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    async fn text(pages: Vec<Result<JsonElements, Broken>>) -> Option<String> {
        let body = json_list("numbers", iter(pages)).into_body();
        to_bytes(body, 1000).await.ok().map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn pages_make_one_list() {
        let pages = vec![JsonElements::of([1]), JsonElements::of([2, 3]), JsonElements::of([4])];
        assert_eq!(text(pages).await.unwrap(), r#"{"numbers":[1,2,3,4]}"#);
        assert_eq!(text(vec![]).await.unwrap(), r#"{"numbers":[]}"#);
    }

    #[tokio::test]
    async fn a_list_that_breaks_off_is_no_list() {
        assert_eq!(text(vec![JsonElements::of([1]), Err("gone".into())]).await, None);
    }
}
