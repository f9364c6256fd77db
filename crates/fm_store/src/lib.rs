//! Firmware builds by digest in an OCI image layout, and landings.
