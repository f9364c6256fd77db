//! `saved offer`: a saved guest speaks for itself as a running one does, so that a host can prepare for it.

use fm_api::Schema;
use fm_api::v1::offer::{Offer, OfferedBlock, OfferedFirmware, OfferedFlash, OfferedGuest};
use fm_formats::image::ImageFacts;
use fm_formats::volume::Tree;
use fm_stream::BlockKind;

use crate::Result;
use crate::extract::whole;
use crate::stream::{self, Container, Gathered, Request};

/// The offer of a saved guest. The version of its QEMU is not in a stream, so that is `unknown`.
///
/// # Errors
/// If the input holds no stream, or not all of CODE and VARS.
pub fn offer(input: &Request) -> Result<Offer> {
    let gathered = stream::gather(input)?;
    let code = whole(&gathered, gathered.first_of(BlockKind::Code), "CODE flash")?;
    let vars = match gathered.first_of(BlockKind::Vars) {
        Some(index) => Some(whole(&gathered, Some(index), "VARS flash")?),
        None => None,
    };
    let domain = match &gathered.container {
        Container::SaveImage { xml, .. } => fm_libvirt::saved_domain(xml).ok(),
        _ => None,
    };
    let firmware = gathered.bytes(code).and_then(|bytes| firmware(&bytes));
    let code = flash(&gathered, code);
    let streamed = stream::document(&gathered);
    Ok(Offer {
        schema: Schema::default(),
        qemu_version: "unknown".into(),
        machine: streamed.machine,
        guest: OfferedGuest {
            name: domain.as_ref().map(|domain| domain.name.clone()),
            uuid: domain.and_then(|domain| domain.uuid).or(streamed.uuid),
            pid: None,
        },
        blocks_complete: !streamed.blocks.is_empty(),
        blocks: streamed
            .blocks
            .into_iter()
            .map(|block| OfferedBlock {
                name: block.name,
                size_bytes: block.size_bytes,
                sha256: block.sha256,
            })
            .collect(),
        build: code.sha256.clone(),
        code,
        vars: vars.map(|index| flash(&gathered, index)),
        firmware,
        pending_reset: None,
        saved: true,
    })
}

fn firmware(code: &[u8]) -> Option<OfferedFirmware> {
    let facts = ImageFacts::of(&Tree::parse(code), code.len() as u64).ok()?;
    Some(OfferedFirmware {
        arch: facts.arch.map(|arch| arch.name().into()),
        cpu_mode: facts.cpu_mode.map(|mode| mode.name().into()),
        layout: facts.layout.map(|layout| layout.name().into()),
        features: facts
            .features
            .iter()
            .map(|feature| feature.name().into())
            .collect(),
    })
}

fn flash(gathered: &Gathered, index: usize) -> OfferedFlash {
    OfferedFlash {
        path: None,
        size_bytes: gathered
            .facts
            .blocks
            .get(index)
            .map_or(0, |block| block.size_bytes),
        sha256: gathered
            .sha256(index)
            .map(|digest| digest.to_string())
            .unwrap_or_default(),
        format: None,
        node: None,
    }
}
