//! Whether a running build verifies what it boots: keys in the variables alone protect nothing.

use std::sync::{Mutex, PoisonError};

use fm_formats::Sha256;
use fm_formats::image::{Feature, ImageFacts};
use fm_formats::volume::Tree;
use fm_host::{Guest, GuestMemory};

/// What is behind this in flash is padding: edk2's images for `virt` end below 4 MiB of their 64 MiB.
const PREFIX_BYTES: u64 = 8 << 20;

/// What builds can do, by digest: each is taken apart once in a run, and only for guests that have keys.
#[derive(Debug, Default)]
pub(super) struct Builds(Mutex<Vec<(Sha256, Option<bool>)>>);

impl Builds {
    /// Whether the build `digest`, which `guest` runs, verifies what it boots; nothing if it cannot be told.
    pub(super) fn verify(&self, digest: &Sha256, guest: &Guest, memory: &GuestMemory) -> Option<bool> {
        // held while looking: a second thread that wants the same build waits for it
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, known)) = seen.iter().find(|(known, _)| known == digest) {
            return *known;
        }
        let answer = look(guest, memory);
        seen.push((*digest, answer));
        answer
    }
}

fn look(guest: &Guest, memory: &GuestMemory) -> Option<bool> {
    let region = guest.flash_region(memory, 0).ok()?;
    let bytes = guest.read_region(memory, 0, region, PREFIX_BYTES).ok()?;
    let facts = ImageFacts::of(&Tree::parse(&bytes), region.len_bytes).ok()?;
    Some(facts.has(Feature::SecureBoot))
}
