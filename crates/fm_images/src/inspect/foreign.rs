//! Files of other kinds, told by how they start: people hand over what a download left, or what wraps an image.

/// Shown to whoever takes a folder of archives for firmware.
const UNPACK: &str = "take the file out of it";

/// What starts so, if that is certain, and what to do about it: nothing of it is flash.
#[must_use]
pub fn named(head: &[u8]) -> Option<String> {
    let known = |(magic, what): &(&[u8], &str)| head.starts_with(magic).then(|| (*what).to_owned());
    let archives: [(&[u8], &str); 11] = [
        (b"PK\x03\x04", "a ZIP archive"),
        (b"!<arch>\n", "an archive of `ar`, such as a Debian package"),
        (b"\xed\xab\xee\xdb", "an RPM package"),
        (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
        (b"Rar!\x1a\x07", "a RAR archive"),
        (b"MSCF\0\0\0\0", "a cabinet archive"),
        (b"070701", "a cpio archive"),
        (b"070702", "a cpio archive"),
        (b"hsqs", "a SquashFS image"),
        (b"xar!", "a xar archive"),
        (b"KDMV", "a VMDK disk image"),
    ];
    if let Some(what) = archives.iter().find_map(known) {
        return Some(format!("it is {what}: {UNPACK}"));
    }
    if head.get(257..262) == Some(b"ustar") {
        return Some(match is_virtual_box(head) {
            true => {
                format!("it is VirtualBox's archive of variables (tar): {UNPACK}, it is called efi/nvram")
            }
            false => format!("it is a tar archive: {UNPACK}"),
        });
    }
    if head.starts_with(b"version https://git-lfs.github.com/spec/") {
        return Some("it is a Git LFS pointer: the file that it stands for was not fetched".into());
    }
    let text = head.trim_ascii_start();
    let starts = |word: &str| {
        text.get(..word.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes()))
    };
    if starts("<!doctype html") || starts("<html") {
        return Some("it is an HTML page: a download brought a message instead of the file".into());
    }
    if starts("<?xml") || starts("<domain") {
        return Some("it is XML".into());
    }
    dump(head)
}

/// A guest's memory, or a core: what looks like volumes in it are copies.
fn dump(head: &[u8]) -> Option<String> {
    const CORE: u16 = 4;
    let is_core = head.starts_with(b"\x7fELF")
        && head.get(16..18).is_some_and(|kind| {
            // Byte 5 says the order of bytes.
            let little = head.get(5) == Some(&1);
            kind == if little {
                CORE.to_le_bytes()
            } else {
                CORE.to_be_bytes()
            }
        });
    let what = if is_core {
        "an ELF core, such as a dump of a guest's memory"
    } else if head.starts_with(b"KDUMP   ") || head.starts_with(b"makedumpfile") {
        "a compressed dump of a guest's memory (kdump)"
    } else if head.starts_with(b"PAGEDU64") || head.starts_with(b"PAGEDUMP") {
        "a Windows dump of a guest's memory"
    } else {
        return None;
    };
    Some(format!(
        "it is {what}: what looks like firmware in it is a copy in memory"
    ))
}

fn is_virtual_box(head: &[u8]) -> bool {
    head.chunks(512).any(|block| block.starts_with(b"efi/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_other_kinds_are_called_what_they_are() {
        let mut tar = vec![0u8; 1024];
        tar[..10].copy_from_slice(b"efi/nvram\0");
        tar[257..262].copy_from_slice(b"ustar");
        let mut core = vec![0u8; 64];
        core[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        core[16] = 4;
        for (head, word) in [
            (&b"PK\x03\x04rest"[..], "ZIP"),
            (b"!<arch>\ndebian-binary", "ar"),
            (b"\n <!DOCTYPE html><html>", "HTML"),
            (b"<HTML lang=en>", "HTML"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:", "LFS"),
            (&tar, "VirtualBox"),
            (&core, "ELF core"),
            (b"KDUMP   ", "kdump"),
            (b"PAGEDU64", "Windows"),
        ] {
            let said = named(head).unwrap_or_default();
            assert!(said.contains(word), "{word}: {said}");
        }
        // Loaders of OvmfPkg's CloudHv start with an ELF header, and it is a program's.
        core[16] = 2;
        for head in [&core[..], b"", b"\0\0\0\0", b"MZ", b"_FVH", b"PK"] {
            assert_eq!(named(head), None);
        }
    }
}
