//! Domain XML edited format-preserving, and the hook protocol.
