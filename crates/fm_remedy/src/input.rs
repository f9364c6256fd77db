//! What a request can be told and was not: on a command line an option, in a form a field.

use alloc::string::String;
use core::fmt;

/// Something that the user may say with a request. Each interface has its own name for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Input {
    /// The guest: pid, name, uuid or QMP socket.
    Guest,
    /// The source's CODE.
    SourceCode,
    /// The destination's CODE.
    DestinationCode,
    /// The source's variable store.
    SourceVars,
    /// The destination's variable store.
    DestinationVars,
    /// That there is no variable store.
    NoVars,
    /// The destination as a folder of firmware.
    DestinationFirmwareFolder,
    /// The destination as a guest.
    DestinationGuest,
    /// The destination as an offer.
    DestinationOffer,
    /// The source as a file for `-bios`.
    SourceBios,
    /// The destination as a file for `-bios`.
    DestinationBios,
    /// The folder of the destination's option ROMs.
    DestinationRoms,
    /// The machine type, such as this one.
    MachineType(Option<String>),
    /// The machine type at the source.
    SourceMachine,
    /// The machine type at the destination.
    DestinationMachine,
    /// QEMU's version at the source.
    SourceQemu,
    /// QEMU's version at the destination.
    DestinationQemu,
    /// Whether the machine has system management mode, and the value to give.
    Smm(&'static str),
    /// Whether only management mode may write flash, and the value to give.
    SecureFlash(&'static str),
    /// Whether the machine offers suspend to RAM, and the value to give.
    S3(&'static str),
    /// Whether the guest has a TPM, and the value to give.
    Tpm(&'static str),
    /// How the guest's memory is encrypted.
    Confidential,
    /// The path of the variable store at the destination.
    VarsPath,
    /// That what stands at a path is set aside as a backup first.
    Replace,
    /// Where the result goes.
    Output,
    /// The layout of a variable store.
    Layout,
    /// A file whose layout and form the result gets.
    Like,
    /// The namespace of a variable.
    Guid,
    /// A variable's attributes.
    Attributes,
    /// Which backup.
    Backup,
    /// That a file which a guest has open is changed all the same.
    EvenIfInUse,
    /// The keys to enrol.
    Keys,
    /// Which of several, by its number, up to this one where known.
    Nth(Option<usize>),
    /// The other channels of a multifd capture.
    Channels,
    /// The snapshot of a qcow2 image.
    Snapshot,
    /// The folder of the store.
    StoreFolder,
    /// The address that a migration's stream takes.
    MigrationUri,
    /// That the guest stands still before its memory is sent.
    StopFirst,
    /// The digest that CODE must have.
    ExpectedDigest,
    /// A QEMU program.
    QemuProgram,
    /// A folder with firmware.
    FirmwareFolder,
    /// A name and version for a build.
    BuildName,
    /// The root of another system, or its package manager.
    SystemRoot,
    /// That a hook refuses instead of reporting.
    Blocking,
    /// The template that new variable stores are made from.
    VarsTemplate,
    /// That what speaks against it is overruled.
    Force,
    /// That the guest does not suspend to RAM before its next reset.
    NeverSuspends,
    /// That the guest's boot is over.
    HasBooted,
    /// A QMP socket of the guest.
    Monitor,
    /// How long is waited.
    Wait,
    /// Which build of an OCI layout.
    LayoutTag,
    /// Which piece of an image, where several are meant.
    Piece {
        /// What the piece is told apart by.
        by: PieceKey,
        /// Its value.
        value: String,
        /// The piece in a few words, if one piece alone has this value.
        about: Option<String>,
    },
}

/// What one piece of an image is told apart from others by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PieceKey {
    /// The GUID of its file.
    File,
    /// The GUID, name or offset of its volume.
    Volume,
    /// Its number among those that are meant.
    Nth,
}

/// What was asked for, in words that hold for every interface.
impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Guest => "the guest",
            Self::SourceCode => "the source's CODE",
            Self::DestinationCode => "the destination's CODE",
            Self::SourceVars => "the source's variable store",
            Self::DestinationVars => "the destination's variable store",
            Self::NoVars => "the absence of a variable store",
            Self::DestinationFirmwareFolder => "the destination's firmware folder",
            Self::DestinationGuest => "the destination's guest",
            Self::DestinationOffer => "the destination's offer",
            Self::SourceBios => "the source's -bios file",
            Self::DestinationBios => "the destination's -bios file",
            Self::DestinationRoms => "the destination's option ROMs",
            Self::MachineType(_) => "the machine type",
            Self::SourceMachine => "the source's machine type",
            Self::DestinationMachine => "the destination's machine type",
            Self::SourceQemu => "the source's QEMU version",
            Self::DestinationQemu => "the destination's QEMU version",
            Self::Smm(_) => "system management mode",
            Self::SecureFlash(_) => "secure flash",
            Self::S3(_) => "suspend to RAM",
            Self::Tpm(_) => "the TPM",
            Self::Confidential => "the memory encryption",
            Self::VarsPath => "the path of the variable store",
            Self::Replace => "the replacement of what is there",
            Self::Output => "the output",
            Self::Layout => "the layout",
            Self::Like => "the file to be like",
            Self::Guid => "the variable's namespace",
            Self::Attributes => "the variable's attributes",
            Self::Backup => "the backup",
            Self::EvenIfInUse => "the change of a file in use",
            Self::Keys => "the keys",
            Self::Nth(_) => "the number",
            Self::Channels => "the channels",
            Self::Snapshot => "the snapshot",
            Self::StoreFolder => "the store's folder",
            Self::MigrationUri => "the migration's address",
            Self::StopFirst => "the stop before memory is sent",
            Self::ExpectedDigest => "the expected digest",
            Self::QemuProgram => "the QEMU program",
            Self::FirmwareFolder => "the firmware folder",
            Self::BuildName => "the build's name",
            Self::SystemRoot => "the system's root",
            Self::Blocking => "the refusal by the hook",
            Self::VarsTemplate => "the template of variable stores",
            Self::Force => "the overruling",
            Self::Monitor => "a QMP socket of the guest",
            Self::HasBooted => "the word that the guest's boot is over",
            Self::NeverSuspends => "the word that the guest does not suspend",
            Self::Wait => "how long to wait",
            Self::LayoutTag => "the build of an OCI layout",
            Self::Piece { .. } => "the piece of an image",
        })
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;

    use super::*;

    #[test]
    fn an_input_is_named_in_words_that_fit_into_a_line() {
        assert_eq!(Input::SourceQemu.to_string(), "the source's QEMU version");
        assert_eq!(Input::Smm("on").to_string(), "system management mode");
        assert_eq!(alloc::format!("{:>12}|", Input::Keys), "    the keys|");
    }
}
