//! An EFI application with which a guest says for itself what variables it has, under Secure Boot too.
//!
//! Debian's shell refuses to start under Secure Boot, so `dmpstore` cannot be asked there. This application
//! (`efi/*.s`, assembled here) is admitted by its hash, and prints every variable to the serial port.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use fm_formats::{Guid, Sha256};
use fm_lab::Guest;

/// Namespace of the application's own variables: `Starts`, `Write`, `Number`.
pub const OWN: Guid = Guid::literal("4f3a1d52-6c0b-4b57-9a55-0f2f5d3c7e11");

const HEADERS_BYTES: usize = 0x200;
/// In the file: `CheckSum`, and the directory entry of signatures. Neither counts in an image's digest.
const UNHASHED_64: [(usize, usize); 2] = [(88 + 64, 4), (88 + 112 + 4 * 8, 8)];
const UNHASHED_32: [(usize, usize); 2] = [(88 + 64, 4), (88 + 96 + 4 * 8, 8)];

/// The application on a disk of its own.
#[derive(Debug)]
pub struct Speaker {
    disk: PathBuf,
    hash: PathBuf,
}

impl Speaker {
    /// Whether there is one for this architecture.
    #[must_use]
    pub fn speaks(arch: &str) -> bool {
        matches!(arch, "x86_64" | "i386" | "aarch64")
    }

    /// The application for `x86_64`, `i386` or `aarch64`, in `folder`.
    ///
    /// # Panics
    /// If the assembler is missing or a file cannot be written.
    #[must_use]
    pub fn new(arch: &str, folder: &Path) -> Self {
        let image = image(arch, &assemble(arch, folder));
        let disk = folder.join("disk");
        let boot = disk.join("EFI/BOOT");
        fs::create_dir_all(&boot).expect("a folder for the disk");
        let name = match arch {
            "x86_64" => "BOOTX64.EFI",
            "i386" => "BOOTIA32.EFI",
            _ => "BOOTAA64.EFI",
        };
        fs::write(boot.join(name), &image).expect("the application");
        let hash = folder.join("speaker.esl");
        fs::write(&hash, signature_list(&digest(arch, &image))).expect("its signature list");
        Self { disk, hash }
    }

    /// A signature list with the application's hash: in db, it may run under Secure Boot.
    #[must_use]
    pub fn hash(&self) -> &Path {
        &self.hash
    }

    /// The disk, on a guest's command line, first in its boot order.
    #[must_use]
    pub fn words(&self) -> [String; 4] {
        [
            "-drive".into(),
            format!(
                "if=none,id=speaker,format=raw,readonly=on,file=fat:{}",
                self.disk.display()
            ),
            "-device".into(),
            "virtio-blk-pci,drive=speaker,bootindex=0,romfile=".into(),
        ]
    }
}

/// What a guest said of its variables.
#[derive(Debug)]
pub struct Said {
    /// What its own `SetVariable` returned; zero is success.
    pub set_status: u64,
    /// All it has, volatile ones too.
    pub variables: Vec<SaidVariable>,
}

/// One variable as the guest has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SaidVariable {
    /// Its namespace.
    pub guid: String,
    /// Its name.
    pub name: String,
    /// Its attributes.
    pub attributes: u32,
    /// Its content, hexadecimal.
    pub data: String,
}

impl Said {
    /// Waits until the application has said everything.
    ///
    /// # Panics
    /// If it does not, with the end of what was said.
    pub fn hear(guest: &mut Guest) -> Self {
        let text = guest
            .serial
            .expect(&["\nE\n"])
            .unwrap_or_else(|error| panic!("{error}"));
        let mut said = Self {
            set_status: u64::MAX,
            variables: Vec::new(),
        };
        for line in text.lines() {
            match line.split(' ').collect::<Vec<_>>().as_slice() {
                ["S", status] => said.set_status = number(status),
                ["V", guid, name, attributes, data] => said.variables.push(SaidVariable {
                    guid: Guid::from_bytes(bytes(guid).try_into().expect("16 bytes")).to_string(),
                    name: String::from_utf16_lossy(
                        &bytes(name)
                            .chunks_exact(2)
                            .map(|unit| u16::from_le_bytes([unit[0], unit[1]]))
                            .collect::<Vec<_>>(),
                    ),
                    attributes: u32::try_from(number(attributes)).expect("32 bits"),
                    data: (*data).to_owned(),
                }),
                _ => {}
            }
        }
        said
    }

    /// The content of one of its variables, hexadecimal.
    #[must_use]
    pub fn get(&self, guid: &str, name: &str) -> Option<&str> {
        let found = self
            .variables
            .iter()
            .find(|variable| variable.guid == guid && variable.name == name);
        found.map(|variable| variable.data.as_str())
    }

    /// Those that survive a reset, sorted.
    #[must_use]
    pub fn lasting(&self) -> Vec<SaidVariable> {
        let mut found: Vec<_> = self
            .variables
            .iter()
            .filter(|variable| variable.attributes & 1 != 0)
            .cloned()
            .collect();
        found.sort();
        found
    }
}

/// The bytes that it said, from their hexadecimal digits.
///
/// # Panics
/// If they are none.
#[must_use]
pub fn bytes(hex: &str) -> Vec<u8> {
    hex.as_bytes()
        .chunks_exact(2)
        .map(|pair| {
            let pair = std::str::from_utf8(pair).expect("ASCII");
            u8::from_str_radix(pair, 16).unwrap_or_else(|error| panic!("{hex:?}: {error}"))
        })
        .collect()
}

/// A number from its bytes in memory, least significant first.
fn number(hex: &str) -> u64 {
    bytes(hex)
        .iter()
        .rev()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn assemble(arch: &str, folder: &Path) -> Vec<u8> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("efi/{arch}.s"));
    let (object, flat) = (folder.join("speaker.o"), folder.join("speaker.bin"));
    let (prefix, options): (_, &[&str]) = match arch {
        "x86_64" => ("x86_64-linux-gnu-", &["--64"]),
        "i386" => ("x86_64-linux-gnu-", &["--32"]),
        _ => ("aarch64-linux-gnu-", &[]),
    };
    let run = |tool: &str, words: &[&str], files: &[&Path]| {
        let program = format!("{prefix}{tool}");
        let output = Command::new(&program).args(words).args(files).output();
        let output = output.unwrap_or_else(|error| panic!("{program}: {error}; `make test` installs it"));
        assert!(output.status.success(), "{program}: {}", crate::stderr(&output));
    };
    run("as", &[options, &["-o"]].concat(), &[&object, &source]);
    run("objcopy", &["-O", "binary", "-j", ".text"], &[&object, &flat]);
    fs::read(flat).expect("what was assembled")
}

/// The code as a PE image: one page of it at 0x1000, writable memory behind that.
fn image(arch: &str, code: &[u8]) -> Vec<u8> {
    assert!(code.len() <= 0x1000, "the application outgrew its page");
    let (machine, wide) = match arch {
        "x86_64" => (0x8664u16, true),
        "i386" => (0x014c, false),
        _ => (0xaa64, true),
    };
    let code_len = code.len().next_multiple_of(0x200);
    let mut image = b"MZ".to_vec();
    image.resize(60, 0);
    let mut put = |bytes: &[u8]| image.extend_from_slice(bytes);
    put(&64u32.to_le_bytes());
    put(b"PE\0\0");
    put(&machine.to_le_bytes());
    put(&2u16.to_le_bytes()); // sections
    put(&[0; 12]);
    put(&(if wide { 240u16 } else { 224 }).to_le_bytes());
    put(&0x0022u16.to_le_bytes()); // executable, large addresses
    put(&(if wide { 0x20bu16 } else { 0x10b }).to_le_bytes());
    put(&[0; 2]);
    for number in [0x1000u32, 0, 0x1_2000, 0x1000, 0x1000] {
        put(&number.to_le_bytes()); // code, data, no data, entry point, base of code
    }
    if wide {
        put(&0u64.to_le_bytes()); // image base
    } else {
        put(&[0; 8]); // base of data, image base
    }
    for number in [0x1000u32, 0x200, 0, 0, 0, 0, 0x1_4000, 0x200, 0] {
        put(&number.to_le_bytes()); // alignments, versions, sizes of image and headers, checksum
    }
    put(&10u16.to_le_bytes()); // an EFI application
    put(&0x0100u16.to_le_bytes()); // bears pages that cannot be executed
    put(&vec![0; if wide { 32 } else { 16 }]); // stack and heap
    put(&0u32.to_le_bytes());
    put(&16u32.to_le_bytes());
    put(&[0; 16 * 8]);
    let sections = [
        (
            b".text\0\0\0",
            0x1000,
            0x1000,
            code_len as u32,
            0x200,
            0x6000_0020,
        ),
        (b".data\0\0\0", 0x1_2000, 0x2000, 0, 0, 0xc000_0080_u32),
    ];
    for (name, len, address, raw_len, raw_at, flags) in sections {
        put(name);
        for number in [len, address, raw_len, raw_at, 0, 0, 0, flags] {
            put(&number.to_le_bytes());
        }
    }
    image.resize(HEADERS_BYTES, 0);
    image.extend_from_slice(code);
    image.resize(HEADERS_BYTES + code_len, 0);
    image
}

/// The digest by which Secure Boot knows an image (Authenticode): of all but two fields of its header.
fn digest(arch: &str, image: &[u8]) -> Sha256 {
    let unhashed = if arch == "i386" { UNHASHED_32 } else { UNHASHED_64 };
    let mut hashed = image.to_vec();
    for (at, len) in unhashed.into_iter().rev() {
        hashed.drain(at..at + len);
    }
    Sha256::of(&hashed)
}

fn signature_list(digest: &Sha256) -> Vec<u8> {
    let kind = Guid::literal("c1c41626-504c-4092-aca9-41f936934328");
    let mut list = kind.to_bytes().to_vec();
    for number in [76u32, 0, 48] {
        list.extend_from_slice(&number.to_le_bytes());
    }
    list.extend_from_slice(&OWN.to_bytes());
    list.extend_from_slice(&digest.to_bytes());
    list
}
