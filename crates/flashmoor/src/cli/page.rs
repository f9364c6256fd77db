//! The first page of help: every command in its group, in one line.

use std::fmt::Write as _;

use clap::Command;

/// The groups, and in each the commands with what they are for. A test holds every command to a place here.
const GROUPS: &[(&str, &[(&str, &str)])] = &[
    (
        "Guests",
        &[
            ("ps", "list this host's guests and the firmware each really runs"),
            ("check", "tell what a firmware change does to a guest, and when"),
            ("update", "give a running guest other firmware at its next reset"),
            ("capture", "store the firmware that running guests use"),
            ("migrate", "migrate a guest together with its firmware"),
            ("offer", "say what a guest's firmware is, for another host"),
            ("prepare", "put files in place for a guest about to arrive"),
            ("harvest", "store the firmware that a guest brought along"),
        ],
    ),
    (
        "Images",
        &[
            ("inspect", "say what firmware files, stores and streams are"),
            ("diff", "say what changed between two builds"),
            ("extract", "take a volume, file or section out of an image"),
            ("find", "find a GUID or a text in an image"),
            ("catalogue", "names of known builds, by digest"),
        ],
    ),
    (
        "Variables",
        &[(
            "vars",
            "read, change, convert and mend UEFI variables; Secure Boot",
        )],
    ),
    (
        "Saved guests",
        &[("saved", "firmware of save images, streams and snapshots")],
    ),
    (
        "Store",
        &[("store", "builds kept by digest: import, pin, export, collect")],
    ),
    (
        "This host",
        &[
            ("libvirt", "let firmware follow libvirt's guests"),
            ("pve", "let firmware follow Proxmox VE's guests"),
            ("kubevirt", "let KubeVirt's machines name their build"),
            ("incus", "let Incus's virtual machines keep their firmware"),
            ("guard", "capture before apt or dnf replaces firmware"),
            ("agent", "the service that watches this host's guests"),
        ],
    ),
    (
        "Fleet",
        &[
            (
                "fleet",
                "who runs which firmware cluster-wide, and why it is kept",
            ),
            ("rollout", "bring a build to a part of the guests, and back"),
            ("serve", "run the fleet's server: API, records, builds"),
        ],
    ),
    (
        "Help and scripts",
        &[
            ("explain", "why a finding of check matters, and what to do"),
            ("config", "show settings and where each comes from"),
            ("completions", "what your shell needs to complete commands"),
            ("schema", "the JSON schema of a document"),
            ("demo", "the main job, shown on two hosts of this machine"),
            ("atlas", "record what real QEMU does with firmware"),
        ],
    ),
];

/// The page's template, which only leaves the options to clap.
pub(super) fn template(command: &Command) -> String {
    let style = command.get_styles().get_header();
    let mut page = String::from("{about-with-newline}\n{usage-heading} {usage}\n");
    let mut group = |title: &str, lines: &mut dyn Iterator<Item = (String, String)>| {
        let mut lines = lines.peekable();
        if lines.peek().is_some() {
            let _ = write!(page, "\n{style}{title}:{style:#}\n");
        }
        for (name, about) in lines {
            let literal = command.get_styles().get_literal();
            let _ = writeln!(
                page,
                "  {literal}{name}{literal:#}{:1$} {about}",
                "",
                12usize.saturating_sub(name.len())
            );
        }
    };
    let known = |name: &str| {
        command
            .get_subcommands()
            .any(|sub| sub.get_name() == name && !sub.is_hide_set())
    };
    for (title, commands) in GROUPS {
        let here = commands.iter().filter(|(name, _)| known(name));
        group(
            title,
            &mut here.map(|(name, about)| ((*name).to_owned(), (*about).to_owned())),
        );
    }
    let others = command
        .get_subcommands()
        .filter(|sub| !sub.is_hide_set() && lines_of(sub.get_name()) == 0);
    group(
        "Others",
        &mut others.map(|sub| {
            let about = sub.get_about().map(ToString::to_string).unwrap_or_default();
            (sub.get_name().to_owned(), about.replace(['{', '}'], ""))
        }),
    );
    let _ = write!(page, "\n{style}Options:{style:#}\n{{options}}{{after-help}}");
    page
}

/// How many lines of the page are this command's: one.
pub(super) fn lines_of(name: &str) -> usize {
    let commands = GROUPS.iter().flat_map(|(_, commands)| *commands);
    commands.filter(|(known, _)| *known == name).count()
}
