//! Whether a guest may be given another build under way: every reason against it, from facts alone.

use std::fmt;

use fm_api::v1::update::{RefusalReason, Way};
use fm_host::processors::Processors;
use fm_judge::Outcome;
use fm_remedy::{Action, DomainSubject, Input, Remedy, Setting};

use crate::window::Window;

/// What is known of a guest, of the build that it is to get, and of who may stop it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// What the guest runs instead, if its firmware lies in no flash.
    pub no_flash: Option<String>,
    /// Whether CODE and VARS are one flash device, which the guest writes.
    pub combined: bool,
    /// The length of the guest's CODE.
    pub code_bytes: u64,
    /// The length of the build.
    pub build_bytes: u64,
    /// Whether the guest's CODE is that build already.
    pub same_build: bool,
    /// What the judge says of the build on this guest's variables, machine and devices.
    pub outcome: Outcome,
    /// `kvm`, `tcg`, …; nothing if that is not known.
    pub accelerator: Option<String>,
    /// How the guest's memory is encrypted, if it is.
    pub encryption: Option<String>,
    /// The file that CODE's memory is mapped from, if it is.
    pub mapped_file: Option<String>,
    /// Pids of other QEMU processes that have the guest's uuid.
    pub twins: Vec<u32>,
    /// Whether libvirt manages it, and whether its definition names stored builds.
    pub libvirt: Libvirt,
    /// Whether there is a monitor through which it can be stopped.
    pub has_monitor: bool,
    /// Its run state by its monitor's word.
    pub run_state: Option<String>,
    /// What runs that reads or sends its memory or disks, by QEMU's or libvirt's word.
    pub jobs: Vec<String>,
    /// Where its processors are.
    pub processors: Processors,
    /// Whether the machine offers suspend to RAM.
    pub s3: bool,
    /// What the user vouches for.
    pub vouched: Vouched,
}

/// Who manages a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Libvirt {
    /// Not libvirt.
    No,
    /// libvirt, and the domain is adopted.
    Adopted,
    /// libvirt, and it is not.
    NotAdopted {
        /// The domain.
        domain: String,
    },
}

/// What cannot be seen from outside, and somebody says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Vouched {
    /// The guest does not suspend to RAM before its next reset.
    pub never_suspends: bool,
    /// Its boot is over, though no system can be seen in it: it sits in a shell, or in a system that is not known as one.
    pub has_booted: bool,
    /// It is a guest of a test, which moves to another process before it resets.
    pub moves_before_reset: bool,
}

/// Why it must not be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The firmware lies in no flash.
    NoFlash(String),
    /// CODE and VARS are one device.
    Combined,
    /// The builds have different lengths.
    SizeDiffers {
        /// The guest's.
        code_bytes: u64,
        /// The build's.
        build_bytes: u64,
    },
    /// It has the build already.
    SameBuild,
    /// The build does not go with the guest.
    Incompatible,
    /// Nothing is known of whether it does.
    Unknown,
    /// The guest's memory is encrypted.
    Encrypted(String),
    /// CODE's memory is a file's.
    MappedFile(String),
    /// There are several QEMUs of the guest.
    Twins(Vec<u32>),
    /// libvirt starts it from files of its own.
    NotAdopted {
        /// The domain.
        domain: String,
    },
    /// Nobody here can stop it.
    NoMonitor,
    /// It is in a state in which it is not to be touched.
    RunState(String),
    /// It sleeps, and wakes up through the firmware.
    Suspended,
    /// Something reads or sends its memory or disks.
    Jobs(Vec<String>),
    /// A processor executes from flash, or has its segments there: it boots.
    Booting {
        /// Processors in flash.
        in_flash: usize,
        /// Tables of segments there.
        tables_in_flash: usize,
    },
    /// No processor is in a system: its firmware runs, or something that looks like it.
    InFirmware,
    /// Nobody could see where its processors are.
    ProcessorsUnseen,
    /// It may sleep and wake up through a build that it did not boot with.
    MaySuspend,
    /// Its processors are emulated, and what was translated from flash stays.
    Translated,
    /// It is not known how its processors are run.
    AcceleratorUnknown,
    /// It was to be idle, and worked as long as it was waited for.
    NotIdle {
        /// Of one processor, in the last look.
        percent: u64,
    },
    /// The window did not open as long as it was waited for.
    OutsideWindow {
        /// Minutes of a day (UTC): from, and to before.
        window: Window,
    },
    /// Its agent was to answer, and did not.
    AgentSilent,
}

/// Every reason against it, those first that nothing can be done about.
#[must_use]
pub fn decide(facts: &Facts, way: Way) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    if let Some(firmware) = &facts.no_flash {
        // Nothing else of it means anything then.
        return vec![Refusal::NoFlash(firmware.clone())];
    }
    let mut refuse = |refused: bool, refusal: Refusal| {
        if refused {
            refusals.push(refusal);
        }
    };
    refuse(facts.combined, Refusal::Combined);
    refuse(
        facts.code_bytes != facts.build_bytes,
        Refusal::SizeDiffers {
            code_bytes: facts.code_bytes,
            build_bytes: facts.build_bytes,
        },
    );
    refuse(facts.same_build, Refusal::SameBuild);
    refuse(facts.outcome == Outcome::Incompatible, Refusal::Incompatible);
    refuse(facts.outcome == Outcome::Unknown, Refusal::Unknown);
    if let Some(kind) = &facts.encryption {
        refuse(true, Refusal::Encrypted(kind.clone()));
    }
    refuse(facts.s3 && !facts.vouched.never_suspends, Refusal::MaySuspend);
    match way {
        Way::InPlace => refusals.extend(in_place(facts)),
        // A processor that has the old build's flash, or its table there, would go on in the new one's. One that is in
        // memory may move, wherever it is.
        Way::Migration if facts.processors.use_flash() => {
            refusals.extend(processors(facts.processors, facts.vouched));
        }
        Way::Migration => {}
    }
    refusals
}

/// What matters only where the memory of the running process is written.
fn in_place(facts: &Facts) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    let mut refuse = |refused: bool, refusal: Refusal| {
        if refused {
            refusals.push(refusal);
        }
    };
    match facts.accelerator.as_deref() {
        Some("tcg") => refuse(!facts.vouched.moves_before_reset, Refusal::Translated),
        Some(_) => {}
        None => refuse(true, Refusal::AcceleratorUnknown),
    }
    if let Some(path) = &facts.mapped_file {
        refuse(true, Refusal::MappedFile(path.clone()));
    }
    refuse(!facts.twins.is_empty(), Refusal::Twins(facts.twins.clone()));
    if let Libvirt::NotAdopted { domain } = &facts.libvirt {
        refuse(
            true,
            Refusal::NotAdopted {
                domain: domain.clone(),
            },
        );
    }
    if !facts.has_monitor {
        refuse(true, Refusal::NoMonitor);
        return refusals;
    }
    match facts.run_state.as_deref() {
        Some("running" | "paused") => {}
        Some("suspended" | "pmsuspended") => refuse(true, Refusal::Suspended),
        other => refuse(
            true,
            Refusal::RunState(other.unwrap_or("of which nothing is known").to_owned()),
        ),
    }
    refuse(!facts.jobs.is_empty(), Refusal::Jobs(facts.jobs.clone()));
    refusals.extend(processors(facts.processors, facts.vouched));
    refusals
}

/// What speaks against it in where the processors are; looked at again when the guest stands still.
#[must_use]
pub fn processors(seen: Processors, vouched: Vouched) -> Option<Refusal> {
    match seen {
        Processors::Seen {
            in_flash,
            tables_in_flash,
            ..
        } if seen.use_flash() => Some(Refusal::Booting {
            in_flash,
            tables_in_flash,
        }),
        _ if seen.are_in_system() || vouched.has_booted => None,
        Processors::Unseen => Some(Refusal::ProcessorsUnseen),
        _ => Some(Refusal::InFirmware),
    }
}

impl Refusal {
    /// The word that documents have for it.
    #[must_use]
    pub const fn reason(&self) -> RefusalReason {
        match self {
            Self::NoFlash(_) => RefusalReason::NoFlash,
            Self::Combined => RefusalReason::CombinedImage,
            Self::SizeDiffers { .. } => RefusalReason::SizeDiffers,
            Self::SameBuild => RefusalReason::SameBuild,
            Self::Incompatible => RefusalReason::Incompatible,
            Self::Unknown => RefusalReason::Unknown,
            Self::Encrypted(_) => RefusalReason::EncryptedMemory,
            Self::MappedFile(_) => RefusalReason::MappedFile,
            Self::Twins(_) => RefusalReason::SeveralProcesses,
            Self::NotAdopted { .. } => RefusalReason::NotAdopted,
            Self::NoMonitor => RefusalReason::NoMonitor,
            Self::RunState(_) => RefusalReason::RunState,
            Self::Suspended => RefusalReason::Suspended,
            Self::Jobs(_) => RefusalReason::JobRuns,
            Self::Booting { .. } => RefusalReason::BootInProgress,
            Self::InFirmware => RefusalReason::InFirmware,
            Self::ProcessorsUnseen => RefusalReason::ProcessorsUnseen,
            Self::MaySuspend => RefusalReason::MaySuspend,
            Self::Translated => RefusalReason::Emulated,
            Self::AcceleratorUnknown => RefusalReason::AcceleratorUnknown,
            Self::NotIdle { .. } => RefusalReason::NotIdle,
            Self::OutsideWindow { .. } => RefusalReason::OutsideWindow,
            Self::AgentSilent => RefusalReason::AgentSilent,
        }
    }

    /// What to do about it; `build` is what the user called it.
    #[must_use]
    pub fn remedy(&self) -> Option<Remedy> {
        Some(match self {
            Self::NoFlash(_) => Remedy::new(
                "give the guest its firmware as flash at its next cold boot",
                Action::Configure(Setting::FlashDevices),
            ),
            Self::Combined => {
                "cut the image into CODE and VARS, and give the guest both at its next cold boot".into()
            }
            Self::SizeDiffers { .. } => {
                "a flash device keeps its size as long as its process: give the new files at a cold boot"
                    .into()
            }
            Self::SameBuild => return None,
            Self::Incompatible | Self::Unknown => "look at the findings: what they advise comes first".into(),
            Self::Encrypted(_) => "give it the new firmware at a cold boot".into(),
            Self::MappedFile(_) => "give it the new firmware at a cold boot".into(),
            Self::Twins(_) => "end the process that is not the guest any more".into(),
            Self::NotAdopted { domain } => Remedy::new(
                "let its definition follow first, so that reset and cold boot agree",
                Action::AdoptDomain(DomainSubject::Named(domain.clone())),
            ),
            Self::NoMonitor => Remedy::give(
                "name a QMP socket of the guest that nobody else is connected to",
                [Input::Monitor],
            ),
            Self::RunState(_) | Self::Jobs(_) => "do it again when that is over".into(),
            Self::Suspended => "wake the guest up first".into(),
            Self::Booting { .. } => "do it again when the guest has booted".into(),
            Self::InFirmware => Remedy::give(
                "do it again when a system runs in it, or say that its boot is over, if you know that",
                [Input::HasBooted],
            ),
            Self::ProcessorsUnseen => Remedy::give(
                "let the guest's agent answer, or say that the guest's boot is over, if you know that",
                [Input::HasBooted],
            ),
            Self::MaySuspend => Remedy::give(
                "say that the guest does not suspend to RAM before its reset, if you know that",
                [Input::NeverSuspends],
            )
            .then(Action::Configure(Setting::NoS3)),
            Self::Translated => Remedy::new(
                "migrate the guest, which gives it the build on the way",
                Action::MigrateWithUpdate,
            ),
            Self::AcceleratorUnknown => "run it as root, which may see how QEMU runs its processors".into(),
            Self::NotIdle { .. } | Self::OutsideWindow { .. } => {
                Remedy::give("wait longer, or do without", [Input::Wait])
            }
            Self::AgentSilent => {
                "start the guest agent in the guest, and its channel in the definition".into()
            }
        })
    }
}

/// Why, in a sentence.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFlash(firmware) => write!(f, "its firmware lies in no flash: it runs {firmware}"),
            Self::Combined => f.write_str(
                "CODE and VARS are one flash device that the guest writes: its variables would be overwritten",
            ),
            Self::SizeDiffers {
                code_bytes,
                build_bytes,
            } => write!(
                f,
                "its CODE flash has {code_bytes} bytes, and the build {build_bytes}"
            ),
            Self::SameBuild => f.write_str("its flash holds this very build already"),
            Self::Incompatible => f.write_str("the build does not go with this guest"),
            Self::Unknown => f.write_str("it is not known whether the build goes with this guest"),
            Self::Encrypted(kind) => write!(
                f,
                "its memory is encrypted ({kind}), and its first firmware is what was attested"
            ),
            Self::MappedFile(path) => write!(
                f,
                "its CODE is mapped from {path}, which others may have mapped as well"
            ),
            Self::Twins(pids) => {
                let pids: Vec<String> = pids.iter().map(ToString::to_string).collect();
                write!(
                    f,
                    "another QEMU has its uuid (pid {}): it may be migrating, and which of the two is the guest is not \
                     certain",
                    pids.join(", ")
                )
            }
            Self::NotAdopted { domain } => write!(
                f,
                "libvirt would start domain {domain} from other firmware at its next cold boot: it is not adopted"
            ),
            Self::NoMonitor => f.write_str(
                "no monitor of it answers through which it could be stopped for a moment: there is none, or another client \
                 has it",
            ),
            Self::RunState(state) => write!(f, "it is in state `{state}`"),
            Self::Suspended => f.write_str(
                "it is suspended to RAM, and wakes up through the firmware that put it to sleep",
            ),
            Self::Jobs(jobs) => write!(f, "a job runs that may carry the old bytes away: {}", jobs.join(", ")),
            Self::Booting {
                in_flash,
                tables_in_flash,
            } => write!(
                f,
                "it is booting: {in_flash} of its processors execute from flash, {tables_in_flash} have their segments \
                 there"
            ),
            Self::InFirmware => f.write_str(
                "no system is seen in it: its boot is not over, or it sits in a shell, a menu or a boot loader",
            ),
            Self::ProcessorsUnseen => f.write_str(
                "nobody could see whether its processors have left flash, and no system in it answers",
            ),
            Self::MaySuspend => f.write_str(
                "its machine offers suspend to RAM: a guest that wakes up runs SEC from flash, with what another build \
                 left in memory",
            ),
            Self::Translated => f.write_str(
                "its processors are emulated (TCG): what was translated from flash stays, and its next reset would hang",
            ),
            Self::AcceleratorUnknown => f.write_str(
                "how QEMU runs its processors is not known, and an emulated guest would hang at its next reset",
            ),
            Self::NotIdle { percent } => write!(
                f,
                "it was not idle as long as it was waited for: in the end it used {percent} % of a processor"
            ),
            Self::OutsideWindow { window } => {
                write!(f, "its window ({window} UTC) did not open as long as it was waited for")
            }
            Self::AgentSilent => f.write_str("its agent did not answer as long as it was waited for"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A guest that nothing speaks against.
    fn fit() -> Facts {
        Facts {
            no_flash: None,
            combined: false,
            code_bytes: 3_653_632,
            build_bytes: 3_653_632,
            same_build: false,
            outcome: Outcome::Caution,
            accelerator: Some("kvm".into()),
            encryption: None,
            mapped_file: None,
            twins: Vec::new(),
            libvirt: Libvirt::Adopted,
            has_monitor: true,
            run_state: Some("running".into()),
            jobs: Vec::new(),
            processors: Processors::Seen {
                in_flash: 0,
                tables_in_flash: 0,
                in_system: 1,
            },
            s3: false,
            vouched: Vouched::default(),
        }
    }

    const IN_FIRMWARE: Processors = Processors::Seen {
        in_flash: 0,
        tables_in_flash: 0,
        in_system: 0,
    };

    /// How a guest differs from one that nothing speaks against.
    type Bend = fn(&mut Facts);

    fn words(bend: impl FnOnce(&mut Facts), way: Way) -> Vec<&'static str> {
        let mut facts = fit();
        bend(&mut facts);
        let refusals = decide(&facts, way);
        refusals.iter().map(|refusal| refusal.reason().name()).collect()
    }

    #[test]
    fn a_guest_that_nothing_speaks_against_may_be_updated_either_way() {
        for way in [Way::InPlace, Way::Migration] {
            assert!(words(|_| {}, way).is_empty());
            assert!(words(|facts| facts.outcome = Outcome::Compatible, way).is_empty());
        }
        assert!(words(|facts| facts.run_state = Some("paused".into()), Way::InPlace).is_empty());
        assert!(words(|facts| facts.processors = Processors::SystemAnswers, Way::InPlace).is_empty());
    }

    #[test]
    fn what_holds_for_either_way_is_refused_on_either() {
        let table: [(Bend, &str); 10] = [
            (|facts| facts.no_flash = Some("-bios".into()), "no_flash"),
            (|facts| facts.combined = true, "combined_image"),
            (|facts| facts.build_bytes = 1_966_080, "size_differs"),
            (|facts| facts.same_build = true, "same_build"),
            (|facts| facts.outcome = Outcome::Incompatible, "incompatible"),
            (|facts| facts.outcome = Outcome::Unknown, "unknown"),
            (
                |facts| facts.encryption = Some("SEV-SNP".into()),
                "encrypted_memory",
            ),
            (|facts| facts.s3 = true, "may_suspend"),
            (
                |facts| {
                    facts.processors = Processors::Seen {
                        in_flash: 1,
                        tables_in_flash: 0,
                        in_system: 0,
                    };
                },
                "boot_in_progress",
            ),
            (
                |facts| {
                    facts.processors = Processors::Seen {
                        in_flash: 0,
                        tables_in_flash: 1,
                        in_system: 1,
                    };
                },
                "boot_in_progress",
            ),
        ];
        for (bend, word) in table {
            for way in [Way::InPlace, Way::Migration] {
                assert_eq!(words(bend, way), [word], "{way:?}");
            }
        }
    }

    #[test]
    fn what_holds_for_the_running_process_is_refused_there_and_not_on_the_way() {
        let table: [(Bend, &str); 13] = [
            (|facts| facts.accelerator = Some("tcg".into()), "emulated"),
            (|facts| facts.accelerator = None, "accelerator_unknown"),
            (
                |facts| facts.mapped_file = Some("/dev/hugepages/x".into()),
                "mapped_file",
            ),
            (|facts| facts.twins = vec![4711], "several_processes"),
            (
                |facts| {
                    facts.libvirt = Libvirt::NotAdopted { domain: "web".into() };
                },
                "not_adopted",
            ),
            (|facts| facts.has_monitor = false, "no_monitor"),
            (|facts| facts.run_state = Some("suspended".into()), "suspended"),
            (|facts| facts.run_state = Some("pmsuspended".into()), "suspended"),
            (|facts| facts.run_state = Some("inmigrate".into()), "run_state"),
            (|facts| facts.run_state = None, "run_state"),
            (|facts| facts.jobs = vec!["migration: active".into()], "job_runs"),
            (|facts| facts.processors = Processors::Unseen, "processors_unseen"),
            (|facts| facts.processors = IN_FIRMWARE, "in_firmware"),
        ];
        for (bend, word) in table {
            assert_eq!(words(bend, Way::InPlace), [word]);
            assert!(words(bend, Way::Migration).is_empty(), "{word}");
        }
    }

    #[test]
    fn what_is_vouched_for_is_believed_and_nothing_else() {
        let sleeps = |facts: &mut Facts| {
            facts.s3 = true;
            facts.vouched.never_suspends = true;
        };
        assert!(words(sleeps, Way::InPlace).is_empty());
        let moves = |facts: &mut Facts| {
            facts.accelerator = Some("tcg".into());
            facts.vouched.moves_before_reset = true;
        };
        assert!(words(moves, Way::InPlace).is_empty());
        for seen in [Processors::Unseen, IN_FIRMWARE] {
            let in_shell = |facts: &mut Facts| {
                facts.processors = seen;
                facts.vouched.has_booted = true;
            };
            assert!(words(in_shell, Way::InPlace).is_empty(), "{seen:?}");
        }
        // What is seen counts more than what is said.
        let boots = |facts: &mut Facts| {
            facts.processors = Processors::Seen {
                in_flash: 1,
                tables_in_flash: 0,
                in_system: 0,
            };
            facts.vouched.has_booted = true;
        };
        assert_eq!(words(boots, Way::InPlace), ["boot_in_progress"]);
    }

    #[test]
    fn all_reasons_are_told_at_once() {
        let bend = |facts: &mut Facts| {
            facts.outcome = Outcome::Incompatible;
            facts.build_bytes = 1;
            facts.s3 = true;
            facts.jobs = vec!["backup".into()];
        };
        assert_eq!(
            words(bend, Way::InPlace),
            ["size_differs", "incompatible", "may_suspend", "job_runs"]
        );
    }
}
