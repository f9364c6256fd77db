//! What a build is called where it travels as an OCI artifact: in a store, in an image layout, in a registry, and from
//! the fleet's server.
//!
//! Source: OCI image-spec v1.1, `media-types.md`, `annotations.md`; the types of a build are Flashmoor's own.

/// Media type of a manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Media type of an index.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Media type of a config that says nothing.
pub const EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// The config of a manifest whose facts are all in its annotations.
pub const EMPTY_CONFIG: &[u8] = b"{}";
/// The content of a layout's `oci-layout` file.
pub const LAYOUT: &[u8] = b"{\"imageLayoutVersion\":\"1.0.0\"}";

/// Artifact type of a build.
pub const BUILD: &str = "application/vnd.flashmoor.build.v1";
/// Media type of its CODE.
pub const CODE: &str = "application/vnd.flashmoor.code.v1";
/// Media type of its template of a variable store.
pub const VARS_TEMPLATE: &str = "application/vnd.flashmoor.vars-template.v1";
/// Media type of its firmware descriptor.
pub const DESCRIPTOR: &str = "application/vnd.flashmoor.descriptor.v1+json";

/// Annotation: the tag, in an index.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// Annotation: what people call a build, or the name of one of its files.
pub const TITLE: &str = "org.opencontainers.image.title";
/// Annotation: its version.
pub const VERSION: &str = "org.opencontainers.image.version";
/// Annotation: where it comes from.
pub const SOURCE: &str = "org.opencontainers.image.source";
/// Annotation: when it was stored.
pub const CREATED: &str = "org.opencontainers.image.created";
