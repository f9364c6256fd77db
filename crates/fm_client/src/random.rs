//! Random names and secrets.

use crate::provider::provider;
use crate::{Error, Result};

/// So many random bytes in hexadecimal.
///
/// # Errors
/// If the system has none.
pub fn random_hex(len_bytes: usize) -> Result<String> {
    let mut bytes = vec![0_u8; len_bytes];
    provider()
        .secure_random
        .fill(&mut bytes)
        .map_err(|_| Error::NoRandom)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
