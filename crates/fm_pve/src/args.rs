//! What Flashmoor puts into a guest's `args`: a block node with its CODE, and that the first flash unit is that node.
//!
//! Proxmox puts `args` behind its own `-machine`, and of two QEMU merges the options: the last `pflash0` counts. The node's
//! name begins with the digest of the build, so that a configuration says which build it wants, on every node of the
//! cluster and in every snapshot.

use std::path::Path;

use fm_formats::Sha256;

use crate::words;

/// What the names of our nodes start with.
const NODE: &str = "fm-";
/// As many digits as a node's name has room for: QEMU takes 31 bytes.
const DIGITS: usize = 28;

/// The first digits of the build that `args` asks for, if they are ours.
pub(crate) fn build(args: &str) -> Option<String> {
    let words = words::split(args)?;
    ours(&words)
        .and_then(|range| words.get(range.start + 3))
        .and_then(|machine| {
            let digits = machine.strip_prefix("pflash0=")?.strip_prefix(NODE)?;
            (digits.len() == DIGITS).then(|| digits.to_owned())
        })
}

/// `args` with this build, and with whatever else was there.
pub(crate) fn with_build(args: Option<&str>, build: &Sha256, code: &Path) -> Option<String> {
    let mut words = match args {
        Some(args) => words::split(&without_build(args)?)?,
        None => Vec::new(),
    };
    let digits: String = build.to_string().chars().take(DIGITS).collect();
    // A comma in a value is written twice.
    let path = code.to_str()?.replace(',', ",,");
    words.extend([
        "-blockdev".to_owned(),
        format!("driver=raw,node-name={NODE}{digits},read-only=on,file.driver=file,file.filename={path}"),
        "-machine".to_owned(),
        format!("pflash0={NODE}{digits}"),
    ]);
    Some(words::join(&words))
}

/// `args` without what is ours; nothing if it cannot be read.
pub(crate) fn without_build(args: &str) -> Option<String> {
    let mut words = words::split(args)?;
    while let Some(range) = ours(&words) {
        words.drain(range);
    }
    Some(words::join(&words))
}

/// Where the four words of ours are.
fn ours(words: &[String]) -> Option<std::ops::Range<usize>> {
    let start = words.windows(4).position(|four| {
        matches!(four, [blockdev, node, machine, flash]
        if blockdev == "-blockdev" && machine == "-machine"
            && flash.strip_prefix("pflash0=").is_some_and(|name| {
                name.starts_with(NODE) && node.contains(&format!("node-name={name},"))
            }))
    })?;
    Some(start..start + 4)
}

/// Whether a command line of Proxmox's gives flash as drives, which clash with `-machine pflash0=`.
pub(crate) fn has_flash_drives(command: &[String]) -> bool {
    command
        .windows(2)
        .any(|two| matches!(two, [option, value] if option == "-drive" && value.starts_with("if=pflash")))
}

/// The file of CODE on a command line of Proxmox's, which is not ours.
pub(crate) fn proxmox_code(command: &[String]) -> Option<String> {
    command.windows(2).find_map(|two| {
        let [option, value] = two else { return None };
        match option.as_str() {
            "-blockdev" => {
                let node: serde_json::Value = serde_json::from_str(value).ok()?;
                (node["node-name"] == "pflash0")
                    .then(|| node["file"]["filename"].as_str().map(str::to_owned))?
            }
            "-drive" if value.starts_with("if=pflash,unit=0,") => {
                value.split_once("file=").map(|(_, path)| path.to_owned())
            }
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CODE: &str = "/var/lib/flashmoor/pve/100/CODE.fd";

    #[test]
    fn a_build_is_put_in_found_changed_and_taken_out_and_the_rest_stays() {
        let [one, other] = [b"1", b"2"].map(|bytes| Sha256::of(bytes));
        let own = "-device 'a,b=c d' -cpu host";
        let args = with_build(Some(own), &one, Path::new(CODE)).unwrap();
        assert!(one.to_string().starts_with(&build(&args).unwrap()));
        let args = with_build(Some(&args), &other, Path::new(CODE)).unwrap();
        assert!(other.to_string().starts_with(&build(&args).unwrap()));
        assert_eq!(args.matches("pflash0").count(), 1);
        assert_eq!(without_build(&args).unwrap(), own);
        assert_eq!(build(own), None);
        let name = args.rsplit_once('=').unwrap().1;
        assert!(name.len() <= 31, "QEMU takes no longer names of nodes");
    }

    #[test]
    fn flash_on_a_command_line_of_proxmox_is_found_in_both_forms() {
        let old = words::split(
            "kvm -drive 'if=pflash,unit=0,format=raw,readonly=on,file=/usr/share/pve-edk2-firmware//OVMF_CODE.fd'",
        );
        let new = words::split(
            r#"kvm -blockdev '{"driver":"raw","file":{"driver":"file","filename":"/usr/share/pve-edk2-firmware//OVMF_CODE.fd"},"node-name":"pflash0","read-only":true}'"#,
        );
        let (old, new) = (old.unwrap(), new.unwrap());
        assert!(has_flash_drives(&old) && !has_flash_drives(&new));
        for command in [old, new] {
            assert_eq!(
                proxmox_code(&command).as_deref(),
                Some("/usr/share/pve-edk2-firmware//OVMF_CODE.fd")
            );
        }
    }

    proptest! {
        #[test]
        fn whatever_args_hold_they_come_back(words in prop::collection::vec("[a-z'\" ,=-]{0,12}", 0..6)) {
            let own = words::join(&words);
            let args = with_build(Some(&own), &Sha256::of(b"x"), Path::new(CODE)).unwrap();
            prop_assert_eq!(without_build(&args).unwrap(), own);
        }
    }
}
