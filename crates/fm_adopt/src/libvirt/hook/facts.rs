//! What the hook's decision needs of the files of this host, gathered before it is made. Nothing is changed here.

use std::path::{Path, PathBuf};

use fm_check::next_boot_code::digest_at;
use fm_files::digest_cache;
use fm_formats::Sha256;
use fm_libvirt::{Domain, FileFormat, Identity, Nvram, Operation, SubOperation, managed_save};
use fm_store::{Store, build_of_path};

use super::Call;
use super::marks::{self, definition, is_arriving, mark};
use crate::libvirt::{FOLDER, blank, flash_file};

/// What a call is about, with what is known of it.
#[derive(Debug)]
pub(super) enum Facts {
    /// libvirt waits for no answer.
    Nothing,
    /// There should be an answer, and the XML cannot be read.
    Unreadable,
    /// A guest's resources are gone.
    Leaves(LeaveFacts),
    /// A guest without CODE flash of its own that arrives or starts.
    Rom {
        domain: Domain,
        /// The ROM image that it arrives for and that is not here.
        missing: Option<PathBuf>,
    },
    /// A guest arrives that does not say what its firmware is.
    NotAdopted {
        domain: Domain,
        missing: Option<PathBuf>,
        managed_save: Option<PathBuf>,
    },
    /// A definition arrives, and nothing else.
    Offline {
        domain: Domain,
        build: Sha256,
        code: FileState,
        /// The stored build, if it is whole.
        stored: Option<PathBuf>,
    },
    /// A guest arrives.
    Arrives(Domain, Identity, Box<ArrivalFacts>),
    /// A guest starts from a landing.
    StartsOnLanding(Domain, PathBuf, LandingFacts),
    /// A guest starts from another file.
    Starts {
        domain: Domain,
        code: CodeFacts,
        vars: VarsFacts,
        is_announced: bool,
    },
}

/// A file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileState {
    /// Its length; nothing if there is none.
    pub(super) len_bytes: Option<u64>,
    /// Whether it is the very file that is wanted.
    pub(super) is_right: bool,
}

/// What stands at the path of VARS when a guest arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum VarsState {
    Absent,
    /// An empty store that an arrival left.
    Leftover,
    /// What libvirt calls raw may be qcow2 all the same, or the reverse, and its length says nothing then.
    Misnamed,
    Present {
        len_bytes: u64,
    },
}

#[derive(Debug)]
pub(super) struct ArrivalFacts {
    pub(super) loader: PathBuf,
    pub(super) code: FileState,
    pub(super) vars: VarsState,
    pub(super) template: FileState,
    pub(super) store: crate::Result<StoreFacts>,
}

/// What the store has of a guest's firmware.
#[derive(Debug)]
pub(super) struct StoreFacts {
    /// CODE, and whether it is whole.
    pub(super) build: Option<(PathBuf, bool)>,
    /// The domain's own template, if it is whole.
    pub(super) template: Option<PathBuf>,
}

/// The landing that a definition names.
#[derive(Debug)]
pub(super) enum LandingFacts {
    /// The guest was announced: its bytes are on their way.
    Announced,
    /// Its bytes are there.
    Settled,
    /// A placeholder.
    Waiting {
        id: String,
        build: Sha256,
        /// Whether the build has come another way.
        is_stored: bool,
    },
    Gone,
    Unknown(crate::Error),
}

/// The CODE that a guest starts from.
#[derive(Debug)]
pub(super) enum CodeFacts {
    /// It is not in the store.
    NotOurs,
    Right,
    Wrong {
        path: PathBuf,
        build: Sha256,
        is_there: bool,
        /// Whether the store's index has the build.
        is_stored: bool,
        /// The file that it came from, if that holds it still.
        before: Option<PathBuf>,
    },
}

/// The variables that a guest starts with.
#[derive(Debug)]
pub(super) enum VarsFacts {
    /// It has them, or none belong to it.
    Here,
    /// libvirt would make them from the template.
    Missing {
        vars: PathBuf,
        /// What stands in their place, if anything does.
        leftover: Option<Leftover>,
        template: TemplateFacts,
    },
}

/// An empty store in the place of variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Leftover {
    pub(super) vars_bytes: u64,
    /// Whether libvirt made it when a guest was announced.
    pub(super) is_noted: bool,
}

/// What libvirt would make variables from.
#[derive(Debug)]
pub(super) enum TemplateFacts {
    /// It is not in the store.
    NotOurs {
        path: PathBuf,
        /// Whether it is the domain's own.
        is_right: bool,
    },
    Right,
    Wrong {
        path: PathBuf,
        again: Option<Again>,
    },
}

/// From what a template can be put back.
#[derive(Debug)]
pub(super) struct Again {
    pub(super) code: PathBuf,
    /// The file that it came from; nothing for an empty store.
    pub(super) from: Option<PathBuf>,
    pub(super) sha256: Sha256,
    pub(super) vars_bytes: u64,
}

#[derive(Debug)]
pub(super) struct LeaveFacts {
    /// The landings in which nothing arrived.
    pub(super) landings: Vec<String>,
    /// VARS that an arrival left empty, with their length.
    pub(super) blank_vars: Option<(PathBuf, u64)>,
}

/// Looks at what this call is about.
pub(super) fn gather(store: &Path, call: &Call<'_>) -> Facts {
    let begins = call.sub_operation == SubOperation::Begin;
    match &call.operation {
        Operation::Migrate | Operation::Restore | Operation::Prepare if begins => {}
        Operation::Release => {
            return match Domain::parse(call.xml) {
                Ok(domain) => Facts::Leaves(leaves(store, &domain, call)),
                Err(_) => Facts::Nothing,
            };
        }
        _ => return Facts::Nothing,
    }
    let Ok(domain) = Domain::parse(call.xml) else {
        return Facts::Unreadable;
    };
    let look = Look {
        folder: store,
        remembers: !call.dry_run,
    };
    let Some(loader) = domain.flash().cloned() else {
        return Facts::Rom {
            missing: missing_rom(&domain, call),
            domain,
        };
    };
    if call.operation == Operation::Prepare {
        return look.starts(domain, loader, call);
    }
    let Some(identity) = domain.identity.clone() else {
        return not_adopted(domain, &loader);
    };
    if call.is_offline(&domain) {
        return look.offline(domain, &identity, &loader);
    }
    let facts = Box::new(look.arrives(&domain, &identity, loader));
    Facts::Arrives(domain, identity, facts)
}

/// How a definition says that CODE lies in its file.
fn code_format(domain: &Domain) -> FileFormat {
    domain
        .loader
        .as_ref()
        .map_or(FileFormat::Raw, |loader| loader.format)
}

/// No flash, or one in a format that nobody here reads. What `-bios` takes does come with the stream, but QEMU
/// wants a file to begin with.
fn missing_rom(domain: &Domain, call: &Call<'_>) -> Option<PathBuf> {
    let loader = domain.loader.as_ref().filter(|loader| !loader.is_flash)?;
    let path = loader.path.as_ref()?;
    let is_missing = call.operation != Operation::Prepare && path.is_absolute() && !path.exists();
    is_missing.then(|| path.clone())
}

/// Without a word on sizes, only what is missing altogether can be judged.
fn not_adopted(domain: Domain, loader: &Path) -> Facts {
    let nvram = domain.nvram.as_ref();
    let template = nvram
        .filter(|nvram| !nvram.path.as_ref().is_some_and(|path| path.exists()))
        .and_then(|nvram| nvram.template.as_deref());
    let needed = [Some(loader), template];
    let missing = needed.into_iter().flatten().find(|path| !path.exists());
    let image = managed_save(&domain.name);
    Facts::NotAdopted {
        missing: missing.map(Path::to_owned),
        managed_save: image.exists().then_some(image),
        domain,
    }
}

/// A guest that left, or never came.
fn leaves(store: &Path, domain: &Domain, call: &Call<'_>) -> LeaveFacts {
    let uuid = domain.uuid.as_deref();
    let blank_vars = || {
        let (vars, identity) = (domain.nvram.as_ref()?.path.clone()?, domain.identity.as_ref()?);
        let is_ours = marks::is_noted(store, uuid?, &vars) && blank::is_leftover(&vars, identity);
        is_ours.then_some((vars, identity.vars_bytes?))
    };
    LeaveFacts {
        landings: uuid.map_or_else(Vec::new, |uuid| unused_landings(store, domain, uuid, call)),
        blank_vars: blank_vars(),
    }
}

fn unused_landings(store: &Path, domain: &Domain, uuid: &str, call: &Call<'_>) -> Vec<String> {
    // looking costs a folder's listing; most hosts have no landings at all
    let in_landings = |path: &&PathBuf| path.starts_with(store.join("landings"));
    let Some(loader) = domain.flash().filter(in_landings) else {
        return Vec::new();
    };
    // A definition that outlives the guest names it: its next start has to find it, and to be told what is wrong.
    if marks::names(&definition(call.definitions, domain), loader) {
        return Vec::new();
    }
    let landings = Store::open(store)
        .and_then(|store| store.landings())
        .unwrap_or_default();
    landings
        .into_iter()
        .filter(|landing| landing.placeholder && landing.guest_uuid.as_deref() == Some(uuid))
        .filter(|landing| landing.path == *loader)
        .map(|landing| landing.id)
        .collect()
}

/// How files are looked at.
struct Look<'a> {
    /// The store's folder.
    folder: &'a Path,
    /// Whether digests of large files are remembered for the next call.
    remembers: bool,
}

impl Look<'_> {
    fn open(&self) -> crate::Result<Store> {
        Ok(Store::open(self.folder)?)
    }

    /// Whether the raw file at `path` holds the bytes of that digest.
    fn matches_digest(&self, path: &Path, wanted: &Sha256) -> bool {
        if !self.remembers {
            return digest_at(path).is_some_and(|(found, _)| found == *wanted);
        }
        matches_digest(self.folder, path, wanted)
    }

    /// The same of a file in any format; what an image unpacks to is not remembered.
    fn matches_digest_as(&self, path: &Path, format: FileFormat, wanted: &Sha256) -> bool {
        match format {
            FileFormat::Raw => self.matches_digest(path, wanted),
            FileFormat::Qcow2 | FileFormat::Other => flash_file::digest(path, format) == Some(*wanted),
        }
    }

    fn holds_code(&self, path: &Path, format: FileFormat, identity: &Identity) -> bool {
        flash_file::len_bytes(path, format) == Some(identity.code_bytes)
            && self.matches_digest_as(path, format, &identity.build)
    }

    fn code(&self, path: &Path, format: FileFormat, identity: &Identity) -> FileState {
        FileState {
            len_bytes: flash_file::len_bytes(path, format),
            is_right: self.holds_code(path, format, identity),
        }
    }

    fn offline(&self, domain: Domain, identity: &Identity, loader: &Path) -> Facts {
        let code = self.code(loader, code_format(&domain), identity);
        let stored = || {
            let build = self.open().ok()?.build(&identity.build).ok()??;
            Some(build.code.path).filter(|path| self.holds_code(path, FileFormat::Raw, identity))
        };
        Facts::Offline {
            stored: if code.is_right { None } else { stored() },
            build: identity.build,
            domain,
            code,
        }
    }

    fn arrives(&self, domain: &Domain, identity: &Identity, loader: PathBuf) -> ArrivalFacts {
        let nvram = domain.nvram.as_ref();
        let code = self.code(&loader, code_format(domain), identity);
        let vars = nvram.map_or(VarsState::Absent, |nvram| vars_state(nvram, identity));
        let is_missing = matches!(vars, VarsState::Absent | VarsState::Leftover);
        let template = nvram.and_then(|nvram| Some((nvram.template.as_deref()?, nvram.template_format)));
        let template = FileState {
            len_bytes: template.and_then(|(path, format)| flash_file::len_bytes(path, format)),
            is_right: is_missing
                && template.is_some_and(|(path, format)| self.is_template(path, format, identity)),
        };
        let needs_store = !code.is_right || (is_missing && !template.is_right && nvram.is_some());
        ArrivalFacts {
            store: if needs_store {
                self.stored(identity)
            } else {
                Ok(StoreFacts::EMPTY)
            },
            loader,
            code,
            vars,
            template,
        }
    }

    /// Whether a template is the domain's own.
    fn is_template(&self, path: &Path, format: FileFormat, identity: &Identity) -> bool {
        let has_length =
            identity.vars_bytes.is_some() && flash_file::len_bytes(path, format) == identity.vars_bytes;
        has_length
            && match &identity.vars_template {
                Some(known) => self.matches_digest_as(path, format, known),
                // of one in the store, an older Flashmoor does not say whose it was
                None => !path.starts_with(self.folder),
            }
    }

    fn stored(&self, identity: &Identity) -> crate::Result<StoreFacts> {
        let Some(build) = self.open()?.build(&identity.build)? else {
            return Ok(StoreFacts::EMPTY);
        };
        let is_whole = self.holds_code(&build.code.path, FileFormat::Raw, identity);
        let template = build
            .templates
            .into_iter()
            .filter(|part| Some(part.sha256) == identity.vars_template)
            .find(|part| self.matches_digest(&part.path, &part.sha256));
        Ok(StoreFacts {
            build: Some((build.code.path, is_whole)),
            template: template.map(|part| part.path),
        })
    }

    fn starts(&self, domain: Domain, loader: PathBuf, call: &Call<'_>) -> Facts {
        let mark = domain.uuid.as_deref().map(|uuid| mark(self.folder, uuid));
        let written = definition(call.definitions, &domain);
        let is_announced = mark.is_some_and(|mark| is_arriving(&mark, &written, &loader));
        if loader.starts_with(self.folder.join("landings")) {
            let facts = match is_announced {
                true => LandingFacts::Announced,
                false => self.landing(&loader).unwrap_or_else(LandingFacts::Unknown),
            };
            return Facts::StartsOnLanding(domain, loader, facts);
        }
        let code = match build_of_path(self.folder, &loader) {
            Some(build) => self.code_at(&domain, &loader, build),
            None => CodeFacts::NotOurs,
        };
        Facts::Starts {
            vars: self.vars(&domain).unwrap_or(VarsFacts::Here),
            domain,
            code,
            is_announced,
        }
    }

    fn landing(&self, loader: &Path) -> crate::Result<LandingFacts> {
        let store = self.open()?;
        let mut landings = store.landings()?.into_iter();
        Ok(match landings.find(|landing| landing.path == *loader) {
            None => LandingFacts::Gone,
            Some(landing) if !landing.placeholder => LandingFacts::Settled,
            Some(landing) => LandingFacts::Waiting {
                is_stored: store.build(&landing.code)?.is_some(),
                id: landing.id,
                build: landing.code,
            },
        })
    }

    fn code_at(&self, domain: &Domain, loader: &Path, build: Sha256) -> CodeFacts {
        if self.matches_digest(loader, &build) {
            return CodeFacts::Right;
        }
        let identity = domain.identity.as_ref();
        let before = identity.and_then(|ours| ours.loader_before.clone());
        let is_stored = || self.open().ok()?.build(&build).ok()?;
        CodeFacts::Wrong {
            path: loader.to_owned(),
            is_there: loader.exists(),
            is_stored: is_stored().is_some(),
            before: before.filter(|path| self.matches_digest(path, &build)),
            build,
        }
    }

    /// Nothing where a domain has no variables in a file, or no template.
    fn vars(&self, domain: &Domain) -> Option<VarsFacts> {
        let nvram = domain.nvram.as_ref()?;
        let (vars, template) = (nvram.path.clone()?, nvram.template.as_deref()?);
        let identity = domain.identity.as_ref();
        let is_leftover = || {
            let is_missing = |ours| vars_state(nvram, ours) == VarsState::Leftover;
            identity.is_some_and(is_missing)
        };
        let leftover = match vars.exists() {
            false => None,
            true if is_leftover() => Some(Leftover {
                vars_bytes: identity?.vars_bytes?,
                is_noted: marks::is_noted(self.folder, domain.uuid.as_deref()?, &vars),
            }),
            true => return None,
        };
        let template = self.template(domain, template, nvram.template_format);
        Some(VarsFacts::Missing {
            vars,
            leftover,
            template,
        })
    }

    fn template(&self, domain: &Domain, path: &Path, format: FileFormat) -> TemplateFacts {
        let identity = domain.identity.as_ref();
        let own = identity.and_then(|ours| ours.vars_template);
        let is_own = || {
            own.as_ref()
                .is_some_and(|own| self.matches_digest_as(path, format, own))
        };
        let Some(build) = build_of_path(self.folder, path) else {
            // The empty one was for the arrival alone; libvirt may have kept it in what it calls the definition.
            let is_blank = own.is_some() && path.starts_with(self.folder.join(FOLDER));
            return match (is_blank, is_own()) {
                (true, true) => TemplateFacts::Right,
                (true, false) => TemplateFacts::Wrong {
                    path: path.to_owned(),
                    again: None,
                },
                (false, is_right) => TemplateFacts::NotOurs {
                    path: path.to_owned(),
                    is_right,
                },
            };
        };
        let by_name = path.file_name().and_then(|name| {
            let name = name.to_str()?.strip_prefix("VARS-sha256-")?;
            name.strip_suffix(".fd")?.parse::<Sha256>().ok()
        });
        // The name that an older Flashmoor gave it says nothing of what it holds.
        let in_index = || Some(self.open().ok()?.build(&build).ok()??.vars_template?.sha256);
        let Some(sha256) = by_name.or_else(in_index) else {
            return TemplateFacts::Wrong {
                path: path.to_owned(),
                again: None,
            };
        };
        if self.matches_digest(path, &sha256) {
            return TemplateFacts::Right;
        }
        TemplateFacts::Wrong {
            path: path.to_owned(),
            again: self.again(domain, sha256),
        }
    }

    fn again(&self, domain: &Domain, sha256: Sha256) -> Option<Again> {
        let identity = domain.identity.as_ref()?;
        let before = identity
            .template_before
            .clone()
            .filter(|path| self.matches_digest(path, &sha256));
        let vars_bytes = identity.vars_bytes.unwrap_or_default();
        let is_empty = || blank::bytes(vars_bytes).is_some_and(|bytes| Sha256::of(&bytes) == sha256);
        let has_source = before.is_some() || is_empty();
        has_source.then_some(Again {
            code: domain.flash()?.clone(),
            from: before,
            sha256,
            vars_bytes,
        })
    }
}

/// Whether the file at `path` holds the bytes of that digest; of a large file, as it was found last.
pub(super) fn matches_digest(store: &Path, path: &Path, wanted: &Sha256) -> bool {
    let look = || digest_at(path).map(|(found, _)| found);
    digest_cache::of_file(&store.join(FOLDER).join("digests"), path, look) == Some(*wanted)
}

/// What stands where a definition has VARS.
fn vars_state(nvram: &Nvram, identity: &Identity) -> VarsState {
    let Some(path) = nvram.path.as_deref().filter(|path| path.exists()) else {
        return VarsState::Absent;
    };
    if flash_file::is_qcow2(path) != (nvram.format == FileFormat::Qcow2) {
        return VarsState::Misnamed;
    }
    match flash_file::len_bytes(path, nvram.format) {
        None => VarsState::Absent,
        Some(_) if blank::is_leftover(path, identity) => VarsState::Leftover,
        Some(len_bytes) => VarsState::Present { len_bytes },
    }
}

/// What is known of a definition that arrives alone.
#[cfg(test)]
pub(super) fn offline(store: &Path, domain: Domain, loader: &Path) -> Facts {
    let identity = domain.identity.clone().unwrap();
    let look = Look {
        folder: store,
        remembers: false,
    };
    look.offline(domain, &identity, loader)
}
