//! Makes seeds for one fuzz target out of the fixtures: real structures, cut small enough to mutate quickly.
//!
//! `cargo run --manifest-path fuzz/Cargo.toml --example seeds -- TARGET`

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use fm_fixtures::Kind;
use fm_formats::volume::{Encoding, Node, NodeKind, Tree, VolumeHeader};
use fm_varstore::VarStore;
use lzma_rust2::{LzmaOptions, LzmaWriter, Write as _};

/// Files above this size are not made into seeds: what is new in them is data, not structure.
const MOST_FILE_BYTES: usize = 8 << 10;

fn main() {
    let target = std::env::args().nth(1).expect("the name of a fuzz target");
    let seeds = match target.as_str() {
        "varstore" => heads(&[Kind::Vars], 0xc_0000),
        "volume" => heads(&[Kind::Code, Kind::Vars, Kind::Combined], 0x1000),
        "tree" => volumes()
            .into_iter()
            .flat_map(|volume| [nested(&volume, Encoding::LZMA, &lzma), volume])
            .chain(encoded())
            .collect(),
        "decode" => volumes()
            .iter()
            .map(|volume| [&[0], lzma(volume).as_slice()].concat())
            .chain(samples())
            .collect(),
        "image" => images(),
        "keys" => contents(),
        "stream" => streams(),
        "file" => files(),
        "qcow2" => qcow2s(),
        "domain" => domains(),
        "store" => stores(),
        "document" => files(),
        other => panic!("{other} has no seeds; say in {} what they are", file!()),
    };
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(&target);
    fs::create_dir_all(&corpus).expect("a corpus folder");
    for (at, seed) in seeds.iter().enumerate() {
        fs::write(corpus.join(format!("seed-{at:04}")), seed).expect("a seed can be written");
    }
    println!("fuzz: {} seeds in {}", seeds.len(), corpus.display());
}

/// The first bytes of every image of these kinds: the 64 MiB ones are mostly padding.
fn heads(kinds: &[Kind], len_bytes: usize) -> Vec<Vec<u8>> {
    let chosen = fm_fixtures::all().filter(|fixture| kinds.contains(&fixture.kind));
    let mut heads: Vec<Vec<u8>> = chosen
        .map(|fixture| {
            let mut bytes = fixture.bytes();
            bytes.truncate(len_bytes);
            bytes
        })
        .collect();
    heads.sort();
    heads.dedup();
    heads
}

/// What the variables of the stores hold: keys, boot entries, device paths.
fn contents() -> Vec<Vec<u8>> {
    let mut contents: Vec<Vec<u8>> = heads(&[Kind::Vars], 0xc_0000)
        .iter()
        .filter_map(|store| Some(VarStore::parse(store).ok()?.to_variables()))
        .flatten()
        .map(|variable| variable.data)
        .filter(|data| data.len() <= MOST_FILE_BYTES)
        .collect();
    contents.sort();
    contents.dedup();
    contents
}

/// Small volumes of one file each: the smallest file of every shape in the fixtures' images.
fn volumes() -> Vec<Vec<u8>> {
    let mut smallest: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for name in [
        "bookworm/OVMF_CODE.fd",
        "trixie/OVMF_CODE_4M.secboot.fd",
        "trixie/QEMU_EFI.fd",
    ] {
        let image = fm_fixtures::bytes(name);
        let tree = Tree::parse(&image);
        for (id, node) in tree.nodes().iter().enumerate() {
            let NodeKind::File(_) = node.kind else { continue };
            let Some(NodeKind::Volume(volume)) =
                node.parent.and_then(|id| tree.node(id)).map(|node| &node.kind)
            else {
                continue;
            };
            if node.len_bytes > MOST_FILE_BYTES {
                continue;
            }
            let shape: Vec<String> = std::iter::once(node)
                .chain(tree.descendants(id).map(|(_, inner)| inner))
                .map(label)
                .collect();
            let seed = volume_of(&volume.header, tree.bytes(node));
            let kept = smallest.entry(shape.join(",")).or_insert_with(|| seed.clone());
            if seed.len() < kept.len() {
                *kept = seed;
            }
        }
    }
    smallest.into_values().collect()
}

/// What other people's encoders made, one of each; the first byte tells the fuzz target which.
fn samples() -> Vec<Vec<u8>> {
    let names = ["lzma", "lzma-x86", "efi11", "tiano", "brotli"];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/fm_formats/tests/data");
    let read = |name: &str| fs::read(folder.join(format!("sample.{name}"))).expect("a sample");
    let of_each = (0_u8..)
        .zip(names)
        .map(|(which, name)| [&[which], read(name).as_slice()].concat());
    // The last form tells EFI 1.1 and Tiano apart by itself.
    let standard = ["efi11", "tiano"].map(|name| [&[6], read(name).as_slice()].concat());
    of_each.chain(standard).collect()
}

/// Volumes with the samples in sections that name the encoding, and one in a compression section.
fn encoded() -> Vec<Vec<u8>> {
    let like = volumes().into_iter().next().expect("a small volume");
    let samples = samples();
    let body = |which: usize| samples[which][1..].to_vec();
    let guided = [
        (Encoding::LZMA, 0),
        (Encoding::LZMA_X86, 1),
        (Encoding::TIANO, 3),
        (Encoding::BROTLI, 4),
    ];
    let mut all: Vec<Vec<u8>> = guided
        .into_iter()
        .map(|(guid, which)| nested(&like, guid, &|_| body(which)))
        .collect();
    for which in [2, 3] {
        // EFI_COMPRESSION_SECTION: decoded length, kind 1, data; the length comes from the data's own header.
        let data = body(which);
        let mut compression = section(0x01, &data[4..8]);
        compression.push(1);
        compression.extend_from_slice(&data);
        set_len(&mut compression, 0);
        all.push(file_in_volume(&like, &compression));
    }
    all
}

/// The ends of x86 images, where the table below the reset vector and what it points to lie; alone, and behind
/// small volumes.
fn images() -> Vec<Vec<u8>> {
    let mut ends: Vec<Vec<u8>> = fm_fixtures::of_kind(Kind::Code)
        .filter(|fixture| matches!(fixture.arch.as_str(), "x86_64" | "i386"))
        .map(|fixture| {
            let bytes = fixture.bytes();
            bytes[bytes.len() - 0x1000..].to_vec()
        })
        .collect();
    ends.sort();
    ends.dedup();
    let last = ends.last().expect("an x86 image").clone();
    let both = volumes()
        .into_iter()
        .map(|volume| [volume, last.clone()].concat());
    ends.into_iter().chain(both).collect()
}

fn label(node: &Node) -> String {
    match &node.kind {
        NodeKind::File(file) => format!("{:?}", file.kind),
        NodeKind::Section(section) => format!("{:?}", section.kind),
        NodeKind::Volume(_) => "volume".to_owned(),
        NodeKind::Padding { .. } | NodeKind::FreeSpace => "space".to_owned(),
    }
}

/// A volume with this one file and a little free space.
fn volume_of(like: &VolumeHeader, file: &[u8]) -> Vec<u8> {
    let mut header = like.clone();
    header.ext_header_offset = 0;
    header.header_len_bytes = 0x48;
    let len_bytes = (0x48 + file.len() + 0x40).next_multiple_of(0x40);
    header.volume_len_bytes = len_bytes as u64;
    let mut bytes = header.to_bytes();
    bytes.extend_from_slice(file);
    bytes.resize(len_bytes, 0xff);
    bytes
}

/// A volume that holds `volume` as OVMF holds its own: in an encoded section of a volume-image file.
fn nested(volume: &[u8], guid: fm_formats::Guid, encode: &dyn Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    // EFI_COMMON_SECTION_HEADER with EFI_GUID_DEFINED_SECTION; in it a volume-image section (0x17).
    let mut inner = section(0x17, &[]);
    inner.extend_from_slice(volume);
    set_len(&mut inner, 0);
    let mut guided = section(0x02, &guid.to_bytes());
    guided.extend_from_slice(&[24, 0, 1, 0]); // data offset, processing required
    guided.extend_from_slice(&encode(&inner));
    set_len(&mut guided, 0);
    file_in_volume(volume, &guided)
}

/// A volume like `volume` whose one file holds these sections.
fn file_in_volume(volume: &[u8], sections: &[u8]) -> Vec<u8> {
    // EFI_FFS_FILE_HEADER: name, checksums, type 0x0b, attributes, size, state.
    let mut file = vec![0x11; 16];
    file.extend_from_slice(&[0, 0xaa, 0x0b, 0, 0, 0, 0, 0xf8]);
    file.extend_from_slice(sections);
    set_len(&mut file, 20);
    let sum = file[..23]
        .iter()
        .fold(0_u8, |sum, byte| sum.wrapping_add(*byte))
        .wrapping_sub(0xaa);
    file[16] = 0_u8.wrapping_sub(sum);
    let header = VolumeHeader::parse(&mut fm_formats::Reader::new(volume)).expect("made from a parsed one");
    volume_of(&header, &file)
}

fn section(kind: u8, rest: &[u8]) -> Vec<u8> {
    [&[0, 0, 0, kind], rest].concat()
}

/// Writes the 24-bit length of the whole into its header.
fn set_len(bytes: &mut [u8], at: usize) {
    let len = u32::try_from(bytes.len()).expect("small").to_le_bytes();
    bytes[at..at + 3].copy_from_slice(&len[..3]);
}

/// The `.lzma` format with the decoded size in its header, as edk2 wants it.
fn lzma(bytes: &[u8]) -> Vec<u8> {
    let mut options = LzmaOptions::with_preset(1);
    options.dict_size = 1 << 16;
    let mut writer =
        LzmaWriter::new_use_header(Vec::new(), &options, Some(bytes.len() as u64)).expect("a header");
    writer.write_all(bytes).expect("it takes all");
    writer.finish().expect("it ends")
}

/// Documents of every kind that is read, and what else a file may be.
fn files() -> Vec<Vec<u8>> {
    let variable = |rest: &str| {
        format!(
            r#"{{"version":2,"variables":[{{"name":"Boot0000","guid":"8be4df61-93ca-11d2-aa0d-00e098032b8c","attr":7,
            "data":"0100"{rest}}}]}}"#
        )
    };
    let flash = r#"{"sha256":"00","size_bytes":4096,"format":"raw","path":"/a","node":null}"#;
    let documents = [
        variable(""),
        variable(r#","time":"e7070101000000000000000000000000","digest":"00""#),
        variable(r#","timestamp":{"raw":"e7070101000000000000000000000000"},"monotonic_count":1,"state":"live""#)
            .replacen('{', r#"{"schema":"flashmoor/vars/1","#, 1),
        r#"{"interface-types":["uefi"],"mapping":{"device":"flash","executable":{"filename":"/a","format":"raw"},
            "nvram-template":{"filename":"/b","format":"raw"}},"targets":[{"architecture":"x86_64",
            "machines":["pc-q35-*"]}],"features":["secure-boot"],"tags":[]}"#
            .to_owned(),
        format!(
            r#"{{"schema":"flashmoor/offer/1","qemu_version":"7.2.22","machine":"pc-q35-7.2","guest":{{"name":"a",
            "uuid":null,"pid":1}},"blocks":[{{"name":"system.flash0","size_bytes":4096,"sha256":null}}],
            "blocks_complete":true,"code":{flash},"vars":{flash},"build":"00"}}"#
        ),
        r#"{"schema":"flashmoor/catalogue/1","builds":[{"sha256":"00","name":"a","version":"1","source":"b"}]}"#.to_owned(),
    ];
    let streams = streams().into_iter().map(|stream| stream[1..].to_vec());
    let volumes = volumes().into_iter().take(4);
    documents
        .map(String::into_bytes)
        .into_iter()
        .chain(streams)
        .chain(volumes)
        .collect()
}

/// Small streams, one of each form; the first byte tells the fuzz target which form it is.
fn streams() -> Vec<Vec<u8>> {
    let table = |size: &[u8; 2]| {
        let mut table = b"\x01\0\0\0\x02\x03ram\0\0\0\0\0\0\0\x04\0\0\0\0\0\0".to_vec();
        table.extend_from_slice(size);
        table
    };
    let end = b"\0\0\0\0\0\0\0\x10~\0\0\0\x02";
    let mut pages = b"\0QEVM\0\0\0\x03\x07\0\0\0\x01m".to_vec();
    pages.extend(b"\x05\x1econfiguration/target-page-bits\0\0\0\x01\0\0\0\x0a");
    pages.extend(table(b"\x40\x04"));
    pages.extend(b"\x06pc.ram\0\0\0\0\0\0\x20\0\x0dsystem.flash0\0\0\0\0\0\0\x20\0");
    pages.extend(b"\0\0\0\0\0\0\0\x08\x06pc.ram");
    pages.extend([b'x'; 1024]);
    pages.extend(b"\0\0\0\0\0\0\x04\x22\0\0\0\0\0\0\0\0\x08\x0dsystem.flash0");
    pages.extend([b'y'; 1024]);
    pages.extend(b"\0\0\0\0\0\0\0\x60\x01\0\x05\x02\x03abc");
    pages.extend(end);
    pages.extend(b"\x03\0\0\0\x02");
    pages.extend(end);
    let mut described = pages.clone();
    pages.push(0);
    described.extend(b"\x04\0\0\0\x03\x05timer\0\0\0\0\0\0\0\x02");
    described.extend([1; 24]);
    described.extend(b"~\0\0\0\x03");
    let json = br#"{"page_size":1024,"devices":[{"name":"timer","instance_id":0,"fields":[{"size":8,
        "array_len":2,"struct":{"fields":[]}}],"subsections":[{"vmsd_name":"t","fields":[{"size":1}]}]}]}"#;
    described.extend(b"\0\x06\0\0\0");
    described.push(u8::try_from(json.len()).expect("a short description"));
    described.extend(json);
    described.extend([0; 16]);
    let mut mapped = b"\0QEVM\0\0\0\x03\x07\0\0\0\x01m\x05\x1aconfiguration/capabilities".to_vec();
    mapped.extend(b"\0\0\0\x01\0\0\0\x01\x0amapped-ram");
    mapped.extend(table(b"\x10\x04"));
    mapped.extend(b"\x0dsystem.flash0\0\0\0\0\0\0\x10\0\0\0\0\x01\0\0\0\0\0\0\x10\0");
    let bitmap = mapped.len() + 15; // the first byte is not part of the stream
    mapped.extend((bitmap as u64).to_be_bytes());
    mapped.extend(b"\0\0\0\0\0\0\x01\0\x01\0\0\0\0\0\0\0");
    mapped.resize(5000, 0);
    let mut channel = b"\x01\x11\x22\x33\x44\0\0\0\x01".to_vec();
    channel.resize(65, 0);
    channel.extend(b"\x11\x22\x33\x44\0\0\0\x01\0\0\0\0\0\0\0\x80\0\0\0\x01\0\0\x10\0\0\0\0\0\0\0\0\x01");
    channel.resize(65 + 64, 0);
    channel.extend(b"system.flash0");
    channel.resize(65 + 1344 + 4096, 0);
    let mut image = b"\x02LibvirtQemudSave\x02\0\0\0\x14\0\0\0\x01\0\0\0\0\0\0\0\x0a\0\0\0".to_vec();
    image.resize(93, 0);
    image.extend(b"<domain/>\0<cookie/>\0");
    let mut qcow2 = b"\x03QFI\xfb\0\0\0\x03".to_vec();
    qcow2.resize(21, 0);
    qcow2.extend(b"\0\0\0\x10\0\0\0\0\x40\0\0\0\0\0\0\0\0\0\0\x02\0\0\0\0\0\x03\0\0");
    qcow2.resize(61, 0);
    qcow2.extend(b"\0\0\0\x01\0\0\0\0\0\0\0\x50\0\0\0\0\0\0\0\0\0\0\0\0\0\x04\0\0\0\0\0\x03\0\x01\0\x04");
    qcow2.resize(121, 0);
    qcow2.extend(b"1base");
    vec![pages, described, mapped, channel, image, qcow2]
}

/// Images with snapshots, without their magic, which the fuzz target writes.
fn qcow2s() -> Vec<Vec<u8>> {
    let whole = streams().into_iter().filter(|seed| seed[1..].starts_with(b"QFI"));
    whole.map(|seed| seed[5..].to_vec()).collect()
}

/// Definitions as libvirt writes them, and as we do.
fn domains() -> Vec<Vec<u8>> {
    let plain = "<domain type='kvm'>\n  <name>web</name>\n  <uuid>00000000-0000-4000-8000-000000000001</uuid>\n  <os>\n    \
        <type arch='x86_64' machine='pc-q35-7.2'>hvm</type>\n    <loader readonly='yes' type='pflash'>/c.fd</loader>\n    \
        <nvram template='/v.fd'>/n.fd</nvram>\n  </os>\n</domain>\n";
    let chosen = "<domain><name>a</name><os firmware='efi'><type>hvm</type><firmware><feature enabled='no' \
        name='enrolled-keys'/></firmware></os></domain>";
    let source = plain.replace(
        "<nvram template='/v.fd'>/n.fd</nvram>",
        "<nvram><source file='/n.fd'/></nvram>",
    );
    let kept = "<domain><name>a</name><metadata><flashmoor:firmware \
        xmlns:flashmoor='https://github.com/flashmoor/flashmoor/libvirt/1' build='sha256:00' code-bytes='1'>\
        <flashmoor:before path='/p' nvram='none'><flashmoor:loader>&lt;loader/&gt;</flashmoor:loader>\
        </flashmoor:before></flashmoor:firmware></metadata><os><type>hvm</type><loader type='pflash'>/c</loader></os>\
        </domain>";
    let strange = "<?xml version='1.0'?><!-- < --><domstatus><domain><![CDATA[x]]><os/></domain></domstatus>";
    [plain, chosen, &source, kept, strange]
        .map(|xml| xml.as_bytes().to_vec())
        .to_vec()
}

/// Manifests, records and indexes, with zeros between them.
fn stores() -> Vec<Vec<u8>> {
    let code = fm_formats::Sha256::of(b"code");
    let layer =
        format!(r#"{{"mediaType":"application/vnd.flashmoor.code.v1","digest":"sha256:{code}","size":4}}"#);
    let manifest = format!(
        r#"{{"schemaVersion":2,"config":{layer},"layers":[{layer}],"annotations":{{"org.opencontainers.image.title":"a"}}}}"#
    );
    let landing = format!(
        r#"{{"schema":"flashmoor/landing/1","guest_name":"a","code_sha256":"{code}","size_bytes":4,
            "created":"2026-01-01T00:00:00Z","state":"waiting"}}"#
    );
    let digest = fm_formats::Sha256::of(manifest.as_bytes());
    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json",
            "digest":"sha256:{digest}","size":{},"annotations":{{"org.opencontainers.image.ref.name":"sha256-{code}",
            "io.github.flashmoor.pins":"[\\"a\\"]"}}}}]}}"#,
        manifest.len()
    );
    [
        format!("{manifest}\0{landing}"),
        format!("{manifest}\0{landing}\0{index}"),
        manifest,
        landing,
    ]
    .map(String::into_bytes)
    .to_vec()
}
