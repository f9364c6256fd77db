//! Definitions of guests, and the disk of one that writes variables by itself.

/// A small guest's definition: `os` is what is inside `<os>` after the type, `features` inside `<features>`.
#[must_use]
pub fn domain(name: &str, os: &str, features: &str) -> String {
    let number = name
        .bytes()
        .fold(7_u64, |sum, byte| sum.wrapping_mul(31) + u64::from(byte));
    format!(
        "<domain type='qemu'>
  <name>{name}</name>
  <uuid>f1a50000-0000-4000-8000-{:012x}</uuid>
  <memory unit='MiB'>128</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='pc-q35-7.2'>hvm</type>
{os}
  </os>
  <features><acpi/>{features}</features>
  <cpu mode='custom' match='exact'><model fallback='allow'>qemu64</model></cpu>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <controller type='usb' model='none'/>
    <serial type='unix'><source mode='bind' path='/var/lib/libvirt/{name}.serial'/></serial>
    <memballoon model='none'/>
  </devices>
</domain>
",
        number & 0xffff_ffff_ffff
    )
}

/// `<os>` of a guest on the packaged build `suffix`: empty for 2M, `_4M` for 4M.
#[must_use]
pub fn packaged(name: &str, suffix: &str) -> String {
    domain(
        name,
        &format!(
            "    <loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE{suffix}.fd</loader>
    <nvram template='/usr/share/OVMF/OVMF_VARS{suffix}.fd'>/var/lib/libvirt/qemu/nvram/{name}_VARS.fd</nvram>"
        ),
        "",
    )
}

/// A floppy's image with a `startup.nsh`, which the firmware's shell runs by itself. One that is only read
/// may be used on two hosts at once.
#[must_use]
pub fn script_disk(script: &str) -> Vec<u8> {
    // FAT12 with 512-byte sectors: boot sector, two tables of one sector, one sector of names, then data
    const SECTOR: usize = 512;
    const SECTORS: usize = 320;
    let mut disk = vec![0; SECTOR * SECTORS];
    let mut put = |at: usize, bytes: &[u8]| disk[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"\xeb\x3c\x90FLASHMOO");
    put(11, &512_u16.to_le_bytes());
    put(13, &[1]); // sectors a cluster
    put(14, &1_u16.to_le_bytes()); // reserved: this one
    put(16, &[2]); // tables
    put(17, &16_u16.to_le_bytes()); // names in the root folder
    put(19, &u16::try_from(SECTORS).unwrap().to_le_bytes());
    put(21, &[0xf8]);
    put(22, &1_u16.to_le_bytes()); // sectors a table
    put(38, &[0x29, 1, 2, 3, 4]);
    put(43, b"SCRIPT     FAT12   ");
    put(510, &[0x55, 0xaa]);
    let clusters = script.len().div_ceil(SECTOR);
    let mut table = [0_u8; SECTOR];
    table[..3].copy_from_slice(&[0xf8, 0xff, 0xff]);
    for cluster in 2..clusters + 2 {
        let next = if cluster == clusters + 1 {
            0xfff
        } else {
            cluster + 1
        };
        let at = cluster * 3 / 2;
        if cluster % 2 == 0 {
            table[at] = (next & 0xff) as u8;
            table[at + 1] |= (next >> 8) as u8;
        } else {
            table[at] |= ((next & 0xf) << 4) as u8;
            table[at + 1] = (next >> 4) as u8;
        }
    }
    put(SECTOR, &table);
    put(2 * SECTOR, &table);
    put(3 * SECTOR, b"STARTUP NSH\x20");
    put(3 * SECTOR + 26, &2_u16.to_le_bytes());
    put(
        3 * SECTOR + 28,
        &u32::try_from(script.len()).unwrap().to_le_bytes(),
    );
    put(4 * SECTOR, script.as_bytes());
    disk
}
