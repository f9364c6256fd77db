//! Images that are cut, flipped or lying about sizes: a partial tree with the damage named, and never a panic.

mod built;

use built::{file, guided, lzma, section, volume};
use fm_fixtures::bytes;
use fm_formats::Error;
use fm_formats::volume::decode::decode;
use fm_formats::volume::{Encoding, Limits, NodeKind, SectionKind, Tree};
use proptest::prelude::*;

/// The decoded content of a real image: PEIFV and DXEFV, without the time to decode them again and again.
fn decoded_volumes() -> Vec<u8> {
    let image = bytes("bookworm/OVMF_CODE_4M.fd");
    let tree = Tree::parse(&image);
    assert_eq!(tree.damages(), []);
    tree.buffer(1).to_vec()
}

#[test]
fn no_real_image_is_found_damaged() {
    for kind in [fm_fixtures::Kind::Code, fm_fixtures::Kind::Combined] {
        for fixture in fm_fixtures::of_kind(kind) {
            let image = fixture.bytes();
            assert_eq!(Tree::parse(&image).damages(), [], "{}", fixture.name);
        }
    }
}

#[test]
fn an_image_cut_at_every_4_kib_says_so_and_shows_the_rest() {
    let image = bytes("bookworm/OVMF_CODE_4M.fd");
    let whole = Tree::parse(&image);
    let last_volume = 0x37_c000 - 0x3_4000;
    let compressed = whole
        .nodes()
        .iter()
        .find(|node| matches!(node.kind, NodeKind::Section(facts) if facts.kind == SectionKind::GuidDefined))
        .unwrap();
    let decodable_from = compressed.start + compressed.len_bytes;
    for len in (0..image.len()).step_by(4096) {
        // Behind its end the compressed section is the same bytes at every cut; decoding them at some is enough.
        let decoded = len < decodable_from || len % (96 * 4096) == 0;
        let limits = Limits::for_image(len);
        let tree = Tree::parse_within(
            &image[..len],
            Limits {
                decoded_bytes: if decoded { limits.decoded_bytes } else { 0 },
                ..limits
            },
        );
        if len == 0 {
            assert!(tree.nodes().is_empty());
        } else if len != last_volume {
            let cut = tree.damages().iter().find(|damage| {
                matches!(damage.error, Error::Truncated { field: "firmware volume", available_bytes, offset, .. }
                    if offset + available_bytes == len as u64)
            });
            assert!(cut.is_some(), "{len:#x}: {:?}", tree.damages());
        }
        if len >= decodable_from {
            let shown = tree
                .nodes()
                .iter()
                .any(|node| node.start == compressed.start && node.buffer == 0);
            assert!(shown, "{len:#x}: the section that is whole is lost");
        }
        if decoded && len >= decodable_from {
            assert!(
                tree.buffer(1) == whole.buffer(1),
                "{len:#x}: what is decoded is lost"
            );
        }
    }
}

#[test]
fn an_lzma_payload_cut_anywhere_is_refused_with_its_offset() {
    let content: Vec<u8> = decoded_volumes().into_iter().step_by(1009).collect();
    let payload = lzma(&content);
    assert!(payload.len() > 4000, "{}", payload.len());
    for len in 0..payload.len() {
        match decode(Encoding::Lzma, &payload[..len], 0x1000, 1 << 20) {
            // The encoder's last bytes only flush: nothing is lost with them.
            Ok(decoded) => assert!(
                len + 5 >= payload.len() && decoded == Some(content.clone()),
                "{len}"
            ),
            Err(Error::Decode { offset, .. } | Error::Truncated { offset, .. }) => {
                assert!((0x1000..0x1010).contains(&offset), "{offset:#x} of {len}");
            }
            Err(other) => panic!("{len}: {other}"),
        }
    }
}

#[test]
fn volumes_cut_at_every_structure_boundary_give_a_tree_of_what_is_left() {
    let whole = decoded_volumes();
    let tree = Tree::parse(&whole);
    let mut cuts: Vec<usize> = tree
        .nodes()
        .iter()
        .flat_map(|node| {
            [
                node.start,
                node.start + node.header_len_bytes,
                node.start + node.len_bytes,
            ]
        })
        .collect();
    cuts.sort_unstable();
    cuts.dedup();
    assert!(cuts.len() > 1000, "{}", cuts.len());
    for cut in cuts {
        for len in [cut.saturating_sub(1), cut] {
            let part = Tree::parse(&whole[..len]);
            for node in part.nodes() {
                assert!(node.start + node.len_bytes <= len);
            }
            let files = |tree: &Tree<'_>| {
                tree.nodes()
                    .iter()
                    .filter(|node| matches!(node.kind, NodeKind::File(_)))
                    .count()
            };
            let inside = tree
                .nodes()
                .iter()
                .filter(|node| matches!(node.kind, NodeKind::File(_)) && node.start + node.len_bytes <= len);
            assert!(files(&part) >= inside.count(), "cut at {len:#x} lost whole files");
        }
    }
}

#[test]
fn an_image_cut_at_every_structure_boundary_says_where() {
    for name in ["bookworm/OVMF_CODE_4M.fd", "bookworm/AAVMF_CODE.fd"] {
        let image = bytes(name);
        let whole = Tree::parse(&image);
        let top: Vec<(usize, usize)> = whole
            .nodes()
            .iter()
            .filter(|node| node.parent.is_none() && matches!(node.kind, NodeKind::Volume(_)))
            .map(|node| (node.start, node.start + node.len_bytes))
            .collect();
        let mut cuts: Vec<usize> = whole
            .nodes()
            .iter()
            .filter(|node| node.buffer == 0)
            .flat_map(|node| {
                [
                    node.start,
                    node.start + node.header_len_bytes,
                    node.start + node.len_bytes,
                ]
            })
            .flat_map(|at| [at.saturating_sub(1), at, at + 1])
            .filter(|len| *len <= image.len())
            .collect();
        cuts.sort_unstable();
        cuts.dedup();
        assert!(cuts.len() > 20, "{name}: {}", cuts.len());
        for len in cuts {
            // What is compressed stays so: it is the same bytes at every cut.
            let limits = Limits {
                decoded_bytes: 0,
                ..Limits::for_image(len)
            };
            let tree = Tree::parse_within(&image[..len], limits);
            // A volume is known from its whole header on.
            let Some((start, _)) = top.iter().find(|(start, end)| start + 0x48 <= len && len < *end) else {
                continue;
            };
            assert!(
                tree.damages().iter().any(|damage| matches!(
                    damage.error,
                    Error::Truncated { field: "firmware volume", offset, available_bytes, .. }
                        if offset == *start as u64 && offset + available_bytes == len as u64
                )),
                "{name} cut at {len:#x}: {:?}",
                tree.damages()
            );
        }
    }
}

#[test]
fn a_wrong_size_of_an_extended_volume_header_is_told_and_its_files_are_still_read() {
    let image = bytes("bookworm/OVMF_CODE_4M.fd");
    let whole = Tree::parse(&image).nodes().len();
    for wrong in [0u32, 19, u32::MAX] {
        let mut image = image.clone();
        image[0x70..0x74].copy_from_slice(&wrong.to_le_bytes());
        let tree = Tree::parse(&image);
        let told = tree.damages().iter().any(|damage| {
            matches!(
                damage.error,
                Error::Unexpected {
                    field: "size of an extended volume header",
                    offset: 0x70,
                    ..
                }
            )
        });
        assert!(told, "{wrong:#x}: {:?}", tree.damages());
        assert!(tree.nodes().len() >= whole, "{wrong:#x}");
    }
}

#[test]
fn a_section_by_an_unknown_guid_is_read_as_it_stands_where_that_is_allowed() {
    let unknown = fm_formats::Guid::from_bytes([0x33; 16]);
    let signed = fm_formats::Guid::literal("a7717414-c616-4977-9420-844712a735bf");
    let inner = section(0x19, b"inside");
    for (guid, attributes, nodes) in [
        (unknown, 0u8, 4),
        (unknown, 2, 4),
        (unknown, 1, 3),
        (signed, 3, 4),
    ] {
        let mut outer = guided(guid, &inner);
        outer[22] = attributes;
        let image = volume(&file(0x02, &outer));
        let tree = Tree::parse(&image);
        assert_eq!(
            (tree.nodes().len(), tree.damages().len()),
            (nodes, 0),
            "{attributes}"
        );
    }
}

#[test]
fn an_executable_without_its_magic_is_told() {
    let mut image = bytes("bookworm/OVMF_CODE_4M.fd");
    let at = 0x34_8094;
    assert_eq!(&image[at..at + 2], b"MZ");
    image[at] = b'N';
    let tree = Tree::parse(&image);
    // The file's own checksum does not cover its data.
    assert_eq!(tree.damages().len(), 1, "{:?}", tree.damages());
    assert!(
        tree.damages()[0].error.to_string().contains(&format!("{at:#x}")),
        "{:?}",
        tree.damages()
    );
}

#[test]
fn an_empty_executable_is_no_damage() {
    for kind in [0x10, 0x12, 0x13, 0x1b, 0x1c] {
        let image = volume(&file(0x07, &section(kind, &[])));
        let tree = Tree::parse(&image);
        assert_eq!((tree.nodes().len(), tree.damages()), (3, &[][..]), "{kind:#x}");
    }
}

#[test]
fn sizes_of_zero_and_of_all_ones_are_named_with_their_offset() {
    let sound = volume(&file(0x02, &section(0x19, &[1; 100])));
    let file_at = 0x48;
    for (at, len, value, offset) in [
        // The volume's length, then its header's.
        (32, 8, 0x00, 32),
        (32, 8, 0xff, 32),
        (48, 2, 0x00, 0),
        (48, 2, 0xff, 0),
        (file_at + 20, 3, 0x00, file_at + 20),
        (file_at + 20, 3, 0xff, file_at + 20),
        (file_at + 24, 3, 0x00, file_at + 24),
        (file_at + 24, 3, 0xff, file_at + 24),
    ] {
        let mut image = sound.clone();
        image[at..at + len].fill(value);
        let tree = Tree::parse(&image);
        let told = |damage: &fm_formats::volume::Damage| {
            matches!(damage.error, Error::Unexpected { offset: found, .. } | Error::Truncated { offset: found, .. }
                if found == offset as u64)
        };
        // A volume whose header has no length of its own is none: that is all there is to say.
        let none =
            at == 48 && tree.nodes().len() == 1 && matches!(tree.nodes()[0].kind, NodeKind::Padding { .. });
        assert!(
            none || tree.damages().iter().any(told),
            "{value:#x} at {at:#x}: {:?}",
            tree.damages()
        );
    }
}

#[test]
fn one_flipped_bit_in_the_header_of_a_volume_is_told_and_the_rest_is_still_read() {
    let image = bytes("trixie/OVMF_CODE_4M.fd");
    let files = |tree: &Tree<'_>| {
        let nodes = tree.nodes().iter();
        nodes
            .filter(|node| matches!(node.kind, NodeKind::File(_)))
            .count()
    };
    let whole = Tree::parse(&image);
    let sec = whole
        .nodes()
        .iter()
        .rfind(|node| matches!(node.kind, NodeKind::Volume(_)) && node.parent.is_none())
        .unwrap();
    assert_eq!(sec.start + sec.len_bytes, image.len());
    let (main_at, sec_at) = (0, sec.start);
    for (at, damaged, lost) in [
        // File system, attributes, checksum, block map: everything is still there.
        (main_at + 0x10, main_at + 50, false),
        (main_at + 0x2d, main_at + 50, false),
        (main_at + 0x32, main_at + 50, false),
        (main_at + 0x38, main_at + 50, false),
        (sec_at + 0x10, sec_at + 50, false),
        // A length of 16 MiB more than there is swallows no volume behind.
        (main_at + 0x23, main_at + 32, false),
        // Nor does one that the file has room for, and a length too small leaves no file out.
        (main_at + 0x22, main_at + 32, false),
        (main_at + 0x21, main_at + 32, false),
        (sec_at + 0x22, sec_at + 32, false),
        // Without its signature nobody knows that there was one.
        (main_at + 0x28, main_at, true),
        (sec_at + 0x28, sec_at, true),
    ] {
        let mut image = image.clone();
        image[at] ^= 1;
        let tree = Tree::parse(&image);
        assert!(
            tree.damages().iter().any(
                |damage| matches!(damage.error, Error::Unexpected { offset, .. } if offset == damaged as u64)
            ),
            "{at:#x}: {:?}",
            tree.damages()
        );
        assert_eq!(files(&tree) < files(&whole), lost, "{at:#x}");
    }
}

#[test]
fn a_file_that_was_deleted_is_shown_and_its_content_does_not_count() {
    let mut image = volume(
        &[
            file(0x0b, &section(0x19, b"old")),
            file(0x0b, &section(0x19, b"new")),
        ]
        .concat(),
    );
    let state = 0x48 + 23;
    assert_eq!(image[state], 0xf8);
    // EFI_FILE_DELETED, as bits are cleared; then a header whose data were never written.
    for bits in [0xd8 ^ 0x08, 0xe8, 0xfc, 0xfe] {
        image[state] = bits;
        let tree = Tree::parse(&image);
        assert_eq!(tree.damages(), [], "the header's sum leaves the state out");
        let files: Vec<(bool, usize)> = tree
            .nodes()
            .iter()
            .filter_map(|node| match node.kind {
                NodeKind::File(facts) => Some((facts.is_live(), node.len_bytes)),
                _ => None,
            })
            .collect();
        assert_eq!(files, [(false, 32), (true, 32)], "{bits:#x}");
        let sections = tree
            .nodes()
            .iter()
            .filter(|node| matches!(node.kind, NodeKind::Section(_)));
        assert_eq!(sections.count(), 1);
    }
    // Marked for update, it still counts until the new one is written.
    image[state] = 0xf0;
    assert!(Tree::parse(&image).nodes().iter().all(|node| match node.kind {
        NodeKind::File(facts) => facts.is_live(),
        _ => true,
    }));
}

#[test]
fn a_section_that_holds_its_own_volume_again_ends() {
    // The section's size reaches over the file's end, so that reading it would start over in it.
    let mut image = volume(&file(
        0x0b,
        &section(0x17, &volume(&file(0x02, &section(0x19, b"x")))),
    ));
    let section_at = 0x48 + 24;
    image[section_at..section_at + 3].copy_from_slice(&[0xf0, 0xff, 0x00]);
    assert!(!Tree::parse(&image).damages().is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn flipped_bits_in_real_volumes_never_panic(flips in prop::collection::vec((0usize..1 << 23, 0u8..8), 1..64)) {
        static VOLUMES: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
        let mut image = VOLUMES.get_or_init(decoded_volumes).clone();
        for (at, bit) in flips {
            let len = image.len();
            image[at % len] ^= 1 << bit;
        }
        check(&image);
    }

    #[test]
    fn bytes_of_any_kind_never_panic(noise in prop::collection::vec(any::<u8>(), 0..512), sizes: [u8; 3]) {
        let mut sections = section(0x02, &noise);
        sections[..3].copy_from_slice(&sizes);
        check(&volume(&file(0x02, &sections)));
        check(&volume(&noise));
        check(&noise);
    }

    #[test]
    fn a_built_volume_reads_back_file_by_file(bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..200), 0..20)) {
        let files: Vec<u8> = bodies.iter().flat_map(|body| file(0x02, &section(0x15, body))).collect();
        let image = volume(&files);
        let tree = Tree::parse(&image);
        prop_assert_eq!(tree.damages(), &[]);
        let found: Vec<&[u8]> = tree.nodes().iter()
            .filter(|node| matches!(node.kind, NodeKind::Section(_)))
            .map(|node| tree.body(node)).collect();
        prop_assert_eq!(found, bodies);
    }
}

/// What must hold for a tree of any bytes.
fn check(image: &[u8]) {
    let tree = Tree::parse(image);
    for (id, node) in tree.nodes().iter().enumerate() {
        assert!(node.start + node.len_bytes <= tree.buffer(node.buffer).len());
        assert!(node.header_len_bytes <= node.len_bytes || tree.body(node).is_empty());
        assert!(node.end > id && node.end <= tree.nodes().len());
        assert!(
            node.parent
                .is_none_or(|parent| parent < id && tree.nodes()[parent].end >= node.end)
        );
    }
}
