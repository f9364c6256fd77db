//! Any bytes as a flash image: what it means is said or refused, in memory that the image's size bounds.

#![no_main]

use fm_formats::image::{Feature, ImageFacts, ResetVector, name_of, runs_from, version_string};
use fm_formats::volume::pe::PeFacts;
use fm_formats::volume::{Limits, NodeKind, SectionKind, Tree, depex};
use libfuzzer_sys::fuzz_target;

/// Metadata of four technologies, at most this many ranges each, and two blocks.
const MOST_RANGES: usize = 4 * 256 + 2;

fuzz_target!(|data: &[u8]| {
    // The table lies at the end, where a mutation of the whole rarely leaves it.
    if let Some(table) = ResetVector::parse(data) {
        assert!(table.entries.len() <= data.len() / 18);
        assert!(table.ranges.len() <= MOST_RANGES);
        let inside: usize = table.entries.iter().map(|entry| entry.data.len()).sum();
        assert!(inside <= data.len(), "entries overlap");
        table.entries.iter().for_each(|entry| {
            assert!(entry.offset < data.len());
            let _ = entry.name();
        });
    }
    let limits = Limits {
        depth: 32,
        nodes: 5_000,
        decoded_bytes: 1 << 20,
        walked_bytes: 16 << 20,
    };
    let tree = Tree::parse_within(data, limits);
    // Padding may follow that was never read.
    for len in [data.len() as u64, 0x37_c000, 64 << 20] {
        let Ok(facts) = ImageFacts::of(&tree, len) else {
            continue;
        };
        assert!(
            facts.features.windows(2).all(|pair| pair[0] < pair[1]),
            "each once, in order"
        );
        assert!(!(facts.has(Feature::Debug) && facts.has(Feature::Release)));
        assert!(!facts.has(Feature::Tdx) || facts.reset_vector.is_some());
    }
    let _ = version_string(&tree);
    for (id, node) in tree.nodes().iter().enumerate() {
        let _ = runs_from(&tree, id);
        let (body, offset) = (tree.body(node), node.start as u64);
        match node.kind {
            NodeKind::File(facts) => drop(name_of(facts.name)),
            NodeKind::Section(facts) => match facts.kind {
                SectionKind::Pe32 | SectionKind::Te => {
                    if let Ok(pe) = PeFacts::parse(body, offset) {
                        assert!(pe.debug_path.is_none_or(|path| path.len() <= body.len() * 3));
                    }
                }
                SectionKind::DxeDepex | SectionKind::PeiDepex | SectionKind::MmDepex => {
                    if let Ok(ops) = depex::parse(body, offset) {
                        assert!(ops.len() <= body.len());
                    }
                }
                _ => {}
            },
            _ => {}
        }
    }
});
