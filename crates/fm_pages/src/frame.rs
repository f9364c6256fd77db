//! What stands around every page: its title, where it is among the others, and who looks.

/// A page of the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    Fleet,
    Hosts,
    Guests,
    Builds,
    Rollouts,
    Certificates,
    Collection,
    Log,
    /// None of them: signing in, a refusal.
    Elsewhere,
}

const SECTIONS: [(Section, &str, &str); 8] = [
    (Section::Fleet, "/", "Fleet"),
    (Section::Hosts, "/hosts", "Hosts"),
    (Section::Guests, "/guests", "Guests"),
    (Section::Builds, "/builds", "Builds"),
    (Section::Rollouts, "/rollouts", "Rollouts"),
    (Section::Certificates, "/certificates", "Certificates"),
    (Section::Collection, "/collection", "Collection"),
    (Section::Log, "/log", "Log"),
];

/// What stands around a page.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    /// What the page is called. Escaped already where somebody else chose it.
    pub(super) title: String,
    section: Section,
    pub(super) who: Option<Who>,
    /// Whether the page follows what happens.
    pub(super) is_live: bool,
}

/// Who looks, as it is shown.
#[derive(Debug, Clone)]
pub(super) struct Who {
    pub(super) name: String,
    pub(super) role: &'static str,
    pub(super) can_sign_out: bool,
}

/// An entry of the navigation.
pub(super) struct Entry {
    pub(super) href: &'static str,
    pub(super) text: &'static str,
    pub(super) is_here: bool,
}

impl Frame {
    /// A page that follows what happens.
    pub(super) fn live(title: impl Into<String>, section: Section, who: Who) -> Self {
        Self {
            is_live: true,
            ..Self::still(title, section, who)
        }
    }

    /// A page that stays as it is, such as a form that somebody fills in.
    pub(super) fn still(title: impl Into<String>, section: Section, who: Who) -> Self {
        Self {
            title: title.into(),
            section,
            who: Some(who),
            is_live: false,
        }
    }

    /// A page for whoever comes.
    pub(super) fn stranger(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            section: Section::Elsewhere,
            who: None,
            is_live: false,
        }
    }

    pub(super) fn entries(&self) -> [Entry; 8] {
        SECTIONS.map(|(section, href, text)| Entry {
            href,
            text,
            is_here: section == self.section,
        })
    }
}
