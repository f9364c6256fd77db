//! Any bytes as a firmware volume header: parsed or refused, and emitted as it was read.

#![no_main]

use fm_formats::Reader;
use fm_formats::volume::VolumeHeader;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut reader = Reader::new(data);
    let Ok(header) = VolumeHeader::parse(&mut reader) else {
        return;
    };
    assert!(reader.offset() <= data.len() as u64);
    let emitted = header.to_bytes();
    let mut again = VolumeHeader::parse(&mut Reader::new(&emitted)).expect("what we emit, we read");
    assert_eq!(again.checksum_sum, 0, "an emitted header has a sound checksum");
    again.checksum_sum = header.checksum_sum;
    again.header_len_bytes = header.header_len_bytes;
    assert_eq!(again, header);
});
