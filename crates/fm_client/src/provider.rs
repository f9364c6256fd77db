//! The one place that chooses who does the cryptography of TLS.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

/// What every end of ours encrypts with: ring. Nothing relies on a default that some crate of the build may set.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
