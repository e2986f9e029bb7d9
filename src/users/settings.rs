//! Which user service, and where.

use crate::{
    base::settings::Reader,
    http::{Endpoint, EndpointVariables},
};

/// Which client is used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Settings {
    /// The directory in our own store.
    Stub,
    /// A REST service.
    Rest(Endpoint),
}

impl Settings {
    /// Reads `AUTHSESSION_USER_SERVICE_*`.
    pub fn read(reader: &mut Reader) -> Self {
        let variables = EndpointVariables {
            mode: "AUTHSESSION_USER_SERVICE_MODE",
            base_url: "AUTHSESSION_USER_SERVICE_BASE_URL",
            request_timeout: "AUTHSESSION_USER_SERVICE_REQUEST_TIMEOUT",
        };
        Endpoint::read(reader, variables).map_or(Self::Stub, Self::Rest)
    }
}
