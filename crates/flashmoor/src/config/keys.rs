//! The table of settings: each is the default of options, and says which.

use std::path::Path;

/// What a value has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An absolute path.
    Path,
    /// Any text.
    Text,
    /// A number from one up.
    Count,
    /// One of these words.
    Word(&'static [&'static str]),
}

impl Kind {
    pub(crate) fn takes(self, value: &str) -> bool {
        match self {
            Self::Path => Path::new(value).is_absolute(),
            Self::Text => !value.is_empty(),
            Self::Count => value.parse::<u64>().is_ok_and(|number| number > 0),
            Self::Word(words) => words.contains(&value),
        }
    }

    pub(crate) fn wanted(self) -> String {
        match self {
            Self::Path => "an absolute path in quotes".into(),
            Self::Text => "a text in quotes".into(),
            Self::Count => "a number of 1 or more, without quotes".into(),
            Self::Word(words) => format!("one of: {}", words.join(", ")),
        }
    }
}

/// One setting.
#[derive(Debug)]
pub(crate) struct Key {
    /// As the file has it, with its table.
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// What it is without any file.
    pub(crate) default: &'static str,
    /// The environment variable that wins over the files.
    pub(crate) env: Option<&'static str>,
    /// The options whose default it is: the first words of the commands that have it (none: every command), and its
    /// name.
    pub(crate) options: &'static [(&'static [&'static str], &'static str)],
}

const fn key(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    options: &'static [(&'static [&'static str], &'static str)],
) -> Key {
    Key {
        name,
        kind,
        default,
        env: None,
        options,
    }
}

/// Every setting that there is, in the order in which they are shown.
pub(crate) const KEYS: &[Key] = &[
    Key {
        env: Some("FLASHMOOR_STORE"),
        ..key(
            "store",
            Kind::Path,
            "/var/lib/flashmoor for root, else $XDG_DATA_HOME/flashmoor",
            &[(&[], "store")],
        )
    },
    key(
        "color",
        Kind::Word(&["auto", "always", "never"]),
        "auto",
        &[(&[], "color")],
    ),
    key(
        "libvirt.uri",
        Kind::Text,
        "qemu:///system",
        &[
            (&["agent"], "connect"),
            (&["libvirt"], "connect"),
            (&["update"], "connect"),
        ],
    ),
    key(
        "libvirt.policy",
        Kind::Word(&["refuse", "pass"]),
        "refuse",
        &[(&["libvirt", "install"], "policy")],
    ),
    key(
        "libvirt.deadline-ms",
        Kind::Count,
        "2000",
        &[(&["libvirt", "install"], "deadline-ms")],
    ),
    key("agent.interval", Kind::Count, "5", &[(&["agent"], "interval")]),
    key("agent.keep-days", Kind::Count, "30", &[(&["agent"], "keep-days")]),
    key(
        "guard.timeout",
        Kind::Count,
        "30",
        &[(&["guard", "install"], "timeout")],
    ),
    key(
        "gc.placeholder-hours",
        Kind::Count,
        "24",
        &[(&["store", "gc"], "placeholder-hours")],
    ),
    Key {
        env: Some("FLASHMOOR_FLEET_URL"),
        ..key("fleet.url", Kind::Text, "the identity's", &[(&["fleet"], "url")])
    },
    Key {
        env: Some("FLASHMOOR_FLEET_IDENTITY"),
        ..key(
            "fleet.identity",
            Kind::Path,
            "the administrator's, else this host's",
            &[(&["fleet"], "identity")],
        )
    },
    key(
        "serve.listen",
        Kind::Text,
        "127.0.0.1:7117",
        &[(&["serve"], "listen")],
    ),
];

impl Key {
    /// Whether it is the default of the option called `long` of the command with these words.
    pub(crate) fn is_of(&self, command: &[String], long: &str) -> bool {
        self.options.iter().any(|(words, name)| {
            *name == long
                && command.len() >= words.len()
                && words.iter().zip(command).all(|(word, of)| word == of)
        })
    }
}
