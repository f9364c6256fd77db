//! What to do about a finding, as data: actions with their subjects.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One thing to do. A subject that is `None` is not known where the remedy was made; an interface asks for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// Repeat the request with this input.
    Give(Input),
    /// List this host's guests.
    ListGuests,
    /// Look at what a file is.
    Inspect {
        /// The file or folder.
        path: Option<String>,
    },
    /// Look at everything that is in an image.
    InspectTree {
        /// The image.
        path: Option<String>,
    },
    /// Find a text in an image.
    FindText,
    /// Make an offer of a guest's firmware.
    MakeOffer {
        /// The guest.
        guest: Option<String>,
    },
    /// Make files of the right size for a guest that is about to arrive, from an offer.
    Prepare {
        /// The offer's file.
        offer: Option<String>,
        /// Whether a variable store is to be made as well.
        with_vars: bool,
    },
    /// Store the bytes that a guest runs.
    Capture {
        /// The guest.
        guest: Option<String>,
    },
    /// Store what a guest brought along.
    Harvest {
        /// The guest.
        guest: Option<String>,
    },
    /// Migrate a guest together with its firmware.
    Migrate,
    /// Migrate a guest and give it another build on the way.
    MigrateWithUpdate,
    /// See which updates of running guests are known.
    UpdateStatus,
    /// Convert a variable store.
    ConvertVars {
        /// The store.
        vars: Option<String>,
        /// What it becomes.
        target: Option<ConvertTarget>,
    },
    /// Repair a variable store; a backup is kept.
    RepairVars {
        /// The store.
        vars: Option<String>,
    },
    /// Bring a backup of a variable store back.
    RestoreVars {
        /// The store.
        vars: Option<String>,
    },
    /// List the backups of a variable store.
    ListBackups {
        /// The store.
        vars: Option<String>,
    },
    /// List variables.
    ListVars {
        /// The store.
        vars: Option<String>,
    },
    /// Delete variables.
    DeleteVars {
        /// The store.
        vars: Option<String>,
    },
    /// Take variables over from another store.
    ImportVars,
    /// Compare two variable stores.
    DiffVars {
        /// The one.
        from: Option<String>,
        /// The other.
        to: Option<String>,
    },
    /// Set `SecureBootEnable`, so that Secure Boot is on where keys are enrolled.
    EnableSecureBoot {
        /// The store.
        vars: Option<String>,
    },
    /// Look at what Secure Boot trusts, and enrol keys.
    SecureBootKeys,
    /// Import a build into the store.
    ImportBuild {
        /// CODE.
        code: Option<String>,
        /// Whether a template of its variable store goes with it.
        with_template: bool,
    },
    /// Export a build from the store of the host that has it.
    ExportBuild,
    /// Look at a stored build.
    ShowBuild,
    /// List stored builds.
    ListBuilds,
    /// List landings.
    ListLandings,
    /// Verify the store.
    VerifyStore,
    /// Take firmware or variables out of a saved guest.
    ExtractSaved {
        /// The saved guest.
        file: Option<String>,
        /// Which part.
        part: Option<String>,
    },
    /// Make the definition in a save image point at stored firmware.
    AdoptSaved {
        /// The image.
        file: Option<String>,
    },
    /// Plan how a saved guest is restored.
    PlanRestore {
        /// The saved guest.
        file: Option<String>,
    },
    /// Make an offer of a saved guest.
    OfferSaved {
        /// The saved guest.
        file: Option<String>,
    },
    /// See which files can hold a saved guest.
    SavedFormats,
    /// Install the hook of libvirt.
    InstallLibvirtHook,
    /// Let the firmware of a libvirt domain follow it.
    AdoptDomain(DomainSubject),
    /// Give a domain's definition back as it was.
    UnadoptDomain(DomainSubject),
    /// See how Flashmoor and libvirt stand.
    LibvirtStatus,
    /// Start the agent now and at every boot.
    EnableAgent,
    /// List the names of known builds.
    ListCatalogue,
    /// Read about a finding.
    Explain {
        /// Its code.
        code: Option<String>,
    },
    /// Record what real QEMU does.
    RecordAtlas,
    /// Change how QEMU starts the guest.
    Configure(GuestSetting),
    /// Shut a guest down from inside.
    ShutDown {
        /// The guest.
        guest: Option<String>,
    },
    /// Convert the file behind a flash device to another encoding.
    ConvertImage {
        /// The file.
        image: Option<String>,
        /// The encoding, by QEMU's name.
        format: String,
    },
    /// Pad a copy of a firmware file with zeros.
    PadCopy(PaddedSize),
    /// Start a variable store from the template of a build.
    CopyTemplate {
        /// The template.
        template: Option<String>,
        /// The store.
        vars: Option<String>,
    },
    /// Copy a guest's variable store to the destination.
    CopyVars {
        /// Where it goes there.
        to: Option<String>,
    },
    /// Ask a QEMU which machine types it has.
    ListMachineTypes,
    /// Ask a QEMU for its version.
    ShowQemuVersion,
    /// In the guest: suspend BitLocker, so that the next boot needs no recovery key.
    SuspendBitLocker,
    /// In the guest: see which ways to open a LUKS device are enrolled.
    ListLuksKeys,
}

/// How QEMU starts a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "setting", content = "value", rename_all = "snake_case")]
pub enum GuestSetting {
    /// The machine type by its full name, or `q35`.
    MachineType(String),
    /// A q35 machine with system management mode.
    Q35WithSmm,
    /// Whether only management mode may write flash.
    SecureFlash(bool),
    /// No suspend to RAM.
    NoS3,
    /// CODE and VARS, as two flash devices.
    FlashDevices,
    /// VARS, as a flash device.
    VarsDevice,
    /// Firmware in ROM.
    Bios,
    /// What the file behind a flash device is said to be.
    FileFormat(String),
    /// The file that a device's option ROM is loaded from.
    RomFile,
    /// Where on its bus a device sits.
    DeviceAddress(String),
    /// That QEMU waits for a migration.
    AwaitMigration,
}

/// What a file is padded to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "to", content = "size_bytes", rename_all = "snake_case")]
pub enum PaddedSize {
    /// This many bytes.
    Bytes(u64),
    /// The next multiple of this many bytes.
    MultipleOf(u64),
}

/// What a variable store is converted to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConvertTarget {
    /// A layout by its name, or `json`.
    Layout(String),
    /// The form that this CODE file reads.
    For(Option<String>),
}

/// Which libvirt domains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "domain", content = "name", rename_all = "snake_case")]
pub enum DomainSubject {
    /// One, by name.
    Named(String),
    /// All.
    All,
}

/// Something that the user may say with a request. Each interface has its own name for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "input", content = "value", rename_all = "snake_case")]
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
    Smm(String),
    /// Whether only management mode may write flash, and the value to give.
    SecureFlash(String),
    /// Whether the machine offers suspend to RAM, and the value to give.
    S3(String),
    /// Whether the guest has a TPM, and the value to give.
    Tpm(String),
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PieceKey {
    /// The GUID of its file.
    File,
    /// The GUID, name or offset of its volume.
    Volume,
    /// Its number among those that are meant.
    Nth,
}
