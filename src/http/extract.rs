//! Extractors whose rejections have our error shape, and say nothing of what the caller sent.

use std::{fmt, marker::PhantomData};

use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, FromRequestParts, RawPathParams, Request},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE},
        request::Parts,
    },
    response::{IntoResponse, Response},
};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::Problem;

/// A JSON body: in, an object with exactly the fields of `T`; out, `application/json`.
pub struct Json<T>(pub T);

impl<S: Send + Sync, T: for<'de> Deserialize<'de>> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if let Some(message) = not_json(request.headers()) {
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message));
        }
        // The edge has read the body already, under its limit; without the edge, axum's own limit holds.
        let Ok(bytes) = Bytes::from_request(request, state).await else {
            return Err(Problem::invalid_request("the request body could not be read"));
        };
        serde_json::from_slice::<Object<T>>(&bytes)
            .map(|Object(body)| Self(body))
            .map_err(|error| Problem::invalid_request(describe(&error)))
    }
}

/// As many bytes hold most answers.
const USUAL: usize = 512;

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        let mut bytes = Vec::with_capacity(USUAL);
        match serde_json::to_writer(&mut bytes, &self.0) {
            Ok(()) => {
                let length = bytes.len();
                let mut response = Response::new(Body::from(bytes));
                let headers = response.headers_mut();
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
                response
            }
            // Our answers are plain structs, so this is a fault of ours; `Problem` itself always serialises.
            Err(error) => Problem::internal(&error).into_response(),
        }
    }
}

/// A value that must be written as a JSON object. (Derived `Deserialize` would also take an array of the fields.)
#[derive(Debug)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

/// For a field that may be left out but, where it is there, has a value: `null` is none.
pub fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// The one parameter of the path, percent-decoded; it may be empty.
pub struct Path(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Path {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        // One that is empty has a route of its own, which has no parameter.
        RawPathParams::from_request_parts(parts, state)
            .await
            .map(|parameters| {
                Self(parameters.iter().next().map_or_else(String::new, |(_, value)| value.to_owned()))
            })
            .map_err(|_| Problem::invalid_request("the path is not valid UTF-8"))
    }
}

/// Why a body under these headers is not JSON as it stands there. What says two things about itself may be read in two
/// ways, here and by whoever checked it on the way; so it is refused, as is what would have to be decoded first.
fn not_json(headers: &HeaderMap) -> Option<&'static str> {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(only), None) = (types.next(), types.next()) else {
        return Some("one content-type must be there, and be application/json");
    };
    if !only.to_str().is_ok_and(is_json) {
        return Some("content-type must be application/json, in UTF-8");
    }
    let plain = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"identity");
    let coded = !headers.get_all(CONTENT_ENCODING).iter().all(plain);
    coded.then_some("the request body must not be compressed or encoded")
}

/// Parameters mean nothing to JSON (RFC 8259 section 11), but for a charset that says that it is none.
fn is_json(media_type: &str) -> bool {
    let mut parts = media_type.split(';').map(str::trim);
    let named = parts.next().is_some_and(|essence| essence.eq_ignore_ascii_case("application/json"));
    let harmless = |parameter: &str| {
        let Some((name, value)) = parameter.split_once('=') else { return parameter.is_empty() };
        let value = value.trim().trim_matches('"');
        !name.trim().eq_ignore_ascii_case("charset") || value.eq_ignore_ascii_case("utf-8")
    };
    named && parts.all(harmless)
}

/// What was wrong, in words that repeat nothing the caller sent: serde's own may quote values and field names.
fn describe(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let ours = ["missing field `", "duplicate field `"].iter().find(|start| text.starts_with(**start));
    if let Some(name) =
        ours.and_then(|start| text.strip_prefix(start)).and_then(|rest| rest.split('`').next())
    {
        let what = if text.starts_with("missing") { "is missing" } else { "is there twice" };
        return format!("field {name} {what}");
    }
    let what = if text.starts_with("unknown field") {
        "unknown field"
    } else if error.is_data() {
        "wrong type or value"
    } else {
        "malformed JSON"
    };
    format!("{what} at line {} column {}", error.line(), error.column())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize, Debug)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only the parsing is looked at")]
    struct Inner {
        kind: String,
    }

    #[derive(Deserialize, Debug)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only the parsing is looked at")]
    struct Outer {
        email: String,
        inner: Object<Inner>,
    }

    #[test]
    fn only_what_is_json_and_says_nothing_else_is_read() {
        let says = |headers: &[(&'static str, &str)]| {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(*name, HeaderValue::from_str(value).unwrap());
            }
            not_json(&map)
        };
        for good in [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            "application/json;charset=\"UTF-8\"",
            "application/json ; v=1;",
        ] {
            assert_eq!(says(&[("content-type", good)]), None, "{good}");
        }
        for bad in [
            "",
            "text/plain",
            "application/jsonx",
            "text/plain;application/json",
            "application/json; charset=utf-16",
            "application/json; CHARSET=latin1",
            "application/json; charset=utf-8; charset=utf-16",
            "application/json; charset",
            "application/json, text/plain",
            "application/json\u{e4}",
        ] {
            assert!(says(&[("content-type", bad)]).is_some(), "{bad}");
        }
        let json = ("content-type", "application/json");
        assert!(says(&[]).is_some() && says(&[json, json]).is_some());
        assert_eq!(says(&[json, ("content-encoding", "identity")]), None);
        for coding in ["gzip", "identity, gzip", "br", ""] {
            assert!(says(&[json, ("content-encoding", coding)]).is_some(), "{coding}");
        }
        assert!(says(&[json, ("content-encoding", "identity"), ("content-encoding", "gzip")]).is_some());
    }

    #[test]
    fn what_was_wrong_is_said_without_repeating_the_input() {
        for (body, says) in [
            (r#"{"inner":{"kind":"x"}}"#, "field email is missing"),
            (r#"{"email":"a","email":"b","inner":{"kind":"x"}}"#, "field email is there twice"),
            (r#"{"email":"a","pw-hunter2":1,"inner":{"kind":"x"}}"#, "unknown field at line 1 column 25"),
            (r#"{"email":["hunter2"],"inner":{"kind":"x"}}"#, "wrong type or value at line 1 column 9"),
            (r#"{"email":"a","inner":["x"]}"#, "wrong type or value at line 1 column 21"),
            (r#"["a",{"kind":"x"}]"#, "wrong type or value at line 1 column 0"),
            (r#"{"email":"a","inner":{"kind":"x"}"#, "malformed JSON at line 1 column 33"),
            (r#"{"email":"a","inner":{"kind":"x"}} x"#, "malformed JSON at line 1 column 36"),
            ("", "malformed JSON at line 1 column 0"),
        ] {
            let error = serde_json::from_str::<Object<Outer>>(body).unwrap_err();
            assert_eq!(describe(&error), says, "{body}");
        }
    }
}
