//! The mail service over REST, as `api/mail-service.yaml` describes it.

use async_trait::async_trait;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

use super::{Delivery, Mail, Outcome};
use crate::{
    base::Unavailable,
    http::{Endpoint, client},
};

const DELIVERIES: [&str; 4] = ["api", "v1", "internal", "login-code-deliveries"];
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Hands codes to the mail service.
pub struct Client {
    http: client::Client,
}

impl Client {
    /// For the service at `endpoint`. Fails only where no HTTP client can be made at all.
    pub fn new(endpoint: &Endpoint) -> Result<Self, Unavailable> {
        Ok(Self { http: client::Client::new("mail", endpoint)? })
    }
}

#[derive(Serialize)]
struct Request<'a> {
    challenge_id: &'a str,
    email: &'a str,
    code: &'a str,
    expires_at: String,
}

#[derive(Deserialize)]
struct Response {
    outcome: Outcome,
}

#[async_trait]
impl Mail for Client {
    async fn deliver(&self, delivery: &Delivery) -> Result<Outcome, Unavailable> {
        let key = HeaderValue::try_from(&delivery.challenge_id)
            .map_err(|_| Unavailable::new("mail", "a challenge id that no header can hold"))?;
        let code = std::str::from_utf8(delivery.code.expose())
            .map_err(|_| Unavailable::new("mail", "a code that is not text"))?;
        let body = Request {
            challenge_id: &delivery.challenge_id,
            email: delivery.email.as_str(),
            code,
            expires_at: delivery.expires_at.to_string(),
        };
        let headers = HeaderMap::from_iter([(IDEMPOTENCY_KEY, key)]);
        Ok(self.http.post_with(&DELIVERIES, headers, &body).await?.read::<Response>()?.outcome)
    }
}
