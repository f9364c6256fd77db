//! The types of files and sections, and the encodings of GUID-defined sections.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::Guid;

macro_rules! wire_kinds {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $value:literal, $text:literal;)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
            /// A value that the specification does not name.
            Other(u8),
        }

        impl $name {
            /// From the value in the header.
            #[must_use]
            pub const fn from_wire(value: u8) -> Self {
                match value {
                    $($value => Self::$variant,)*
                    other => Self::Other(other),
                }
            }

            /// The value in the header.
            #[must_use]
            pub const fn to_wire(self) -> u8 {
                match self {
                    $(Self::$variant => $value,)*
                    Self::Other(value) => value,
                }
            }

            /// The name in documents; `unknown` for values that the specification does not name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                    Self::Other(_) => "unknown",
                }
            }

            /// The kind that documents call `name`.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($text => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// The names of all kinds that the specification knows.
            pub const NAMES: &'static [&'static str] = &[$($text),*];
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    Self::Other(value) => write!(f, "unknown type {value:#04x}"),
                    known => f.pad(known.name()),
                }
            }
        }
    };
}

wire_kinds! {
    /// `EFI_FV_FILETYPE` (PI 1.8, volume 3, 2.1.4.1).
    FileKind {
        /// Bytes without sections.
        Raw = 0x01, "raw";
        /// Sections of any content.
        Freeform = 0x02, "freeform";
        /// The code at the reset vector.
        SecCore = 0x03, "sec-core";
        /// The PEI dispatcher.
        PeiCore = 0x04, "pei-core";
        /// The DXE dispatcher.
        DxeCore = 0x05, "dxe-core";
        /// A PEI module.
        Peim = 0x06, "peim";
        /// A DXE driver.
        Driver = 0x07, "driver";
        /// A PEIM and DXE driver in one.
        CombinedPeimDriver = 0x08, "peim-driver";
        /// A UEFI application.
        Application = 0x09, "application";
        /// A traditional MM driver.
        Mm = 0x0a, "mm-driver";
        /// A volume inside a file.
        VolumeImage = 0x0b, "volume-image";
        /// An MM and DXE driver in one.
        CombinedMmDxe = 0x0c, "mm-dxe-driver";
        /// The traditional MM core.
        MmCore = 0x0d, "mm-core";
        /// A standalone MM driver.
        MmStandalone = 0x0e, "mm-standalone-driver";
        /// The standalone MM core.
        MmCoreStandalone = 0x0f, "mm-standalone-core";
        /// Fills space.
        Pad = 0xf0, "pad";
    }
}

wire_kinds! {
    /// `EFI_SECTION_TYPE` (PI 1.8, volume 3, 2.1.5.1).
    SectionKind {
        /// Compressed by the standard method, or stored.
        Compression = 0x01, "compression";
        /// Encoded by a method that a GUID names.
        GuidDefined = 0x02, "guid-defined";
        /// May be dropped.
        Disposable = 0x03, "disposable";
        /// A PE/COFF image.
        Pe32 = 0x10, "pe32";
        /// Position-independent code.
        Pic = 0x11, "pic";
        /// A terse executable.
        Te = 0x12, "te";
        /// When a DXE driver may run.
        DxeDepex = 0x13, "dxe-depex";
        /// A build number and a text.
        Version = 0x14, "version";
        /// A name for people.
        Ui = 0x15, "ui";
        /// 16-bit code.
        Compatibility16 = 0x16, "compatibility16";
        /// A firmware volume.
        VolumeImage = 0x17, "volume-image";
        /// Bytes that a GUID types.
        FreeformGuid = 0x18, "freeform-guid";
        /// Bytes.
        Raw = 0x19, "raw";
        /// When a PEIM may run.
        PeiDepex = 0x1b, "pei-depex";
        /// When an MM driver may run.
        MmDepex = 0x1c, "mm-depex";
    }
}

impl FileKind {
    /// Whether the file is code that a dispatcher or the processor starts.
    #[must_use]
    pub const fn is_executable(self) -> bool {
        !matches!(
            self,
            Self::Raw | Self::Freeform | Self::VolumeImage | Self::Pad | Self::Other(_)
        )
    }
}

/// How a section's content is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// As it is, behind a header.
    Stored,
    /// LZMA.
    Lzma,
    /// LZMA over the x86 branch filter.
    LzmaX86,
    /// EFI 1.1 compression.
    Efi11,
    /// Tiano compression.
    Tiano,
    /// Brotli.
    Brotli,
    /// As it is, with a CRC-32 before it.
    Crc32,
    /// A method that this GUID names and we do not know.
    Unknown(Guid),
}

impl Encoding {
    /// `gLzmaCustomDecompressGuid`.
    pub const LZMA: Guid = Guid::literal("ee4e5898-3914-4259-9d6e-dc7bd79403cf");
    /// `gLzmaF86CustomDecompressGuid`.
    pub const LZMA_X86: Guid = Guid::literal("d42ae6bd-1352-4bfb-909a-ca72a6eae889");
    /// `gTianoCustomDecompressGuid`.
    pub const TIANO: Guid = Guid::literal("a31280ad-481e-41b6-95e8-127f4c984779");
    /// `gBrotliCustomDecompressGuid`.
    pub const BROTLI: Guid = Guid::literal("3d532050-5cda-4fd0-879e-0f7f630d5afb");
    /// `gEfiCrc32GuidedSectionExtractionGuid`.
    pub const CRC32: Guid = Guid::literal("fc1bcdb0-7d31-49aa-936a-a4600d9dd083");

    /// The encoding that a GUID-defined section's GUID names.
    #[must_use]
    pub fn of_guid(guid: Guid) -> Self {
        match guid {
            Self::LZMA => Self::Lzma,
            Self::LZMA_X86 => Self::LzmaX86,
            Self::TIANO => Self::Tiano,
            Self::BROTLI => Self::Brotli,
            Self::CRC32 => Self::Crc32,
            other => Self::Unknown(other),
        }
    }

    /// The name in documents.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Lzma => "lzma",
            Self::LzmaX86 => "lzma-x86",
            Self::Efi11 => "efi-1.1",
            Self::Tiano => "tiano",
            Self::Brotli => "brotli",
            Self::Crc32 => "crc32",
            Self::Unknown(_) => "unknown",
        }
    }

    /// Whether the content takes fewer bytes in the image than in memory.
    #[must_use]
    pub const fn compresses(self) -> bool {
        matches!(
            self,
            Self::Lzma | Self::LzmaX86 | Self::Efi11 | Self::Tiano | Self::Brotli
        )
    }
}
