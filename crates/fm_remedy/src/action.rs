//! What Flashmoor can be asked to do about something, each action with its subject.

use alloc::string::String;

use crate::Input;

/// One thing to do. A subject that is `None` is not known where the remedy was made; an interface asks for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
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
        part: Option<&'static str>,
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
        code: Option<&'static str>,
    },
    /// Record what real QEMU does.
    RecordAtlas,
}

/// What a variable store is converted to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ConvertTarget {
    /// A layout by its name, or `json`.
    Layout(String),
    /// The form that this CODE file reads.
    For(Option<String>),
}

/// Which libvirt domains.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum DomainSubject {
    /// One, by name.
    Named(String),
    /// All.
    All,
}
