//! Images that are nested or bombed: read within the limits, the limit named, and bounded work and memory.

mod built;

use built::{file, guided, large_file, lzma, section, volume};
use fm_fixtures::Kind;
use fm_formats::Error;
use fm_formats::volume::{Encoding, Limits, NodeKind, Tree};

#[test]
fn sections_nested_16_deep_in_lzma_are_all_read() {
    let mut content = section(0x19, b"the innermost bytes");
    for _ in 0..16 {
        content = guided(Encoding::LZMA, &lzma(&content));
    }
    let image = volume(&file(0x02, &content));
    let tree = Tree::parse(&image);
    assert_eq!(tree.damages(), []);
    let innermost = tree
        .nodes()
        .iter()
        .find(|node| tree.body(node) == b"the innermost bytes")
        .unwrap();
    assert_eq!(innermost.depth, 2 + 16);
    assert_eq!(innermost.buffer, 16);
}

#[test]
fn volumes_nested_beyond_the_limit_end_with_the_limit_named() {
    let mut content = section(0x19, b"too deep to see");
    for _ in 0..100 {
        content = section(0x17, &volume(&file(0x0b, &content)));
    }
    let tree = Tree::parse(&content);
    let limit = tree
        .damages()
        .iter()
        .find(|damage| matches!(damage.error, Error::Limit { .. }));
    assert!(limit.is_some(), "{:?}", tree.damages());
    assert!(tree.nodes().iter().all(|node| node.depth < 160));
}

#[test]
fn digests_of_volumes_in_volumes_count_as_work() {
    let mut content = section(0x19, &[0x5a; 1 << 20]);
    for _ in 0..20 {
        content = section(0x17, &volume(&file(0x0b, &content)));
    }
    let limits = Limits {
        walked_bytes: 8 << 20,
        ..Limits::for_image(content.len())
    };
    let tree = Tree::parse_within(&content, limits);
    let volumes = tree
        .nodes()
        .iter()
        .filter(|node| matches!(node.kind, NodeKind::Volume(_)));
    let summed: usize = volumes.map(|node| node.len_bytes).sum();
    // The one that passes the limit is still shown.
    assert!(summed <= (8 << 20) + content.len(), "{summed}");
    let limit = tree.damages().iter().find(|damage| {
        matches!(
            damage.error,
            Error::Limit {
                what: "work in bytes walked",
                ..
            }
        )
    });
    assert!(limit.is_some(), "{:?}", tree.damages());
}

#[test]
fn a_decompression_bomb_is_refused_within_the_limit() {
    // 40 MiB out of a few kilobytes.
    let bomb = guided(Encoding::LZMA, &lzma(&vec![0; 40 << 20]));
    let image = volume(&file(0x02, &bomb));
    assert!(image.len() < 64 << 10);
    let tree = Tree::parse(&image);
    assert!(matches!(
        tree.damages()[0].error,
        Error::Limit {
            what: "decoded size in bytes",
            ..
        }
    ));

    // Many that are each small enough share one limit.
    let one = guided(Encoding::LZMA, &lzma(&vec![0; 6 << 20]));
    let tree_of_many = volume(&file(0x02, &one.repeat(8)));
    let limits = Limits {
        decoded_bytes: 16 << 20,
        ..Limits::for_image(tree_of_many.len())
    };
    let tree = Tree::parse_within(&tree_of_many, limits);
    let decoded: usize = (1..9).map(|buffer| tree.buffer(buffer).len()).sum();
    assert_eq!(decoded, 12 << 20);
    let refused = tree
        .damages()
        .iter()
        .filter(|damage| matches!(damage.error, Error::Limit { .. }));
    assert_eq!(refused.count(), 6);
}

#[test]
fn what_fails_late_in_decoding_counts_as_work_like_what_does_not() {
    let mut late = lzma(&vec![0; 8 << 20]);
    let declared = (8u64 << 20) + 1;
    late[5..13].copy_from_slice(&declared.to_le_bytes());
    let image = volume(&file(0x02, &guided(Encoding::LZMA, &late).repeat(20)));
    let limits = Limits {
        walked_bytes: 24 << 20,
        ..Limits::for_image(image.len())
    };
    let tree = Tree::parse_within(&image, limits);
    let of = |wanted: fn(&Error) -> bool| {
        let damages = tree.damages().iter();
        damages.filter(|damage| wanted(&damage.error)).count()
    };
    assert_eq!(
        of(|error| matches!(error, Error::Decode { .. })),
        3,
        "{:?}",
        tree.damages()
    );
    assert_eq!(
        of(|error| matches!(
            error,
            Error::Limit {
                what: "work in bytes walked",
                ..
            }
        )),
        1
    );
}

#[test]
fn millions_of_tiny_sections_end_with_the_limit_named() {
    let tiny = section(0x19, &[]).repeat(1 << 20);
    let image = volume(&large_file(&tiny));
    let tree = Tree::parse_within(&image, Limits::for_image(tiny.len()));
    assert_eq!(tree.nodes().len(), 100_000);
    assert!(matches!(
        tree.damages()[0].error,
        Error::Limit { limit: 100_000, .. }
    ));
}

#[test]
fn signatures_with_long_headers_cost_no_more_than_they_are_long() {
    // At every twelfth byte a header of 65,534 bytes: summing each takes a minute and more.
    let mut bait = b"_FVH\0\0\0\0\xfe\xff\0\0".repeat((4 << 20) / 12);
    let image = volume(&file(0x02, &guided(Encoding::LZMA, &lzma(&section(0x19, &bait)))));
    assert!(image.len() < 4096, "{}", image.len());
    assert_eq!(Tree::parse(&image).damages(), []);
    assert_eq!(Tree::parse(&bait).nodes().len(), 1);
    // Headers of a possible length are summed until the limit of work is reached.
    for header in bait.chunks_mut(12) {
        header[8..].copy_from_slice(&[0x00, 0x10, 0, 0]);
    }
    let limits = Limits {
        walked_bytes: 32 << 20,
        ..Limits::for_image(bait.len())
    };
    let tree = Tree::parse_within(&bait, limits);
    assert!(
        matches!(tree.damages(), [damage] if matches!(damage.error, Error::Limit { limit: 0x200_0000, .. })),
        "{:?}",
        tree.damages()
    );
}

#[test]
fn real_images_need_an_eighth_of_the_limits_at_most() {
    for fixture in fm_fixtures::of_kind(Kind::Code).chain(fm_fixtures::of_kind(Kind::Combined)) {
        let image = fixture.bytes();
        let most = Limits::for_image(image.len());
        let limits = Limits {
            nodes: most.nodes / 8,
            walked_bytes: most.walked_bytes / 8,
            ..most
        };
        let tree = Tree::parse_within(&image, limits);
        let limit = tree
            .damages()
            .iter()
            .find(|damage| matches!(damage.error, Error::Limit { .. }));
        assert!(limit.is_none(), "{}: {limit:?}", fixture.name);
    }
}
