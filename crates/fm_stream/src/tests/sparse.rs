//! Sparse contents, and when a collector gives a block up.

use super::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn sparse_bytes_are_what_plain_bytes_would_be(
        edits in proptest::collection::vec((0u64..20_000, 0usize..9000, 0u8..3, any::<bool>()), 0..12),
    ) {
        let mut plain = vec![0u8; 15_000];
        let mut sparse = Sparse::new(15_000);
        for (at, len, byte, fill) in edits {
            let from = (at as usize).min(plain.len());
            let to = (at as usize + len).min(plain.len());
            plain[from..to].fill(byte);
            match fill {
                true => sparse.fill(at, len as u64, byte),
                false => sparse.write(at, &vec![byte; len]),
            }
        }
        prop_assert_eq!(&sparse.to_vec(), &plain);
        prop_assert_eq!(sparse.pieces().collect::<Vec<_>>().concat(), plain);
    }
}

const CHIP: u64 = 64 << 20;

fn chips() -> Facts {
    let block = |name: &str, size_bytes| Block {
        offset: 0,
        kind: BlockKind::of(name),
        name: name.into(),
        size_bytes,
        page_size_bytes: None,
        guest_address: None,
        pages_offset: None,
        wanted: true,
        pages: Pages::default(),
    };
    Facts {
        page_size_bytes: PAGE as u64,
        blocks: vec![
            block("virt.flash0", CHIP),
            block("virt.flash1", CHIP),
            block("big.rom", 1 << 40),
        ],
        ..Facts::default()
    }
}

fn data(block: usize, page: u64, bytes: &[u8; PAGE]) -> Event<'_> {
    Event::Data {
        block,
        offset: page << 12,
        bytes,
        at: None,
    }
}

#[test]
fn chips_that_are_sent_whole_take_memory_only_for_what_is_in_them() {
    let facts = chips();
    let mut collector = Collector::new(3 * PAGE as u64);
    let mut code = [0u8; PAGE];
    code[7] = 1;
    for page in 0..CHIP >> 12 {
        collector.take(&facts, &data(0, page, if page < 3 { &code } else { &[0; PAGE] }));
        collector.take(&facts, &data(1, page, &[0xff; PAGE]));
    }
    for (block, byte) in [(0, 0), (1, 0xff)] {
        assert_eq!(collector.pages_seen(block), CHIP >> 12);
        let bytes = collector.block(block).unwrap();
        assert_eq!(bytes.kept_bytes(), if block == 0 { 3 * PAGE as u64 } else { 0 });
        assert_eq!(bytes.pieces().last().unwrap(), [byte; PAGE]);
    }
}

#[test]
fn a_block_that_needs_too_much_memory_is_given_up_and_the_others_are_not() {
    let facts = chips();
    let mut collector = Collector::new(3 * PAGE as u64);
    let mut code = [0u8; PAGE];
    code[7] = 1;
    collector.take(&facts, &data(0, 0, &code));
    for page in 0..9 {
        collector.take(&facts, &data(1, page, &code));
        collector.take(&facts, &data(2, page, &[1; PAGE]));
    }
    assert!(!collector.refused(0) && collector.refused(1) && collector.refused(2));
    assert_eq!(collector.block(0).unwrap().pieces().next().unwrap(), code);
    assert_eq!(collector.block(1), None);
    assert_eq!(collector.pages_seen(1), 9);
}
