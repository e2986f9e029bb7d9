//! Which cryptography TLS uses.

use std::sync::Once;

/// Makes ring the process's TLS provider. Whoever builds a TLS client or server calls it first.
pub fn use_ring() {
    static ONCE: Once = Once::new();
    // An error means that somebody installed a provider before, which then serves as well.
    ONCE.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
}
