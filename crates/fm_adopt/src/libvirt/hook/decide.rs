//! What the hook does, decided from facts alone: no file is looked at here, and none is touched.

use std::path::{Path, PathBuf};

use fm_formats::Sha256;
use fm_libvirt::{Domain, FileFormat, Identity};

use super::facts::{
    ArrivalFacts, CodeFacts, Facts, FileState, LandingFacts, LeaveFacts, StoreFacts, TemplateFacts,
    VarsFacts, VarsState,
};
use super::{Policy, Reason};

/// What is done, in this order, and what libvirt is told then.
#[derive(Debug)]
pub struct Decision {
    /// What is done.
    pub steps: Vec<Step>,
    /// What libvirt is told.
    pub outcome: Outcome,
    /// What it is told instead if a step fails.
    pub(super) on_failure: OnFailure,
}

/// One thing that is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A placeholder is made that the stream brings CODE into.
    MakeLanding {
        /// The digest of what will arrive.
        build: Sha256,
        /// Its length.
        size_bytes: u64,
    },
    /// A template is made that holds an empty variable store.
    MakeBlankTemplate {
        /// Its length.
        vars_bytes: u64,
    },
    /// A template is packed in qcow2, as the variables are that libvirt makes from it.
    PackTemplate {
        /// The raw one; nothing for the one that was just made.
        from: Option<PathBuf>,
    },
    /// It is noted that this guest is on its way, so that its start is no cold boot.
    MarkArrival,
    /// It is noted that libvirt makes these variables from the empty template.
    NoteBlankVars {
        /// VARS.
        vars: PathBuf,
    },
    /// The note goes that the guest is on its way.
    ClearMark,
    /// The note goes on whose account VARS were made.
    ClearBlankNote,
    /// A landing gets the stored build, which has come another way.
    SettleLanding {
        /// Which.
        id: String,
        /// The build.
        build: Sha256,
    },
    /// A landing in which nothing arrived goes.
    RemoveLanding {
        /// Which.
        id: String,
    },
    /// A variable store that holds nothing goes: libvirt made it for an arrival that never came.
    RemoveBlankVars {
        /// VARS.
        vars: PathBuf,
        /// Its length.
        vars_bytes: u64,
    },
    /// CODE is put back into the store.
    PutBackCode {
        /// From where.
        from: PathBuf,
        /// To where.
        path: PathBuf,
        /// The build.
        build: Sha256,
    },
    /// A template is put back into the store.
    PutBackTemplate {
        /// CODE that it belongs to.
        code: PathBuf,
        /// From where; nothing for an empty store.
        from: Option<PathBuf>,
        /// To where.
        path: PathBuf,
        /// Its digest.
        sha256: Sha256,
        /// Its length, if it is an empty store.
        vars_bytes: u64,
    },
    /// The agent is woken.
    NotifyAgent,
}

/// What libvirt is told.
#[derive(Debug)]
pub enum Outcome {
    /// Go on.
    Pass,
    /// Go on; this is for the log.
    Remark(Reason),
    /// Go on with an XML that names these files.
    Replace {
        /// CODE.
        loader: PlacedCode,
        /// The template of VARS, if another one is named.
        template: Option<PlacedTemplate>,
    },
    /// Stop.
    Refuse(Reason),
}

/// Where CODE is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlacedCode {
    /// Where a file already is.
    At(PathBuf),
    /// In the landing that was just made.
    Landing,
}

/// Where a template is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlacedTemplate {
    /// Where a file already is.
    At(PathBuf),
    /// In the file that was just made.
    Made,
}

/// What libvirt is told if a step fails.
#[derive(Debug)]
pub(super) enum OnFailure {
    /// What was decided.
    Nothing,
    /// That the store cannot be used; and to go on.
    Remark,
    /// The same, and to stop if no file here has the right size.
    WithoutStore { domain: String, fits: bool },
    /// To stop: CODE is not there.
    RefuseCode { domain: String, path: PathBuf },
    /// To stop: neither variables nor their template are there.
    RefuseTemplate {
        domain: String,
        vars: PathBuf,
        is_leftover: bool,
        template: PathBuf,
    },
}

impl Decision {
    fn new(steps: Vec<Step>, outcome: Outcome) -> Self {
        Self {
            steps,
            outcome,
            on_failure: OnFailure::Nothing,
        }
    }

    fn pass() -> Self {
        Self::new(Vec::new(), Outcome::Pass)
    }

    fn refuse(reason: Reason) -> Self {
        Self::new(Vec::new(), Outcome::Refuse(reason))
    }

    fn remark(reason: Reason) -> Self {
        Self::new(Vec::new(), Outcome::Remark(reason))
    }
}

/// Decides. Whatever of ours fails lets libvirt go on as if we were not there, unless QEMU would fail anyway.
pub(super) fn decide(facts: Facts, policy: Policy) -> Decision {
    let decision = match facts {
        Facts::Nothing => Decision::new(vec![Step::NotifyAgent], Outcome::Pass),
        Facts::Unreadable => Decision::remark(Reason::Unreadable),
        Facts::Leaves(facts) => leaves(facts),
        Facts::Rom { domain, missing } => match missing {
            Some(path) => Decision::refuse(Reason::RomMissing {
                domain: domain.name,
                path,
            }),
            None => Decision::pass(),
        },
        Facts::NotAdopted {
            domain,
            missing: Some(missing),
            managed_save,
        } => Decision::refuse(Reason::NotAdopted {
            domain: domain.name,
            missing,
            managed_save,
        }),
        Facts::NotAdopted { .. } => Decision::pass(),
        Facts::Offline {
            domain,
            build,
            code,
            stored,
        } => match stored {
            _ if code.is_right => Decision::pass(),
            Some(path) => Decision::new(
                Vec::new(),
                Outcome::Replace {
                    loader: PlacedCode::At(path),
                    template: None,
                },
            ),
            None => Decision::refuse(Reason::OfflineWithoutBuild {
                domain: domain.name,
                build,
            }),
        },
        Facts::Arrives(domain, identity, facts) => arrives(&domain, &identity, *facts),
        Facts::StartsOnLanding(domain, path, facts) => starts_on_landing(domain, path, facts),
        Facts::Starts {
            domain,
            code,
            vars,
            is_announced,
        } => starts(&domain, code, vars, is_announced),
    };
    match (decision.outcome, policy) {
        (Outcome::Refuse(reason), Policy::Pass) => Decision {
            outcome: Outcome::Remark(reason),
            ..decision
        },
        (outcome, _) => Decision { outcome, ..decision },
    }
}

/// A guest that left, or never came: what was made for it and holds nothing is of no use to anybody.
fn leaves(facts: LeaveFacts) -> Decision {
    let mut steps = vec![Step::ClearMark];
    steps.extend(facts.landings.into_iter().map(|id| Step::RemoveLanding { id }));
    if let Some((vars, vars_bytes)) = facts.blank_vars {
        steps.push(Step::RemoveBlankVars { vars, vars_bytes });
    }
    steps.extend([Step::ClearBlankNote, Step::NotifyAgent]);
    Decision::new(steps, Outcome::Pass)
}

fn arrives(domain: &Domain, identity: &Identity, facts: ArrivalFacts) -> Decision {
    let name = || domain.name.clone();
    let missing_vars = match missing_vars(domain, identity, &facts) {
        Ok(missing) => missing,
        Err(reason) => return Decision::refuse(reason),
    };
    if facts.code.is_right && missing_vars.is_none() {
        return Decision::pass();
    }
    let fits = fits_without_store(domain, identity, &facts);
    let without_store = |reason| match fits {
        true => Decision::remark(reason),
        false => Decision::refuse(Reason::NoFirmware {
            domain: name(),
            source: Box::new(reason),
        }),
    };
    let stored = match facts.store {
        Ok(stored) => stored,
        Err(source) => {
            return without_store(Reason::StoreUnusable {
                source: source.into(),
            });
        }
    };
    let mut steps = Vec::new();
    let loader = match stored.build {
        _ if facts.code.is_right => None,
        Some((path, false)) => {
            return without_store(Reason::StoreDamaged {
                build: identity.build,
                path,
            });
        }
        Some((path, true)) => Some(PlacedCode::At(path)),
        None => {
            steps.push(Step::MakeLanding {
                build: identity.build,
                size_bytes: identity.code_bytes,
            });
            Some(PlacedCode::Landing)
        }
    };
    let nvram = domain.nvram.as_ref();
    let is_qcow2 = nvram.is_some_and(|nvram| nvram.format == FileFormat::Qcow2);
    let is_blank = stored.template.is_none();
    let template = missing_vars.map(|vars_bytes| {
        if is_blank {
            steps.push(Step::MakeBlankTemplate { vars_bytes });
        }
        if is_qcow2 {
            steps.push(Step::PackTemplate {
                from: stored.template.clone(),
            });
        }
        match stored.template {
            Some(path) if !is_qcow2 => PlacedTemplate::At(path),
            _ => PlacedTemplate::Made,
        }
    });
    steps.push(Step::MarkArrival);
    let vars = nvram.and_then(|nvram| nvram.path.clone());
    if let (Some(_), true, Some(vars), VarsState::Absent) = (&template, is_blank, vars, facts.vars) {
        steps.push(Step::NoteBlankVars { vars });
    }
    Decision {
        steps,
        outcome: Outcome::Replace {
            loader: loader.unwrap_or(PlacedCode::At(facts.loader)),
            template,
        },
        on_failure: OnFailure::WithoutStore { domain: name(), fits },
    }
}

/// The length of the variables for which there is neither a file nor the domain's own template.
fn missing_vars(domain: &Domain, identity: &Identity, facts: &ArrivalFacts) -> Result<Option<u64>, Reason> {
    let (Some(nvram), Some(vars_bytes)) = (&domain.nvram, identity.vars_bytes) else {
        return Ok(None);
    };
    let is_known = nvram.format != FileFormat::Other;
    let Some(path) = nvram.path.as_ref().filter(|_| is_known) else {
        return Ok(None);
    };
    match facts.vars {
        VarsState::Present { len_bytes } if len_bytes != vars_bytes => Err(Reason::VarsSize {
            domain: domain.name.clone(),
            path: path.clone(),
            found_bytes: len_bytes,
            vars_bytes,
        }),
        VarsState::Present { .. } | VarsState::Misnamed => Ok(None),
        VarsState::Absent | VarsState::Leftover if vars_bytes > fm_store::MAX_FLASH_BYTES => {
            Err(Reason::VarsTooLarge {
                domain: domain.name.clone(),
                vars_bytes,
            })
        }
        VarsState::Absent | VarsState::Leftover => Ok((!facts.template.is_right).then_some(vars_bytes)),
    }
}

/// Without the store, the guest runs its own firmware all the same if the files here have its lengths.
fn fits_without_store(domain: &Domain, identity: &Identity, facts: &ArrivalFacts) -> bool {
    let vars_bytes = identity.vars_bytes.unwrap_or_default();
    let vars_fit = match facts.vars {
        VarsState::Present { len_bytes } => len_bytes == vars_bytes,
        VarsState::Leftover => true,
        VarsState::Misnamed | VarsState::Absent => false,
    };
    let FileState { len_bytes, .. } = facts.template;
    facts.code.len_bytes == Some(identity.code_bytes)
        && (domain.nvram.is_none() || vars_fit || len_bytes == Some(vars_bytes))
}

/// CODE is a landing's.
fn starts_on_landing(domain: Domain, path: PathBuf, facts: LandingFacts) -> Decision {
    let name = domain.name;
    let mut decision = match facts {
        LandingFacts::Announced => Decision::pass(),
        LandingFacts::Unknown(source) => Decision::remark(Reason::StoreUnusable {
            source: source.into(),
        }),
        LandingFacts::Gone => Decision::refuse(Reason::LandingGone { domain: name, path }),
        LandingFacts::Settled => Decision::pass(),
        LandingFacts::Waiting {
            id,
            build,
            is_stored: true,
        } => Decision {
            steps: vec![Step::SettleLanding { id, build }],
            outcome: Outcome::Pass,
            on_failure: OnFailure::Remark,
        },
        LandingFacts::Waiting { build, .. } => Decision::refuse(Reason::Placeholder { domain: name, build }),
    };
    // It serves for one start.
    decision.steps.insert(0, Step::ClearMark);
    decision
}

/// CODE is a file of the store, or somebody else's, which is not ours to judge.
fn starts(domain: &Domain, code: CodeFacts, vars: VarsFacts, is_announced: bool) -> Decision {
    let mut decision = match code {
        CodeFacts::NotOurs | CodeFacts::Right => start_with_vars(domain, vars, is_announced),
        CodeFacts::Wrong {
            path,
            build,
            before: Some(from),
            ..
        } => Decision {
            on_failure: OnFailure::RefuseCode {
                domain: domain.name.clone(),
                path: path.clone(),
            },
            steps: vec![Step::PutBackCode { from, path, build }],
            outcome: Outcome::Pass,
        },
        CodeFacts::Wrong {
            path,
            is_there,
            is_stored,
            ..
        } => Decision::refuse(Reason::CodeGone {
            domain: domain.name.clone(),
            path,
            is_there,
            is_stored,
        }),
    };
    if is_announced {
        decision.steps.insert(0, Step::ClearMark);
    }
    decision
}

/// A guest without its variables gets them from the template: it must be the very one, or Secure Boot would be on or
/// off by chance. Those of a guest that arrives come with the stream.
fn start_with_vars(domain: &Domain, facts: VarsFacts, is_announced: bool) -> Decision {
    let VarsFacts::Missing {
        vars,
        leftover,
        template,
    } = facts
    else {
        return Decision::pass();
    };
    if is_announced {
        return Decision::pass();
    }
    let gone = |path: &Path| Reason::TemplateGone {
        domain: domain.name.clone(),
        vars: vars.clone(),
        is_leftover: leftover.is_some(),
        template: path.to_owned(),
    };
    let mut decision = match template {
        TemplateFacts::NotOurs { .. } if leftover.is_none() => return Decision::pass(),
        TemplateFacts::NotOurs {
            path,
            is_right: false,
        } => return Decision::refuse(gone(&path)),
        TemplateFacts::NotOurs { .. } | TemplateFacts::Right => Decision::pass(),
        TemplateFacts::Wrong {
            path,
            again: Some(again),
        } => Decision {
            on_failure: OnFailure::RefuseTemplate {
                domain: domain.name.clone(),
                vars: vars.clone(),
                is_leftover: leftover.is_some(),
                template: path.clone(),
            },
            steps: vec![Step::PutBackTemplate {
                code: again.code,
                from: again.from,
                path,
                sha256: again.sha256,
                vars_bytes: again.vars_bytes,
            }],
            outcome: Outcome::Pass,
        },
        TemplateFacts::Wrong { path, again: None } => return Decision::refuse(gone(&path)),
    };
    match leftover {
        None => decision,
        Some(leftover) if leftover.is_noted => {
            decision.steps.extend([
                Step::RemoveBlankVars {
                    vars,
                    vars_bytes: leftover.vars_bytes,
                },
                Step::ClearBlankNote,
            ]);
            decision
        }
        Some(_) => Decision::refuse(Reason::EmptyVars {
            domain: domain.name.clone(),
            vars,
        }),
    }
}

impl StoreFacts {
    /// What a store has that has nothing.
    pub(super) const EMPTY: Self = Self {
        build: None,
        template: None,
    };
}
