//! `flashmoor/atlas/1`: what was done with real QEMU, and what happened.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::flash_writes::FlashRun;
use crate::{Schema, document};

/// `flashmoor/atlas/1`: a file of observations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Atlas {
    /// `flashmoor/atlas/1`.
    pub schema: Schema<Atlas>,
    /// What the observations have in common.
    pub group: Group,
    /// What builds wrote to their flash: where the stores come from that power cuts leave.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recordings: Vec<FlashRecording>,
    /// In the order in which they were made.
    pub observations: Vec<Observation>,
}

document!(Atlas = "flashmoor/atlas/1");

/// What a build wrote to its VARS while it booted on a nearly full store and replaced a variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FlashRecording {
    /// The day it was recorded, UTC.
    pub date: String,
    /// The machine, with its files as they were before.
    pub source: Side,
    /// Digest of VARS before the first write.
    pub before_sha256: String,
    /// Digest of VARS as QEMU left it.
    pub after_sha256: String,
    /// Every write, in order.
    pub runs: Vec<FlashRun>,
}

/// One thing that was done with real QEMU, and what happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Observation {
    /// What was done, in a stable word: the same plan gives the same names.
    pub id: String,
    /// The day it was done, UTC.
    pub date: String,
    /// The machine that ran the guest first.
    pub source: Side,
    /// The machine that the guest moved to; the same again for a cold boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<Side>,
    /// What happened.
    pub seen: Seen,
}

/// A machine as it was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Side {
    /// QEMU's version, as it reports it.
    pub qemu: String,
    /// The machine type, versioned, with its options.
    pub machine: String,
    /// Whether only management mode may write flash.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub secure_flash: bool,
    /// Whether suspend to RAM was switched off.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub s3_off: bool,
    /// Flash unit 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Image>,
    /// Flash unit 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vars: Option<Image>,
    /// Where power was cut before, while the same build wrote to the file: only so many of its recorded writes are in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power_cut: Option<PowerCut>,
    /// How QEMU treats its file, if it may not keep what the guest writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vars_access: Option<VarsAccess>,
    /// The file given to `-bios`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bios: Option<Image>,
    /// Size of the option ROM of a network card; without one there is no card.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rom_bytes: Option<u64>,
    /// Whether the processor's own virtualization ran it, and not emulation.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub kvm: bool,
}

/// A file that was used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Image {
    /// Its path below the firmware folder.
    pub name: String,
    /// How the copy that was used differs from it: `erased`, `zeros`, `cut` and so on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
    /// Digest of the file, before any change.
    pub sha256: String,
    /// Size of the file that was used.
    pub size_bytes: u64,
}

/// What was done to a copy of a file before it was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Every byte 0xff.
    Erased,
    /// Every byte zero.
    Zeros,
    /// A byte of the volume header flipped.
    VolumeDamaged,
    /// A byte of the store header's GUID flipped.
    StoreDamaged,
    /// The FTW working header zeroed.
    WithoutFtw,
    /// The store header says that variables are plain.
    Plain,
    /// The last 1000 bytes cut off.
    Cut,
    /// The second half cut off.
    Halved,
    /// Converted to qcow2.
    Qcow2,
    /// A sound store with variables of the atlas's own; what the following differ from.
    Filled,
    /// The same variables, and deleted ones behind them up to the end: the next boot must reclaim.
    NearlyFull,
    /// A reclaim was interrupted with its copy whole in the spare, before the first block was erased.
    SpareMainOld,
    /// The same with all blocks erased.
    SpareMainErased,
    /// The same with the first blocks written again.
    SpareMainHalf,
    /// A reclaim was interrupted before its copy in the spare was whole.
    SpareHalf,
    /// In the midst of the list a name whose size leaves out the terminator.
    NameUnterminated,
    /// In the midst of the list an empty name.
    NameEmpty,
    /// In the midst of the list a name whose first character is a terminator.
    NameBlank,
    /// In the midst of the list a name with a terminator in its midst.
    NameSplit,
    /// In the midst of the list a name of an odd size.
    NameOdd,
    /// In the midst of the list a state that edk2 never writes.
    StateOdd,
    /// In the midst of the list a variable with more data than the store is long.
    DataBeyond,
    /// In the midst of the list a header of which nothing but the start was written.
    HeaderTorn,
    /// A page of zeros in the list.
    ZeroPage,
    /// Zeros behind the list, in the FTW areas too.
    FreeZeros,
    /// The volume's block map names blocks of twice the length.
    BlockMap,
    /// The volume's attributes have one more.
    VolumeAttributes,
    /// The store header names a smaller size, with room behind the list.
    StoreSizeSmall,
    /// The store header names the size that the list has.
    StoreSizeFull,
    /// The store header names a size that reaches beyond the store's area.
    StoreSizeLarge,
    /// The file was padded with zeros to 1 MiB.
    PaddedTo1M,
    /// The file was padded with zeros to 4 MiB.
    PaddedTo4M,
}

/// A moment of edk2's writing at which the power is cut: in a reclaim, which copies the store into the spare and then back
/// over the main area (`FtwWrite`, `FlushSpareBlockToTargetBlock`), or while a variable is replaced (`UpdateVariable`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PowerCut {
    /// Half of the copy is in the spare.
    SpareHalf,
    /// The copy is whole, and the queue says so; the main area is as it was.
    SpareComplete,
    /// The first block of the main area is erased.
    MainErasing,
    /// All blocks of the main area are erased.
    MainErased,
    /// Half of the volume header is in the main area again.
    MainHeader,
    /// Half of the first variable's header is.
    MainFirstVariable,
    /// Half of the first variable's name is.
    MainFirstName,
    /// Half of the list of variables is.
    MainHalf,
    /// All of it is; the queue does not say so yet.
    MainWritten,
    /// The queue says so; the write is not closed yet.
    MainComplete,
    /// Outside a reclaim: the block is erased that a variable is being written into, as builds for Arm do that cannot write
    /// less than a block (`NorFlashWriteSingleBlock`).
    BlockErased,
    /// The variable's old value is marked as about to be replaced.
    OldMarked,
    /// Half of the new one's header is written.
    NewHeader,
    /// All of it is, and marked as valid.
    NewHeaderValid,
    /// Half of its data is.
    NewData,
    /// All of it is, and marked as added; the old one is not marked as deleted yet.
    NewAdded,
}

/// How QEMU is told to treat the VARS file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum VarsAccess {
    /// `readonly=on`.
    ReadOnly,
    /// `snapshot=on`: what is written is dropped.
    Snapshot,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Seen {
    /// A new QEMU process started the firmware on the store.
    ColdBoot {
        /// How far it came.
        reached: Reached,
        /// Whether a variable that the guest's shell set lies in the file afterwards; absent where the
        /// build has no shell to ask.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        persistent: Option<bool>,
        /// What became of the file.
        store: StoreFate,
        /// Variables in the file before and after.
        variables: [u32; 2],
    },
    /// Two new QEMU processes, one after the other, started the firmware on the store.
    TwoBoots {
        /// How many of the store's own variables lay in one of its places before.
        held: u32,
        /// What each boot came to.
        boots: [BootSeen; 2],
        /// Whether the second boot reads what the first one's shell set; absent where it was not asked.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reads_first: Option<bool>,
        /// A boot on the same store after `vars repair`; absent where both boots went well or it changes nothing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        repaired: Option<RepairSeen>,
    },
    /// Two new QEMU processes, one after the other, started the firmware on the store that a power cut left.
    PowerCut {
        /// How many of the recorded writes are in it.
        after_writes: u64,
        /// How many of the store's own variables there were when power was cut.
        held: u32,
        /// How many of them lie in one of its places then.
        recoverable: u32,
        /// What each boot came to.
        boots: [BootSeen; 2],
        /// Whether the second boot reads what the first one's shell set; absent where it was not asked.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reads_first: Option<bool>,
        /// A boot on the same store after `vars repair`; absent where that finds nothing to do.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        repaired: Option<RepairSeen>,
    },
    /// The guest was migrated.
    Migration {
        /// Whether it arrived.
        completed: bool,
        /// The first line in which the destination's QEMU refused.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
        /// Whether the guest runs on at the source after a failure.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source_runs_on: Option<bool>,
        /// Whether the destination's CODE flash holds the source's bytes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        runs_source_code: Option<bool>,
        /// Whether the processor executed in flash, which is where SEC runs, when the guest was stopped.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        in_sec: Option<bool>,
        /// How far the guest came at the destination.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reached: Option<Reached>,
        /// How far it came after a reset at the destination.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reached_after_reset: Option<Reached>,
        /// Whether the destination's CODE flash still holds the source's bytes after the reset.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        still_source_code: Option<bool>,
    },
    /// The guest set a variable, and its store was converted and booted on another layout.
    Converted {
        /// How far the firmware came on the converted store.
        reached: Reached,
        /// Whether the guest's shell there prints the variable that it set before.
        reads_back: bool,
        /// Whether a variable that the shell set there lies in the file afterwards.
        persistent: bool,
        /// Variables in the store before it was converted.
        variables: u32,
        /// Those that are not there after the boot, by name.
        lost: Vec<String>,
    },
    /// CODE flash, its last page excepted, was overwritten in the source's memory, and the guest sent on.
    Overwritten {
        /// Whether that was done before the first instruction.
        from_start: bool,
        /// Instants before, at which the processor was found executing in flash.
        in_flash: u32,
        /// Instants in a row, at which neither it nor its table of segments was found there.
        in_memory: u32,
        /// Whether the destination's flash holds what was written.
        arrived: bool,
        /// How far the guest came at the destination.
        reached: Reached,
    },
    /// The guest's shell set a variable while it migrated, after every page of its VARS had been sent.
    WrittenLate {
        /// Whether a variable that it set before the migration is in the destination's flash.
        early_arrived: bool,
        /// Whether the late one is in the source's flash.
        written: bool,
        /// Whether the late one is in the destination's flash.
        late_arrived: bool,
    },
    /// The guest was given another build while it ran, and reset.
    Updated(UpdateSeen),
}

/// One of two boots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BootSeen {
    /// How far it came.
    pub reached: Reached,
    /// Whether the guest's shell reads the last of the store's own variables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reads_last: Option<bool>,
    /// Whether a variable that its shell set lies in the file afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent: Option<bool>,
    /// Whether a byte of the file changed.
    pub written: bool,
    /// How many of the store's own variables a reader of the main area finds in the file afterwards.
    pub visible: u32,
    /// How many lie in one of the file's places.
    pub recoverable: u32,
}

/// A boot on a repaired store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RepairSeen {
    /// How far it came.
    pub reached: Reached,
    /// How many of the store's own variables lie in the file afterwards.
    pub kept: u32,
}

/// How far firmware came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reached {
    /// Its shell.
    Shell,
    /// Its boot manager, in a build without a shell.
    BootManager,
    /// It printed a processor exception and stopped.
    Exception,
    /// It reset the machine.
    Reset,
    /// It printed nothing more for as long as others need to boot three times over.
    Silence,
}

/// What became of a variable store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StoreFate {
    /// Not a byte changed.
    Untouched,
    /// Still a store of the same layout.
    Kept,
    /// A store, where every byte was the same before.
    Created,
    /// A store of another layout, or one in the place of one that was damaged.
    Reformatted,
    /// No store any more.
    Destroyed,
}

/// What observations have in common; one file each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// Every build on every store.
    ColdBoot,
    /// Stores that are blank or damaged.
    DamagedStore,
    /// Every build to every build, between QEMU versions.
    BuildMigration,
    /// Machines that differ in something else than the build.
    MachineMigration,
    /// Stores converted from one layout to another, and booted there.
    Conversion,
    /// Guests whose CODE flash is overwritten while they run.
    Overwritten,
    /// Guests that write a variable while they migrate.
    LateWrite,
    /// Stores built as an interrupted reclaim leaves them.
    InterruptedWrite,
    /// Stores that a power cut left in the midst of what a build was recorded writing.
    PowerCut,
    /// Stores with damage inside their list of variables.
    DamagedList,
    /// Stores whose headers say something odd.
    OddHeader,
    /// Files that are longer than the store in them.
    PaddedFile,
    /// Files that QEMU may not write to.
    NotWritten,
    /// Guests that are given another build while they run.
    Updated,
}

/// How a running guest is given another build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UpdateWay {
    /// On the way to another process, in the stream.
    Migration,
    /// In the memory of its process, while it stands still. Under emulation it then moves to a fresh process, since
    /// what was translated from flash stays in the first one.
    InPlace,
}

/// What became of a guest that was given another build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UpdateSeen {
    /// How it was given it.
    pub way: UpdateWay,
    /// Whether its flash held the new build before the reset.
    pub arrived: bool,
    /// How far it came after a reset.
    pub reached_after_reset: Reached,
    /// Whether a variable that its shell set before the update is in its flash then.
    pub keeps_before: bool,
    /// Whether one is that its shell set between the update and the reset.
    pub keeps_between: bool,
    /// How far it came after another reset.
    pub reached_again: Reached,
}

impl Group {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::PowerCut,
        Self::InterruptedWrite,
        Self::DamagedList,
        Self::OddHeader,
        Self::PaddedFile,
        Self::NotWritten,
        Self::Conversion,
        Self::Overwritten,
        Self::LateWrite,
        Self::Updated,
        Self::DamagedStore,
        Self::MachineMigration,
        Self::BuildMigration,
        Self::ColdBoot,
    ];

    /// The name of its file, without the ending.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ColdBoot => "cold_boot",
            Self::DamagedStore => "damaged_store",
            Self::BuildMigration => "build_migration",
            Self::MachineMigration => "machine_migration",
            Self::Conversion => "conversion",
            Self::Overwritten => "overwritten",
            Self::LateWrite => "late_write",
            Self::InterruptedWrite => "interrupted_write",
            Self::PowerCut => "power_cut",
            Self::DamagedList => "damaged_list",
            Self::OddHeader => "odd_header",
            Self::PaddedFile => "padded_file",
            Self::NotWritten => "not_written",
            Self::Updated => "updated",
        }
    }
}

impl PowerCut {
    /// All of them, in the order of the writes.
    pub const ALL: [Self; 16] = [
        Self::SpareHalf,
        Self::SpareComplete,
        Self::MainErasing,
        Self::MainErased,
        Self::MainHeader,
        Self::MainFirstVariable,
        Self::MainFirstName,
        Self::MainHalf,
        Self::MainWritten,
        Self::MainComplete,
        Self::BlockErased,
        Self::OldMarked,
        Self::NewHeader,
        Self::NewHeaderValid,
        Self::NewData,
        Self::NewAdded,
    ];
}

impl UpdateSeen {
    /// Whether nothing was lost on the way.
    #[must_use]
    pub const fn works(&self) -> bool {
        self.arrived
            && self.reached_after_reset.is_up()
            && self.keeps_before
            && self.keeps_between
            && self.reached_again.is_up()
    }
}

impl Reached {
    /// Whether a guest would have been started.
    #[must_use]
    pub const fn is_up(self) -> bool {
        matches!(self, Self::Shell | Self::BootManager)
    }
}
