//! The lab's promises, on a real guest.

use fm_lab::{Arch, Guest, GuestError, Machine};

#[test]
fn a_guest_boots_to_its_shell_answers_and_is_gone_when_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let vars = dir.path().join("a,comma.fd");
    std::fs::copy("/usr/share/OVMF/OVMF_VARS_4M.fd", &vars).unwrap();
    let machine = Machine::new(Arch::X86_64, "/usr/share/OVMF/OVMF_CODE_4M.fd".as_ref(), &vars);
    let mut guest = Guest::start(&machine, &dir.path().join("run")).unwrap();
    guest.boot_to_shell().unwrap();
    assert_eq!(guest.shell("echo hello").unwrap(), "hello");
    assert_eq!(guest.status().unwrap(), "running");
    // The byte at the reset vector is the start of a jump or nop, as in the file's last 16 bytes.
    let code = std::fs::read("/usr/share/OVMF/OVMF_CODE_4M.fd").unwrap();
    assert_eq!(
        guest.read_physical(0xffff_fff0, 16).unwrap(),
        code[code.len() - 16..]
    );
    let pid = guest.pid();
    drop(guest);
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn a_qemu_that_refuses_its_command_line_is_an_error_with_its_words() {
    let dir = tempfile::tempdir().unwrap();
    let machine = Machine::bare(Arch::X86_64).with(&["-machine", "no-such-machine"]);
    let error = Guest::start(&machine, &dir.path().join("run")).unwrap_err();
    assert!(
        matches!(&error, GuestError::Ended { stderr, .. } if stderr.contains("unsupported machine type")),
        "{error}"
    );
}
