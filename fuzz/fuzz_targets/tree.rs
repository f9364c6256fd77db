//! Any bytes as a flash image: a tree, however partial, within its limits.

#![no_main]

use fm_formats::volume::{Limits, Tree};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let limits = Limits {
        depth: 32,
        nodes: 5_000,
        decoded_bytes: 4 << 20,
        walked_bytes: 64 << 20,
    };
    let tree = Tree::parse_within(data, limits);
    assert!(tree.nodes().len() <= limits.nodes);
    let mut decoded = 0;
    for buffer in 1.. {
        let bytes = tree.buffer(buffer);
        if tree.origin(buffer).is_none() {
            break;
        }
        decoded += bytes.len();
    }
    assert!(decoded <= limits.decoded_bytes, "{decoded} bytes decoded");
    for (id, node) in tree.nodes().iter().enumerate() {
        assert!(
            node.parent.is_none_or(|parent| parent < id),
            "a node comes before its content"
        );
        assert!(node.end > id && node.end <= tree.nodes().len());
        assert_eq!(
            tree.bytes(node).len(),
            node.len_bytes,
            "a node lies in its buffer"
        );
        assert!(node.header_len_bytes <= node.len_bytes);
        let _ = (
            tree.offset_in_image(id),
            tree.ui_name(id),
            tree.content(node).len(),
        );
    }
});
