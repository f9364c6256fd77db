//! Why a variable store could not be read or changed, with what to do about it.

use std::path::{Path, PathBuf};

use fm_formats::Guid;
use fm_formats::efi::{Name, ParseNameError};
use fm_images::json_store::JsonStoreError;
use fm_remedy::{Action, Class, Failure, Input, Remedy};
use fm_varstore::EmitError;

/// A failure of a `vars` job. Whatever it says, the files are as they were.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written.
    #[error("cannot {action} {}", path.display())]
    File {
        /// The verb.
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A running guest could not be found or read.
    #[error(transparent)]
    Guest(#[from] fm_host::Error),
    /// Neither a file nor a guest.
    #[error("{} is neither a file nor a running guest", named.display())]
    Neither {
        /// What was given.
        named: PathBuf,
    },
    /// A running guest was named where a file is to be changed.
    #[error("{guest} is running, and only the file of a guest that is off can be changed")]
    RunningGuest {
        /// Which guest.
        guest: String,
        /// Its VARS file.
        path: Option<PathBuf>,
    },
    /// The file is no variable store.
    #[error("{} is no variable store", path.display())]
    Parse {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        source: fm_formats::Error,
    },
    /// The file is of another kind.
    #[error("{} is no variable store: {why}", path.display())]
    Foreign {
        /// Which file.
        path: PathBuf,
        /// What it is.
        why: String,
    },
    /// The file is an image that is not opened.
    #[error("cannot read variables from {}: {}", path.display(), unfit(.why))]
    Unfit {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: Box<fm_images::Error>,
    },
    /// The file is JSON, but no variables in it.
    #[error("{} holds no variables in JSON", path.display())]
    Json {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// A JSON document of a later kind.
    #[error("{} is a JSON of variables of version {version}; version 2 is known", path.display())]
    JsonVersion {
        /// Which file.
        path: PathBuf,
        /// What it says it is.
        version: u64,
    },
    /// A JSON document of another kind.
    #[error("{} holds no variables: {why}", path.display())]
    JsonShape {
        /// Which file.
        path: PathBuf,
        /// What it lacks.
        why: JsonStoreError,
    },
    /// A name that JSON cannot say.
    #[error("{guid}-{name} cannot be written to {}: JSON cannot say half a surrogate pair", path.display())]
    JsonName {
        /// Which file.
        path: PathBuf,
        /// The variable's namespace.
        guid: Guid,
        /// Its name.
        name: Name,
    },
    /// A value in a JSON document cannot be used.
    #[error("{} of variable {name:?} in {} cannot be used: {why}", field, path.display())]
    JsonField {
        /// Which file.
        path: PathBuf,
        /// Which variable.
        name: String,
        /// Which field.
        field: &'static str,
        /// What is wrong.
        why: String,
    },
    /// The variables can't go where they should.
    #[error("the variables cannot be written to {}", path.display())]
    Emit {
        /// The destination.
        path: PathBuf,
        /// Which variable, which limit.
        source: EmitError,
    },
    /// The variable's name cannot be a name.
    #[error("{text:?} is no variable name")]
    Name {
        /// What was given.
        text: String,
        /// What is wrong with it.
        source: ParseNameError,
    },
    /// No such variable.
    #[error("{} has no variable {name}{}", path.display(), guid.map(|guid| format!(" of {guid}")).unwrap_or_default())]
    NotFound {
        /// Which store.
        path: PathBuf,
        /// Which name.
        name: Name,
        /// Which namespace, if one was asked for.
        guid: Option<Guid>,
    },
    /// The name is there under several GUIDs.
    #[error("{} has {name} under several GUIDs: {}", path.display(), guids.iter().map(Guid::to_string).collect::<Vec<_>>().join(", "))]
    Ambiguous {
        /// Which store.
        path: PathBuf,
        /// Which name.
        name: Name,
        /// Where it is.
        guids: Vec<Guid>,
    },
    /// Nobody told the namespace and the name has no well-known one.
    #[error("{name} has no well-known GUID")]
    NeedsGuid {
        /// Which name.
        name: Name,
    },
    /// A running program has the file open for writing.
    #[error("{} is open for writing in {holder}", path.display())]
    InUse {
        /// Which file.
        path: PathBuf,
        /// Process and pid, or what is known of the lock's holder.
        holder: String,
    },
    /// Another flashmoor works on it.
    #[error("{} is being changed by another flashmoor", path.display())]
    Busy {
        /// Which file.
        path: PathBuf,
    },
    /// Another file was put in its place since it was read.
    #[error("{} was replaced by somebody else meanwhile", path.display())]
    Changed {
        /// Which file.
        path: PathBuf,
    },
    /// The output is there already.
    #[error("{} exists", path.display())]
    Exists {
        /// Which file.
        path: PathBuf,
    },
    /// The store's layout is none that can be written.
    #[error("the layout of {} is not known", path.display())]
    UnknownLayout {
        /// Which file.
        path: PathBuf,
    },
    /// The source is of a kind that can't be changed this way.
    #[error("{} cannot be changed: {why}", path.display())]
    ReadOnlyKind {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: &'static str,
    },
    /// The store is damaged in a way that an edit would make permanent.
    #[error("{} is damaged: {damage}", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong first.
        damage: String,
    },
    /// A block device is written by the journal, and none was named.
    #[error("{} can only be written where it lies, and there is no folder for its backup", path.display())]
    NoJournal {
        /// Which device.
        path: PathBuf,
    },
    /// The folder of the journal is not ours alone.
    #[error("{} is not its owner's alone, and says what is to be written where", path.display())]
    OpenJournal {
        /// Which folder.
        path: PathBuf,
    },
    /// A record of the journal cannot be read.
    #[error("{} is no record of a write to a block device", path.display())]
    Journal {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// An image is longer than the device.
    #[error("{} has {size_bytes} bytes, and the image takes {needed_bytes}", path.display())]
    DeviceTooSmall {
        /// Which device.
        path: PathBuf,
        /// What the image takes.
        needed_bytes: u64,
        /// What the device has.
        size_bytes: u64,
    },
    /// A write was interrupted, and can be neither finished nor undone.
    #[error("a write of {since} to {} was interrupted, and can be neither finished nor undone: {why}", path.display())]
    Interrupted {
        /// Which device.
        path: PathBuf,
        /// When it began.
        since: String,
        /// Why not.
        why: String,
    },
    /// Writing failed, and so did putting back what was there.
    #[error("{} holds a part of what was written, and what it held could not be put back yet", path.display())]
    HalfWritten {
        /// Which device.
        path: PathBuf,
        /// Why writing failed.
        source: Box<Error>,
    },
    /// No backup to go back to.
    #[error("{} has no backup", path.display())]
    NoBackup {
        /// Which file.
        path: PathBuf,
    },
    /// What was written does not read back as what was meant.
    #[error("what was written for {} does not read back as what was meant", path.display())]
    Verify {
        /// Which file.
        path: PathBuf,
    },
    /// A program that is needed failed.
    #[error("{program} failed on {}: {why}", path.display())]
    Program {
        /// Which program.
        program: &'static str,
        /// On which file.
        path: PathBuf,
        /// What became of it.
        why: ProgramFailure,
    },
    /// A certificate, signature list or update cannot be used.
    #[error("{} is no certificate, signature list or signed update", path.display())]
    Signature {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        source: fm_formats::Error,
    },
    /// The layout of a CODE file cannot be told.
    #[error("the layout that {} needs cannot be told: {why}", path.display())]
    UnknownCode {
        /// Which file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// JSON has no layout, so nothing limits it.
    #[error("{} is JSON, which sets no limit to variables", path.display())]
    NoLimits {
        /// Which file.
        path: PathBuf,
    },
    /// A combined image would lose its firmware.
    #[error("{} is a combined image, and its firmware would be lost", path.display())]
    DropsCode {
        /// Which file.
        path: PathBuf,
    },
    /// A backup of something else than what is there.
    #[error("{} is no backup of {}: {why}", backup.display(), path.display())]
    OtherBackup {
        /// Which file.
        path: PathBuf,
        /// What was to be restored.
        backup: PathBuf,
        /// How they differ.
        why: String,
    },
    /// Nothing to enrol was named.
    #[error("no key is named that could be enrolled")]
    NothingToEnroll,
    /// A file of keys of which a part cannot be used.
    #[error("the keys in {} cannot be used: {why}", path.display())]
    KeyFile {
        /// Which file.
        path: PathBuf,
        /// Which part, and what is wrong with it.
        why: String,
    },
    /// A platform key that firmware would not take.
    #[error("{} is no platform key: {why}", path.display())]
    PlatformKey {
        /// Which file.
        path: PathBuf,
        /// What it is instead.
        why: String,
    },
}

/// What became of a program that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProgramFailure {
    /// It could not be started.
    #[error("{0}; it is in Debian's qemu-utils")]
    NotStarted(std::io::Error),
    /// It ended with these words.
    #[error("{0}")]
    Said(String),
}

/// Why an image is not opened, where the file is named already.
fn unfit(error: &fm_images::Error) -> String {
    match error {
        fm_images::Error::NotFirmware { why, .. } => why.to_string(),
        other => fm_remedy::one_line(other),
    }
}

impl From<fm_files::Error> for Error {
    fn from(error: fm_files::Error) -> Self {
        use fm_files::Error as E;
        match error {
            E::NotRegular { path } => Self::ReadOnlyKind {
                path,
                why: "it is not a regular file",
            },
            E::Exists { path } => Self::Exists { path },
            E::Busy { path } => Self::Busy { path },
            E::Changed { path } => Self::Changed { path },
            E::InUse { path, holder } => Self::InUse { path, holder },
            other => {
                let (action, path, source) = other.into_parts();
                Self::File { action, path, source }
            }
        }
    }
}

impl Failure for Error {
    fn class(&self) -> Class {
        match self {
            Self::Name { .. } | Self::NeedsGuid { .. } | Self::Ambiguous { .. } | Self::NothingToEnroll => {
                Class::Usage
            }
            Self::Verify { .. } => Class::Bug,
            _ => Class::Failed,
        }
    }

    fn remedy(&self) -> Option<Remedy> {
        let text = |path: &Path| path.to_str().map(ToOwned::to_owned);
        let convert = |target| Action::ConvertVars { vars: None, target };
        Some(match self {
            Self::Guest(error) => return error.remedy(),
            Self::Neither { .. } => Remedy::new(
                "give a VARS file, or a guest's name, pid, uuid or QMP socket",
                Action::ListGuests,
            ),
            Self::RunningGuest { path: Some(path), .. } => {
                Remedy::advice(format!("shut it down, then name its file {}", path.display()))
            }
            Self::RunningGuest { path: None, .. } => "shut it down, then name its VARS file".into(),
            Self::File { source, .. } => match source.kind() {
                std::io::ErrorKind::PermissionDenied => "run it as a user who may, or as root",
                std::io::ErrorKind::ReadOnlyFilesystem => {
                    "copy the file elsewhere first (`cp`), and change the copy"
                }
                std::io::ErrorKind::NotFound => {
                    "look at the path: the file, or the folder that it is to be in, is not there"
                }
                std::io::ErrorKind::InvalidInput | std::io::ErrorKind::IsADirectory => {
                    "name a VARS file, a combined image, a qcow2 of one, or a JSON of variables"
                }
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                    "make room in the folder of the file; the file is as it was"
                }
                _ => return None,
            }
            .into(),
            Self::Parse { .. } | Self::Foreign { .. } => {
                "give a VARS file, a combined image, a qcow2 of one, or a JSON of variables".into()
            }
            Self::Unfit { .. } => {
                "flash images stand alone; `qemu-img convert -O raw` makes one of an image that you trust"
                    .into()
            }
            Self::Json { .. }
            | Self::JsonField { .. }
            | Self::JsonShape { .. }
            | Self::JsonVersion { .. } => {
                "give a JSON of QEMU's uefi-vars device, of virt-firmware, or of a list of variables".into()
            }
            Self::JsonName { .. } => {
                Remedy::new("take it out of a copy first", Action::DeleteVars { vars: None })
            }
            Self::Emit { source, .. } => match source {
                EmitError::VariableTooLarge { .. } | EmitError::StoreTooSmall { .. } => Remedy::new(
                    "delete what is not needed from a copy first, or choose a larger layout",
                    Action::DeleteVars { vars: None },
                ),
                EmitError::Attributes { .. } => {
                    Remedy::give("name attributes that go together", [Input::Attributes])
                }
                EmitError::NoData { .. } => Remedy::new(
                    "to remove a variable delete it",
                    Action::DeleteVars { vars: None },
                ),
                EmitError::NotPlain { .. } => Remedy::new(
                    "make a store of today's form, which has a place for them",
                    convert(None),
                ),
                EmitError::Twice { .. } => Remedy::new(
                    "keep the one that the firmware shows",
                    Action::RepairVars { vars: None },
                ),
                _ => return None,
            },
            Self::Name { .. } => "UCS-2 characters only; others are written \\u{HEX}".into(),
            Self::NotFound { path, .. } => Remedy::new(
                "name a variable that is there",
                Action::ListVars { vars: text(path) },
            ),
            Self::Ambiguous { .. } | Self::NeedsGuid { .. } => Remedy::give("say which", [Input::Guid]),
            Self::InUse { .. } => Remedy::give(
                "shut the guest down first; if it is changed all the same, the guest goes on with the old content, \
                 its later changes go to the backup, and the new content counts from its next start",
                [Input::EvenIfInUse],
            ),
            Self::Busy { .. } => "try again when it is done".into(),
            Self::Changed { .. } => {
                "nothing was written; look what the file holds now, and run it again".into()
            }
            Self::Exists { .. } => Remedy::give(
                "name another output, or have the old file set aside as a backup",
                [Input::Output, Input::Replace],
            ),
            Self::UnknownLayout { path } => Remedy::new(
                "name the layout",
                Action::ConvertVars {
                    vars: text(path),
                    target: None,
                },
            ),
            Self::Damaged { path, .. } => {
                Remedy::new("save what can be saved", Action::RepairVars { vars: text(path) })
            }
            Self::NoJournal { .. } => "name the folder of the store, where it is kept".into(),
            Self::OpenJournal { .. } => {
                "look what is in it, then make it yours, mode 0700, and run it again".into()
            }
            Self::Journal { .. } => {
                "look at it: a later version may have written it; the backups beside it are whole images".into()
            }
            Self::DeviceTooSmall { .. } => "make the volume larger, or name another".into(),
            Self::Interrupted { path, .. } => Remedy::new(
                "look what it holds, and bring back the backup that was made before that write, or another",
                Action::RestoreVars { vars: text(path) },
            )
            .then(Action::ListBackups { vars: text(path) }),
            Self::HalfWritten { .. } => {
                "see to the disk, then run it again: what is next to write to it finishes or undoes this first".into()
            }
            Self::NoBackup { .. } => Remedy::give("name one", [Input::Backup]),
            Self::UnknownCode { .. } => Remedy::give("name a CODE file, or the layout", [Input::Layout]),
            Self::DropsCode { .. } => Remedy::give(
                "name another output, or a combined image like which it becomes: its firmware is put behind the variables",
                [Input::Output, Input::Like],
            ),
            Self::OtherBackup { .. } => Remedy::new(
                "make a store of it that fits, or take its variables over",
                convert(None),
            )
            .then(Action::ImportVars),
            Self::NoLimits { .. } => {
                Remedy::new("make the flash store that the question is about", convert(None))
            }
            Self::NothingToEnroll => Remedy::give("say which keys", [Input::Keys]),
            Self::KeyFile { .. } => "take that part out of the file, or give a sound copy of it".into(),
            Self::PlatformKey { .. } => {
                "give one X.509 certificate (PEM or DER), or a signature list of one".into()
            }
            Self::Signature { .. } => {
                "give a certificate (PEM or DER), a signature list (ESL) or a signed update (.auth)".into()
            }
            _ => return None,
        })
    }
}
