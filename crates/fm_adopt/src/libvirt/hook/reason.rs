//! Why a guest is refused, or what libvirt's log is told: facts, from which the program makes a sentence.

use std::path::PathBuf;

use fm_formats::Sha256;
use fm_remedy::{Action, Class, DomainSubject, Failure, Remedy};

/// Why the hook cannot help. What to do about it is in [`Failure::remedy`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// Not a domain, or no XML.
    #[error("the domain's XML cannot be read, so nothing is done for it")]
    Unreadable,
    /// The XML cannot name what is in place.
    #[error("the domain's XML cannot name other files")]
    NotEdited {
        /// Why not.
        source: fm_libvirt::DomainXmlError,
    },
    /// The variables are half written, and cannot be settled.
    #[error("the variables of domain {domain} on {} are half written", path.display())]
    HalfWritten {
        /// Whose.
        domain: String,
        /// The device.
        path: PathBuf,
        /// Why the write can be neither finished nor undone.
        source: Box<fm_variables::Error>,
    },
    /// What `-bios` takes is not here.
    #[error(
        "{}, the firmware of domain {domain}, is not on this host, and it is a ROM image, which Flashmoor does not carry",
        path.display()
    )]
    RomMissing {
        /// Whose.
        domain: String,
        /// The file.
        path: PathBuf,
    },
    /// Nothing says what a missing file held.
    #[error(
        "{} is not on this host, and what arrives of domain {domain} does not say what to put in its place",
        missing.display()
    )]
    NotAdopted {
        /// Whose.
        domain: String,
        /// The file.
        missing: PathBuf,
        /// Its memory in a file of libvirt's, if it has such.
        managed_save: Option<PathBuf>,
    },
    /// No stream will bring the build.
    #[error(
        "an offline migration brings no firmware, and build {build} of domain {domain} is not on this host"
    )]
    OfflineWithoutBuild {
        /// Whose.
        domain: String,
        /// Its build.
        build: Sha256,
    },
    /// Variables of another size are in the way.
    #[error(
        "{} has {found_bytes} bytes from another time, and the variables of domain {domain} have {vars_bytes}",
        path.display()
    )]
    VarsSize {
        /// Whose.
        domain: String,
        /// VARS.
        path: PathBuf,
        /// What is there.
        found_bytes: u64,
        /// What would arrive.
        vars_bytes: u64,
    },
    /// The metadata is wrong.
    #[error(
        "the metadata of domain {domain} says that its variables have {vars_bytes} bytes, and no firmware has so many"
    )]
    VarsTooLarge {
        /// Whose.
        domain: String,
        /// What it says.
        vars_bytes: u64,
    },
    /// The store cannot be read or written.
    #[error("the store cannot be used")]
    StoreUnusable {
        /// Why.
        source: Box<crate::Error>,
    },
    /// A file of the store is not what its name says, or gone.
    #[error("the store cannot be used: {} does not hold the build {build}", path.display())]
    StoreDamaged {
        /// Which build.
        build: Sha256,
        /// Its CODE.
        path: PathBuf,
    },
    /// Without the store, no file here has the right size.
    #[error("no firmware of the right size for domain {domain}")]
    NoFirmware {
        /// Whose.
        domain: String,
        /// Why the store is of no help.
        source: Box<Reason>,
    },
    /// A cold boot from zeros.
    #[error(
        "domain {domain} would boot from a placeholder: its firmware, build {build}, never arrived here (an offline \
         migration brings none)"
    )]
    Placeholder {
        /// Whose.
        domain: String,
        /// Its build.
        build: Sha256,
    },
    /// The landing that the definition names was removed.
    #[error("{}, from which domain {domain} would boot, is gone", path.display())]
    LandingGone {
        /// Whose.
        domain: String,
        /// Its CODE.
        path: PathBuf,
    },
    /// The stored CODE that the definition names is gone or another one.
    #[error(
        "the firmware of domain {domain} is not at {}: {}",
        path.display(),
        if *is_there { "the file holds other bytes" } else { "there is no such file" }
    )]
    CodeGone {
        /// Whose.
        domain: String,
        /// Its CODE.
        path: PathBuf,
        /// Whether there is a file.
        is_there: bool,
        /// Whether the store's index has the build.
        is_stored: bool,
    },
    /// It could not be put back.
    #[error("the firmware of domain {domain} is not at {}", path.display())]
    CodeNotPutBack {
        /// Whose.
        domain: String,
        /// Its CODE.
        path: PathBuf,
        /// Why not.
        source: Box<crate::Error>,
    },
    /// New variables would not come from the domain's own template.
    #[error(
        "the variables of domain {domain} are not at {}{}, and the template to make new ones from is not at {}",
        vars.display(),
        if *is_leftover { " (there is an empty store, which an arrival left that never came)" } else { "" },
        template.display()
    )]
    TemplateGone {
        /// Whose.
        domain: String,
        /// VARS.
        vars: PathBuf,
        /// Whether an empty store of an arrival is in its place.
        is_leftover: bool,
        /// What they would be made from.
        template: PathBuf,
    },
    /// An empty store stands where variables should be, and it is not known who made it.
    #[error(
        "{} is an empty store, as an arrival leaves it that never came, and the variables of domain {domain} are made \
         from another template: Secure Boot would be off",
        vars.display()
    )]
    EmptyVars {
        /// Whose.
        domain: String,
        /// VARS.
        vars: PathBuf,
    },
}

impl Failure for Reason {
    fn class(&self) -> Class {
        Class::Incompatible
    }

    fn remedy(&self) -> Option<Remedy> {
        let import = |with_template| Action::ImportBuild {
            code: None,
            with_template,
        };
        let adopt = |domain: &String| Action::AdoptDomain(DomainSubject::Named(domain.clone()));
        let unadopt = |domain: &String| Action::UnadoptDomain(DomainSubject::Named(domain.clone()));
        Some(match self {
            Self::Unreadable | Self::NotEdited { .. } | Self::StoreUnusable { .. } => return None,
            Self::HalfWritten { source, .. } => return source.remedy(),
            Self::RomMissing { .. } => "install the package that has it".into(),
            Self::NotAdopted {
                domain, managed_save, ..
            } => Remedy::new(
                "adopt the domain where it runs, or a saved guest's image",
                adopt(domain),
            )
            .then(Action::AdoptSaved {
                file: managed_save.as_ref().map(|path| path.display().to_string()),
            }),
            Self::OfflineWithoutBuild { .. } => Remedy::new(
                "export the build there and import it here first",
                Action::ExportBuild,
            )
            .then(import(false)),
            Self::VarsSize { .. } => "move the file away and migrate again".into(),
            Self::VarsTooLarge { domain, .. } => {
                Remedy::new("adopt the domain again where it runs", adopt(domain))
            }
            Self::StoreDamaged { .. } => Remedy::new(
                "see what is wrong with the store, and import the build again",
                Action::VerifyStore,
            )
            .then(import(false)),
            Self::NoFirmware { source, .. } => return source.remedy(),
            Self::Placeholder { .. } => {
                Remedy::new("import the build, then start the domain again", import(false))
            }
            Self::LandingGone { domain, .. } => {
                Remedy::new("bring back the definition as it was", unadopt(domain))
            }
            Self::CodeGone {
                domain, is_stored, ..
            } => {
                let remedy = Remedy::advice("import the build again, or give the definition back as it was");
                let remedy = match is_stored {
                    true => Remedy::new(
                        "see what is wrong with the store, import the build again, or give the definition back as it was",
                        Action::VerifyStore,
                    ),
                    false => remedy,
                };
                remedy.then(import(false)).then(unadopt(domain))
            }
            Self::CodeNotPutBack { domain, .. } => Remedy::new(
                "import the build, or give the definition back as it was",
                import(false),
            )
            .then(unadopt(domain)),
            Self::TemplateGone { .. } => {
                Remedy::new("put the variables back, or import the template", import(true))
            }
            Self::EmptyVars { .. } => {
                "put the variables back, or remove the file: new ones are made from the domain's template"
                    .into()
            }
        })
    }
}
