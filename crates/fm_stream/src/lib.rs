//! QEMU migration streams: bytes in, facts and wanted pages out, nothing read twice and nothing kept.
//!
//! [`Parser`] is a push parser: it takes the stream in pieces of any size, keeps what it learned in
//! [`Facts`], and hands the pages of wanted blocks on as [`Event`]s. It only moves forward, so it works
//! on a pipe and on a live socket; pages that nobody asked for are stepped over ([`Parser::skippable_bytes`]
//! tells a seekable source how far). Its memory is bounded: the block table, one record (at most 64 KiB),
//! the page bitmaps of wanted mapped-ram
//! blocks, and the device sections (at most 24 MiB) until their description is there.
//!
//! Sources: QEMU `migration/savevm.c`, `migration/ram.c`, `migration/multifd.h`, `migration/xbzrle.c`;
//! libvirt `src/qemu/qemu_saveimage.h`; QEMU `docs/interop/qcow2.rst`.
//!
//! `no_std` + `alloc`: no I/O, clock, log or environment in here. Input is untrusted: nothing panics, nothing loops for ever.

#![no_std]
#![forbid(unsafe_code)]
#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation
)]
#![cfg_attr(
    test,
    allow(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::cast_possible_truncation
    )
)]

extern crate alloc;

mod block;
mod collect;
mod config;
mod description;
mod devices;
mod event;
mod facts;
mod field;
mod foreign;
mod mapped;
mod mapped_plan;
pub mod multifd;
mod parser;
mod progress;
pub mod qcow2;
mod record;
mod replace;
pub mod save_image;
mod section;
mod sparse;
mod uefi_vars;
mod xbzrle;

pub use block::BlockKind;
pub use collect::Collector;
pub use devices::Device;
pub use event::Event;
pub use facts::{Block, Facts, Note, Pages};
pub use parser::Parser;
pub use progress::MAGIC;
pub use replace::{Insert, Ready, Replacer};
pub use sparse::Sparse;
pub use uefi_vars::variables as uefi_variables;

#[cfg(test)]
mod tests;
