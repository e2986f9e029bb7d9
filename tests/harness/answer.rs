//! One answer of the service. Whatever a test asks, every answer is held against the rules that all answers obey: a
//! request id, the one error shape, and `api/*.yaml`.

use reqwest::{Client, Request, RequestBuilder, header::HeaderMap};
use serde_json::Value;

use super::contract;

/// Which of the two listeners was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Listener {
    Public,
    Internal,
}

/// The way to one running service.
pub struct Wire {
    pub client: Client,
    pub public: String,
    pub internal: String,
}

impl Wire {
    /// To listeners at these addresses.
    pub fn to(public: &str, internal: &str) -> Self {
        // The service under test installs the same one; whoever comes second is told so, which is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().no_proxy().build().expect("a client");
        Self { client, public: format!("http://{public}"), internal: format!("http://{internal}") }
    }

    /// A request that is yet to be sent.
    pub fn request(&self, listener: Listener, method: &str, path: &str) -> RequestBuilder {
        let base = match listener {
            Listener::Public => &self.public,
            Listener::Internal => &self.internal,
        };
        self.client.request(method.parse().expect("a method"), format!("{base}{path}"))
    }

    /// Sends a request.
    pub async fn call(&self, listener: Listener, request: RequestBuilder) -> Answer {
        Answer::to(&self.client, listener, request.build().expect("a request")).await
    }

    /// Reads.
    pub async fn get(&self, listener: Listener, path: &str) -> Answer {
        self.call(listener, self.request(listener, "GET", path)).await
    }

    /// Posts JSON.
    pub async fn post(&self, listener: Listener, path: &str, body: &Value) -> Answer {
        self.call(listener, self.request(listener, "POST", path).json(body)).await
    }

    /// Posts `body` as it is, called JSON.
    pub async fn post_text(&self, listener: Listener, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        let request = self.request(listener, "POST", path).header("content-type", "application/json");
        self.call(listener, request.body(body)).await
    }
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    /// Sends `request` and checks what every answer must keep.
    pub async fn to(client: &Client, listener: Listener, request: Request) -> Self {
        let (method, path) = (request.method().to_string(), request.url().path().to_owned());
        let response = client.execute(request).await.expect("the service answers");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.expect("a whole body of UTF-8");
        let answer = Self { status, headers, text };
        answer.keeps_the_rules();
        contract::check(listener, &method, &path, &answer);
        answer
    }

    /// The body, which is JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {:?}", self.text))
    }

    /// The body of a success.
    #[track_caller]
    pub fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text);
        self.json()
    }

    /// Fails unless this is exactly that refusal.
    #[track_caller]
    pub fn refused(&self, status: u16, code: &str) {
        assert_eq!((self.status, self.code()), (status, code.to_owned()), "{}", self.text);
    }

    /// Fails unless this is a 503 that says when to come again.
    #[track_caller]
    pub fn unavailable(&self) {
        self.refused(503, "service_unavailable");
        assert_eq!(self.retry_after(), Some(1));
    }

    /// The error's code; empty for a success.
    pub fn code(&self) -> String {
        if self.status < 400 {
            return String::new();
        }
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    /// The header called `name`.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// `Retry-After`, in seconds.
    pub fn retry_after(&self) -> Option<u64> {
        self.header("retry-after").map(|seconds| seconds.parse().expect("whole seconds"))
    }

    #[track_caller]
    fn keeps_the_rules(&self) {
        let id = self.header("x-request-id").expect("a request id on every answer");
        assert!((1..=128).contains(&id.len()), "{id:?}");
        if self.status < 400 {
            return;
        }
        assert_eq!(self.header("content-type"), Some("application/json"), "{}", self.text);
        let body = self.json();
        let outer = body.as_object().expect("an object");
        let inner = outer.get("error").and_then(Value::as_object).expect("an error");
        assert_eq!((outer.len(), inner.len()), (1, 2), "{body}");
        for field in ["code", "message"] {
            assert!(inner[field].as_str().is_some_and(|text| !text.is_empty()), "{body}");
        }
        if self.status == 503 {
            assert_eq!(self.retry_after(), Some(1), "{body}");
        }
    }
}
