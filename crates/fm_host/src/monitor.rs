//! What QEMU's monitor says of its machine: version, machine type, RAM blocks, flash.

use std::path::PathBuf;
use std::time::Duration;

use rustix::net::sockopt;
use serde_json::{Value, json};

use crate::qmp::commands::QueryStatus;
use crate::qmp::{Client, Error, RunState, Version};

/// How long one of these questions may take; QEMU answers them from memory.
pub const QUESTION_TIMEOUT: Duration = Duration::from_secs(10);

/// One QEMU, described by its monitor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// QEMU's version.
    pub version: Version,
    /// The machine type as the migration stream names it, such as `pc-q35-7.2`.
    pub machine: Option<String>,
    /// The run state, such as `running` or `inmigrate`.
    pub status: RunState,
    /// What `-name` said.
    pub name: Option<String>,
    /// What `-uuid` said; nothing where it is all zeros.
    pub uuid: Option<String>,
    /// Every RAM block that a migration would carry.
    pub blocks: Vec<RamBlock>,
    /// The flash units in order, first CODE, then VARS.
    pub flash: Vec<Flash>,
    /// The process behind the socket, where it is one of this host's.
    pub pid: Option<u32>,
}

/// One RAM block (`x-query-ramblock`; QEMU `softmmu/physmem.c:ram_block_format`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RamBlock {
    /// Its name in the migration stream, such as `system.flash0`.
    pub name: String,
    /// Bytes in use, which is what the stream announces.
    pub used_bytes: u64,
    /// Bytes it may grow to.
    pub max_bytes: u64,
}

/// One flash unit (`query-block`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flash {
    /// 0 is CODE on x86 and Arm's `virt`, 1 is VARS.
    pub unit: u32,
    /// The file as QEMU names it.
    pub file: PathBuf,
    /// The block driver, such as `raw` or `qcow2`.
    pub format: String,
    /// The block node's name.
    pub node: Option<String>,
    /// Whether QEMU opened it read-only.
    pub read_only: bool,
    /// Bytes as the guest sees them.
    pub size_bytes: u64,
}

impl Description {
    /// The RAM block of this name.
    #[must_use]
    pub fn block(&self, name: &str) -> Option<&RamBlock> {
        self.blocks.iter().find(|block| block.name == name)
    }

    /// The RAM block of a flash unit: `system.flashN` on x86, `virt.flashN` on Arm's and RISC-V's `virt`.
    #[must_use]
    pub fn flash_block(&self, unit: u32) -> Option<&RamBlock> {
        let suffix = format!(".flash{unit}");
        self.blocks
            .iter()
            .find(|block| block.name.strip_suffix(&suffix).is_some_and(|m| !m.contains('/')))
    }
}

/// Asks everything; nothing that changes or pauses the guest.
///
/// # Errors
/// What [`Client::execute`] returns. What a QEMU does not know is left out instead.
pub fn describe(client: &mut Client) -> Result<Description, Error> {
    let text = |value: Value| value.as_str().map(ToOwned::to_owned);
    let status = client.ask(&QueryStatus)?.status;
    let machine = optional(client.execute("qom-get", Some(json!({"path": "/machine", "property": "type"}))))?;
    let blocks = optional(client.execute("x-query-ramblock", None))?;
    let drives = client.execute("query-block", None)?;
    let name = client.execute("query-name", None)?;
    let uuid = client.execute("query-uuid", None)?;
    Ok(Description {
        version: client.version(),
        machine: machine
            .and_then(text)
            .map(|name| name.strip_suffix("-machine").unwrap_or(&name).to_owned()),
        status,
        name: name.get("name").cloned().and_then(text),
        uuid: uuid
            .get("UUID")
            .cloned()
            .and_then(text)
            .filter(|uuid| uuid.bytes().any(|b| b != b'0' && b != b'-')),
        blocks: blocks.map_or_else(Vec::new, |reply| ram_blocks(&reply)),
        flash: flash_units(&drives),
        pid: sockopt::socket_peercred(client.stream())
            .ok()
            .and_then(|peer| u32::try_from(peer.pid.as_raw_nonzero().get()).ok()),
    })
}

/// A question that an older or newer QEMU may not know.
fn optional(reply: Result<Value, Error>) -> Result<Option<Value>, Error> {
    match reply {
        Ok(value) => Ok(Some(value)),
        Err(Error::Refused { .. }) => Ok(None),
        Err(other) => Err(other),
    }
}

fn ram_blocks(reply: &Value) -> Vec<RamBlock> {
    let text = reply
        .get("human-readable-text")
        .and_then(Value::as_str)
        .unwrap_or_default();
    text.lines().filter_map(ram_block).collect()
}

/// `NAME  4 KiB  0xOFFSET 0xUSED 0xTOTAL`, with more columns in newer releases.
fn ram_block(line: &str) -> Option<RamBlock> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let unit = words
        .iter()
        .position(|word| matches!(*word, "KiB" | "MiB" | "GiB" | "B"))?;
    let hex = |at: usize| u64::from_str_radix(words.get(at)?.strip_prefix("0x")?, 16).ok();
    Some(RamBlock {
        name: words.get(..unit.checked_sub(1)?)?.join(" "),
        used_bytes: hex(unit + 2)?,
        max_bytes: hex(unit + 3)?,
    })
}

fn flash_units(reply: &Value) -> Vec<Flash> {
    let mut units: Vec<Flash> = reply
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(flash_unit)
        .collect();
    units.sort_by_key(|flash| flash.unit);
    units
}

fn flash_unit(drive: &Value) -> Option<Flash> {
    let device = drive.get("qdev")?.as_str()?;
    let (_, unit) = device.rsplit_once('/')?.1.split_once(".flash")?;
    let inserted = drive.get("inserted")?;
    let text = |key: &str| inserted.get(key).and_then(Value::as_str).map(ToOwned::to_owned);
    Some(Flash {
        unit: unit.parse().ok()?,
        file: text("file")?.into(),
        format: text("drv")?,
        node: text("node-name"),
        read_only: inserted.get("ro").and_then(Value::as_bool).unwrap_or(false),
        size_bytes: inserted.get("image")?.get("virtual-size")?.as_u64()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_block_table_is_read_in_the_form_of_either_release() {
        let old = "              Block Name    PSize              Offset               Used              Total\n\
                   \u{20}                 pc.ram    4 KiB  0x0000000000000000 0x0000000008000000 0x0000000008000000\n\
                   \u{20}   /rom@etc/acpi/tables    4 KiB  0x00000000082c0000 0x0000000000020000 0x0000000000200000\n";
        let new = "              Block Name    PSize              Offset               Used              Total                HVA  RO\n\
                   \u{20}          system.flash0    4 KiB  0x0000000008000000 0x000000000037c000 0x000000000037c000 0x00007f0000000000  rom\n";
        let block = |name: &str, used_bytes, max_bytes| RamBlock {
            name: name.into(),
            used_bytes,
            max_bytes,
        };
        assert_eq!(
            ram_blocks(&json!({ "human-readable-text": old })),
            [
                block("pc.ram", 0x800_0000, 0x800_0000),
                block("/rom@etc/acpi/tables", 0x2_0000, 0x20_0000)
            ]
        );
        assert_eq!(
            ram_blocks(&json!({ "human-readable-text": new })),
            [block("system.flash0", 0x37_c000, 0x37_c000)]
        );
    }

    #[test]
    fn a_table_that_is_none_yields_no_blocks() {
        for text in [
            "",
            "KiB",
            "a KiB 0x 0x 0x",
            "x 4 KiB 0x1 0x2",
            "x 4 KiB 0x1 0xffffffffffffffffff 0x3",
        ] {
            assert_eq!(ram_blocks(&json!({ "human-readable-text": text })), [], "{text}");
        }
        assert_eq!(ram_blocks(&json!([1])), []);
    }

    #[test]
    fn only_flash_drives_are_flash_and_odd_replies_are_passed_over() {
        let drives = json!([
            {"qdev": "/machine/system.flash1", "inserted": {"file": "v.fd", "drv": "raw", "ro": false, "image": {"virtual-size": 131072}}},
            {"qdev": "/machine/system.flash0", "inserted": {"file": "c.fd", "drv": "raw", "ro": true, "node-name": "n", "image": {"virtual-size": 1966080}}},
            {"qdev": "/machine/peripheral/disk0/virtio-backend", "inserted": {"file": "d.img", "drv": "raw", "image": {"virtual-size": 1}}},
            {"device": "floppy0"}, 17, {"qdev": "/machine/system.flash7"},
        ]);
        let units = flash_units(&drives);
        assert_eq!(
            units
                .iter()
                .map(|flash| (flash.unit, flash.size_bytes))
                .collect::<Vec<_>>(),
            [(0, 1_966_080), (1, 131_072)]
        );
        assert!(units[0].read_only && units[0].node.as_deref() == Some("n"));
    }
}
