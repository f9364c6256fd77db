//! Volumes, files and sections built field by field, for tests of what no real image has.

#![allow(dead_code)] // each test file uses some

use fm_formats::Guid;
use fm_formats::volume::raw::RawFileHeader;
use fm_formats::volume::{Block, VolumeHeader};
use lzma_rust2::Write as _;

pub(crate) fn lzma(content: &[u8]) -> Vec<u8> {
    let options = lzma_rust2::LzmaOptions::with_preset(1);
    let len = Some(content.len() as u64);
    let mut writer = lzma_rust2::LzmaWriter::new_use_header(Vec::new(), &options, len).unwrap();
    writer.write_all(content).unwrap();
    writer.finish().unwrap()
}

pub(crate) fn section(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = ((body.len() + 4) as u32).to_le_bytes().to_vec();
    if body.len() + 8 >= 0xff_ffff {
        bytes = vec![0xff, 0xff, 0xff, kind];
        bytes.extend(((body.len() + 8) as u32).to_le_bytes());
    }
    bytes[3] = kind;
    bytes.extend(body);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

pub(crate) fn guided(guid: Guid, data: &[u8]) -> Vec<u8> {
    let mut body = guid.to_bytes().to_vec();
    body.extend(24u16.to_le_bytes());
    body.extend(1u16.to_le_bytes());
    body.extend(data);
    section(0x02, &body)
}

pub(crate) fn file(kind: u8, body: &[u8]) -> Vec<u8> {
    named_file(Guid::from_bytes([0x11; 16]), kind, body)
}

pub(crate) fn named_file(name: Guid, kind: u8, body: &[u8]) -> Vec<u8> {
    let len = ((body.len() + size_of::<RawFileHeader>()) as u32).to_le_bytes();
    assert_eq!(len[3], 0);
    finish_file(name.to_bytes().to_vec(), kind, 0, &len[..3], &[], body)
}

pub(crate) fn large_file(body: &[u8]) -> Vec<u8> {
    let len = ((body.len() + 32) as u64).to_le_bytes();
    finish_file(vec![0x22; 16], 0x02, 1, &[0; 3], &len, body)
}

fn finish_file(name: Vec<u8>, kind: u8, attributes: u8, len: &[u8], extended: &[u8], body: &[u8]) -> Vec<u8> {
    let mut bytes = name;
    bytes.extend([0, 0, kind, attributes]);
    bytes.extend(len);
    bytes.push(0);
    bytes.extend(extended);
    bytes[16] = bytes
        .iter()
        .fold(0u8, |sum, byte| sum.wrapping_add(*byte))
        .wrapping_neg();
    bytes[17] = 0xaa;
    bytes[23] = 0xf8;
    bytes.extend(body);
    bytes.resize(bytes.len().next_multiple_of(8), 0xff);
    bytes
}

pub(crate) fn volume(content: &[u8]) -> Vec<u8> {
    let len = 0x48 + content.len();
    let header = VolumeHeader {
        zero_vector: [0; 16],
        file_system: VolumeHeader::FFS3,
        volume_len_bytes: len as u64,
        attributes: 0x4_feff,
        header_len_bytes: 0x48,
        ext_header_offset: 0,
        reserved: 0,
        revision: 2,
        blocks: vec![Block {
            count: 1,
            len_bytes: len as u32,
        }],
        checksum_sum: 0,
    };
    let mut bytes = header.to_bytes();
    bytes.extend(content);
    bytes
}
