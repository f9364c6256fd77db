//! `raw.qemu.conf`: the file of CODE in it, put there and taken out; every other line stays.
//!
//! ```text
//! [drive][0]
//! file = "/var/lib/flashmoor/builds/sha256-…/CODE.fd"
//! ```
//!
//! A section without settings takes Incus's own away, so that none is left behind empty.
//!
//! Source: Incus `internal/server/instance/drivers/driver_qemu_config_override.go`.

/// Why it is not edited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Another file is named.
    OwnFirmware(String),
    /// There is a drive, and not in lines of the usual form.
    Strange,
}

/// With this file as CODE. `is_ours` tells files that were put there before.
pub(crate) fn with_code(conf: &str, file: &str, is_ours: impl Fn(&str) -> bool) -> Result<String, Refusal> {
    let mut text = without_code(conf, is_ours)?;
    let lines: Vec<&str> = text.lines().collect();
    let setting = format!("file = \"{file}\"");
    if let Some(at) = lines.iter().position(|line| is_code_section(line)) {
        let (head, tail) = lines.split_at(at + 1);
        let all = [head, &[setting.as_str()], tail].concat();
        return Ok(all.join("\n") + "\n");
    }
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(format!("{text}[drive][0]\n{setting}\n"))
}

/// Without the file that was put there.
pub(crate) fn without_code(conf: &str, is_ours: impl Fn(&str) -> bool) -> Result<String, Refusal> {
    let mut kept: Vec<&str> = Vec::new();
    let mut in_code = false;
    for line in conf.lines() {
        if line.trim_start().starts_with('[') {
            if line.contains("[drive") && line.trim().matches(['[', '=']).count() > 2 {
                return Err(Refusal::Strange);
            }
            in_code = is_code_section(line);
        } else if line.contains("[drive") {
            return Err(Refusal::Strange);
        } else if in_code && let Some(file) = file_of(line) {
            if !is_ours(file) {
                return Err(Refusal::OwnFirmware(file.to_owned()));
            }
            continue;
        }
        kept.push(line);
    }
    let is_empty = |at: usize| {
        let rest = kept.get(at + 1..).unwrap_or_default();
        let next = rest.iter().find(|line| !line.trim().is_empty());
        next.is_none_or(|line| line.trim_start().starts_with('['))
    };
    let had_one = conf.lines().count() > kept.len();
    let lines: Vec<&str> = kept
        .iter()
        .enumerate()
        .filter(|(at, line)| !(had_one && is_code_section(line) && is_empty(*at)))
        .map(|(_, line)| *line)
        .collect();
    let mut text = lines.join("\n");
    if !text.is_empty() {
        text.push('\n');
    }
    Ok(text)
}

/// Whether a line begins the section of the first drive.
fn is_code_section(line: &str) -> bool {
    matches!(line.trim(), "[drive]" | "[drive][0]")
}

fn file_of(line: &str) -> Option<&str> {
    let (key, value) = line.split_once('=')?;
    (key.trim() == "file").then(|| value.trim().trim_matches('"'))
}

/// A list of rules with this one.
pub(crate) fn with_rule(rules: &str, rule: &str) -> String {
    let mut lines: Vec<&str> = rules.lines().filter(|line| line.trim() != rule).collect();
    lines.push(rule);
    lines.join("\n")
}

/// A list of rules without this one.
pub(crate) fn without_rule(rules: &str, rule: &str) -> String {
    let lines: Vec<&str> = rules.lines().filter(|line| line.trim() != rule).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "/s/builds/sha256-1/CODE.fd";

    fn is_ours(file: &str) -> bool {
        file.starts_with("/s/builds/")
    }

    #[test]
    fn code_is_put_in_and_taken_out_and_all_else_stays() {
        let section = format!("[drive][0]\nfile = \"{OURS}\"\n");
        let other = "[device \"qemu_gpu\"]\ndriver = \"virtio-gpu-pci\"\n";
        let tuned = "[drive][0]\nreadonly = \"on\"\n";
        for (before, with) in [
            (String::new(), section.clone()),
            (other.to_owned(), format!("{other}{section}")),
            (
                format!("{tuned}{other}"),
                format!("[drive][0]\nfile = \"{OURS}\"\nreadonly = \"on\"\n{other}"),
            ),
            (
                format!("[drive][1]\nfile = \"/theirs\"\n{other}"),
                format!("[drive][1]\nfile = \"/theirs\"\n{other}{section}"),
            ),
        ] {
            assert_eq!(with_code(&before, OURS, is_ours).unwrap(), with, "{before}");
            assert_eq!(without_code(&with, is_ours).unwrap(), before, "{with}");
            let newer = with.replace("sha256-1", "sha256-2");
            let again = with_code(&with, "/s/builds/sha256-2/CODE.fd", is_ours);
            assert_eq!(again.unwrap(), newer, "adopted again");
        }
    }

    #[test]
    fn a_section_that_takes_incuss_own_away_is_left_as_it_is() {
        let removes = "[drive][0]\n[drive][1]\n";
        assert_eq!(without_code(removes, is_ours).unwrap(), removes);
    }

    #[test]
    fn firmware_that_somebody_chose_and_forms_that_are_not_understood_are_refused() {
        let own = "[drive]\nfile = /usr/share/mine.fd\n";
        let refused = Refusal::OwnFirmware("/usr/share/mine.fd".into());
        assert_eq!(with_code(own, OURS, is_ours), Err(refused));
        for strange in [
            "[drive][0] file = \"/x\"\n",
            "driver = \"x\" [drive][0]\nfile = \"/x\"\n",
        ] {
            assert_eq!(
                with_code(strange, OURS, is_ours),
                Err(Refusal::Strange),
                "{strange}"
            );
        }
    }

    #[test]
    fn a_rule_is_there_once_and_goes_alone() {
        let rule = "/s/builds/** r,";
        for before in ["", "/a r,", "/a r,\n/b rw,"] {
            let with = with_rule(before, rule);
            assert_eq!(with.matches(rule).count(), 1);
            assert_eq!(with_rule(&with, rule), with);
            assert_eq!(without_rule(&with, rule), before);
        }
    }
}
