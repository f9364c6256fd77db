//! Save image headers and qcow2 snapshot tables.

use super::*;

#[test]
fn a_save_image_header_reads_back_and_grows_only_when_told() {
    use super::save_image::{Compression, SaveImage};
    let mut image = b"LibvirtQemudSave".to_vec();
    for value in [2u32, 40, 1, 1, 20] {
        image.extend(value.to_le_bytes());
    }
    image.resize(92, 0);
    let header = SaveImage::parse(&image).unwrap();
    assert_eq!(header.compression, Compression::Program("gzip"));
    assert_eq!(
        (header.stream_offset(), header.cookie_offset, header.was_running),
        (132, Some(20), true)
    );
    let data = [&b"<domain/>\0\0\0\0\0\0\0\0\0\0\0"[..], b"<cookie/>\0"].concat();
    assert_eq!(header.split(&data), (&b"<domain/>"[..], Some(&b"<cookie/>"[..])));
    let same = header
        .rewrite(&image, b"<domain id='7'/>", Some(b"<cookie/>"), false)
        .unwrap();
    assert_eq!(same.len(), 132);
    let again = SaveImage::parse(&same).unwrap();
    assert_eq!(
        again.split(&same[92..]),
        (&b"<domain id='7'/>"[..], Some(&b"<cookie/>"[..]))
    );
    let long = "x".repeat(100);
    assert_eq!(header.rewrite(&image, long.as_bytes(), None, false), None);
    let grown = header.rewrite(&image, long.as_bytes(), None, true).unwrap();
    assert_eq!(SaveImage::parse(&grown).unwrap().stream_offset(), 92 + 101);
    for (at, value) in [(0, 0u8), (16, 9), (23, 0xff), (28, 7), (35, 0xff)] {
        let mut bent = image.clone();
        bent[at] = value;
        SaveImage::parse(&bent).unwrap_err();
    }
    for cut in 0..92 {
        SaveImage::parse(&image[..cut]).unwrap_err();
    }
}

/// A header and a snapshot table at 0x100 with one snapshot of 1 MiB of memory, of a disk of 1 GiB.
fn qcow2() -> Vec<u8> {
    let header = Build(b"QFI\xfb".to_vec())
        .be32(3)
        .be64(0)
        .be32(0)
        .be32(16)
        .be64(1 << 30)
        .be32(0);
    let mut header = header
        .be32(2)
        .be64(0x3_0000)
        .be64(0)
        .be32(0)
        .be32(1)
        .be64(0x100)
        .be64(0);
    header.0.resize(0x100, 0);
    header
        .be64(0x4_0000)
        .be32(3)
        .bytes(&[0, 1, 0, 4])
        .bytes(&[0; 20])
        .be32(16)
        .be64(1 << 20)
        .be64(1 << 30)
        .bytes(b"1base")
        .0
}

#[test]
fn a_snapshots_memory_lies_behind_its_disk() {
    use super::qcow2::{Image, Place};
    let bytes = qcow2();
    let image = Image::parse(&bytes).unwrap();
    let snapshots = image.snapshots(&bytes[0x100..]).unwrap();
    let [snapshot] = &snapshots[..] else {
        panic!("{snapshots:?}")
    };
    assert_eq!((snapshot.id.as_str(), snapshot.name.as_str()), ("1", "base"));
    assert_eq!(snapshot.vm_state_bytes, 1 << 20);
    // 64 KiB clusters: an L2 table covers 512 MiB, so the disk takes two L1 entries and memory the third.
    assert_eq!(image.l1_entry_offset(snapshot, 0).unwrap(), 0x4_0000 + 16);
    image.l1_entry_offset(snapshot, 512 << 20).unwrap_err();
    assert_eq!(
        image.l2_entry_offset(1 << 63 | 0x5_0000, 3 << 16),
        Some(0x5_0000 + 24)
    );
    assert_eq!(image.l2_entry_offset(0, 3 << 16), None);
    assert_eq!(image.place(1 << 63 | 0x6_0000, 0).unwrap(), Place::At(0x6_0000));
    assert_eq!(image.place(1, 0).unwrap(), Place::Zero);
    image.place(1 << 62 | 0x6_0000, 0).unwrap_err();
}

#[test]
fn a_qcow2_header_or_table_that_is_cut_or_bent_is_refused() {
    use super::qcow2::Image;
    let bytes = qcow2();
    for cut in 0..80 {
        Image::parse(&bytes[..cut]).unwrap_err();
    }
    let image = Image::parse(&bytes).unwrap();
    for cut in 0x100..bytes.len() {
        image.snapshots(&bytes[0x100..cut]).unwrap_err();
    }
    for (at, value) in [(0, 0), (7, 4), (23, 3), (23, 63), (35, 1), (60, 1), (79, 0x14)] {
        let mut bent = bytes.clone();
        bent[at] = value;
        Image::parse(&bent).unwrap_err();
    }
}

#[test]
fn a_cookie_offset_without_a_cookie_is_not_carried_over() {
    use super::save_image::SaveImage;
    let mut image = b"LibvirtQemudSave".to_vec();
    for value in [2u32, 20, 1, 0, 10] {
        image.extend(value.to_le_bytes());
    }
    image.resize(92, 0);
    let header = SaveImage::parse(&image).unwrap();
    let again = header.rewrite(&image, b"<d/>", None, true).unwrap();
    assert_eq!(
        SaveImage::parse(&again).unwrap().split(&again[92..]),
        (&b"<d/>"[..], None)
    );
}
