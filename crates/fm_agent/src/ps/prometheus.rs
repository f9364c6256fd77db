//! The textfile-collector form: what node_exporter reads from a folder.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use fm_files::Place;
use fm_remedy::Foreign;

use fm_api::v1::fleet::Digest;
use fm_api::v1::ps::{Ps, PsGuest};

/// The metrics of `ps` as text.
#[must_use]
pub fn text(ps: &Ps) -> String {
    let mut text = String::new();
    family(
        &mut text,
        "flashmoor_guest_firmware_info",
        "The firmware that a guest runs.",
        ps.guests.iter().filter_map(|guest| {
            let code = guest.code.as_ref()?;
            let vars = guest.vars.as_ref();
            let labels = labels(
                guest,
                &[
                    ("machine", guest.machine.as_deref()),
                    ("qemu_version", guest.qemu_version.as_deref()),
                    ("code", code.path.as_deref().and_then(Path::to_str)),
                    ("running_sha256", code.running_sha256.as_ref().map(Digest::as_str)),
                    ("file_sha256", code.file_sha256.as_ref().map(Digest::as_str)),
                    ("build", code.build.as_deref()),
                    ("layout", vars.and_then(|vars| Some(vars.layout?.name()))),
                    (
                        "secure_boot",
                        vars.and_then(|vars| Some(vars.secure_boot?.name())),
                    ),
                ],
            );
            Some((labels, 1))
        }),
        Twice::Largest,
    );
    family(
        &mut text,
        "flashmoor_guest_firmware_drift",
        "1 if a cold boot would get other firmware than the guest runs.",
        ps.guests.iter().filter_map(|guest| {
            let drift = guest.code.as_ref()?.drift?;
            Some((labels(guest, &[]), u64::from(drift)))
        }),
        Twice::Largest,
    );
    family(
        &mut text,
        "flashmoor_guest_vars_free_bytes",
        "What the guest's firmware can write to its variable store before it must reclaim.",
        ps.guests.iter().filter_map(|guest| {
            let free_bytes = guest.vars.as_ref()?.free_bytes?;
            Some((labels(guest, &[]), free_bytes))
        }),
        Twice::Smallest,
    );
    let unknown = ps.unknown_drifts() as u64;
    family(
        &mut text,
        "flashmoor_guests_with_unknown_drift",
        "Guests with firmware in flash that have no flashmoor_guest_firmware_drift.",
        [(String::new(), unknown)].into_iter(),
        Twice::Largest,
    );
    let unseen = ps.guests.iter().filter(|guest| !guest.remarks.is_empty()).count();
    family(
        &mut text,
        "flashmoor_guests",
        "QEMU guests on this host.",
        [(String::new(), ps.guests.len() as u64)].into_iter(),
        Twice::Largest,
    );
    family(
        &mut text,
        "flashmoor_guests_with_remarks",
        "Guests of which something could not be seen.",
        [(String::new(), unseen as u64)].into_iter(),
        Twice::Largest,
    );
    text
}

/// Writes the metrics to `path` so that a collector sees the old or the new file, whole.
///
/// # Errors
/// [`crate::Error::Files`].
pub fn write(ps: &Ps, path: &Path) -> crate::Result<()> {
    // The collector reads `*.prom` only, and the new file's name has another end. Whoever owns the folder can neither
    // foresee that name nor have us write through a link.
    let written = Place::at(path).and_then(|place| place.write(text(ps).as_bytes(), 0o644));
    written.map_err(|error| {
        let (_, _, source) = error.into_parts();
        crate::Error::file("write", path, source)
    })
}

/// Which value counts where two guests have the same labels: a collector takes each set of labels once. The worse one.
#[derive(Debug, Clone, Copy)]
enum Twice {
    Largest,
    Smallest,
}

fn family(
    text: &mut String,
    name: &str,
    help: &str,
    samples: impl Iterator<Item = (String, u64)>,
    twice: Twice,
) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
    let mut told: BTreeMap<String, u64> = BTreeMap::new();
    for (labels, value) in samples {
        let known = told.entry(labels).or_insert(value);
        *known = match twice {
            Twice::Largest => value.max(*known),
            Twice::Smallest => value.min(*known),
        };
    }
    for (labels, value) in told {
        let _ = writeln!(text, "{name}{labels} {value}");
    }
}

/// Nothing in them is new with each start of the same guest, such as a pid: a collector keeps every series that it saw.
fn labels(guest: &PsGuest, more: &[(&str, Option<&str>)]) -> String {
    let own = [("name", guest.name.as_deref()), ("uuid", guest.uuid.as_deref())];
    let pairs: Vec<String> = own
        .iter()
        .chain(more)
        .filter_map(|(key, value)| Some(format!("{key}=\"{}\"", Foreign((*value)?).label())))
        .collect();
    match pairs.is_empty() {
        true => String::new(),
        false => format!("{{{}}}", pairs.join(",")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fm_api::v1::ps::PsCode;

    fn sample() -> Ps {
        Ps {
            schema: fm_api::Schema::default(),
            guests: vec![PsGuest {
                pid: 7,
                name: Some("a\"b\\c\nd".into()),
                uuid: None,
                qemu_version: Some("7.2".into()),
                machine: None,
                arch: "x86_64".into(),
                accel: Some("tcg".into()),
                code: Some(PsCode {
                    path: Some("/c.fd".into()),
                    format: "raw".into(),
                    size_bytes: Some(1),
                    running_sha256: "aa".repeat(32).parse().ok(),
                    next_reset_sha256: "aa".repeat(32).parse().ok(),
                    file_sha256: None,
                    drift: Some(true),
                    build: None,
                }),
                vars: None,
                roms: Vec::new(),
                migration: None,
                remarks: Vec::new(),
            }],
            remarks: Vec::new(),
        }
    }

    #[test]
    fn labels_are_escaped_and_absent_facts_have_no_label() {
        let text = text(&sample());
        let info = r#"flashmoor_guest_firmware_info{name="a\"b\\c\nd",qemu_version="7.2",code="/c.fd",running_sha256="DIGEST"} 1"#;
        assert!(text.contains(&info.replace("DIGEST", &"aa".repeat(32))), "{text}");
        assert!(text.contains(r#"flashmoor_guest_firmware_drift{name="a\"b\\c\nd"} 1"#));
        assert!(text.contains("\nflashmoor_guests_with_unknown_drift 0\n"));
        assert!(text.ends_with("flashmoor_guests_with_remarks 0\n"));
    }

    #[test]
    fn a_guest_that_starts_again_has_no_new_series_and_two_of_one_name_have_one() {
        let mut ps = sample();
        let before = text(&ps);
        ps.guests[0].pid = 8;
        assert_eq!(text(&ps), before);
        let mut twin = ps.guests[0].clone();
        twin.code.as_mut().unwrap().drift = Some(false);
        ps.guests.insert(0, twin);
        let both = text(&ps);
        assert_eq!(both.matches("\nflashmoor_guest_firmware_drift{").count(), 1);
        assert!(
            both.contains(r#"flashmoor_guest_firmware_drift{name="a\"b\\c\nd"} 1"#),
            "the worse one: {both}"
        );
        assert!(both.contains("\nflashmoor_guests 2\n"));
        for guest in &mut ps.guests {
            guest.name = None;
        }
        assert!(text(&ps).contains("\nflashmoor_guest_firmware_drift 1\n"));
    }

    #[test]
    fn a_guest_whose_drift_is_not_known_is_counted_as_such() {
        let mut ps = sample();
        ps.guests[0].code.as_mut().unwrap().drift = None;
        assert!(ps.has_unknown_drift() && !ps.has_drift());
        assert!(text(&ps).contains("\nflashmoor_guests_with_unknown_drift 1\n"));
    }

    #[test]
    fn the_file_is_replaced_whole_and_nothing_is_left_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("flashmoor.prom");
        std::fs::write(&path, "old").unwrap();
        write(&sample(), &path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text(&sample()));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        let secret = dir.path().join("secret");
        std::fs::write(&secret, "of root alone").unwrap();
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&secret, &path).unwrap();
        write(&sample(), &path).unwrap();
        assert_eq!(std::fs::read(&secret).unwrap(), b"of root alone");
        let error = write(&sample(), &dir.path().join("none/x.prom")).unwrap_err();
        assert!(
            matches!(
                error,
                crate::Error::Files(fm_files::Error::Io { action: "write", .. })
            ),
            "{error}"
        );
    }
}
