//! `offer`: what a guest's firmware is, so that a destination can prepare for it.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use fm_api::v1::offer::MAX_OFFER_BYTES;
pub use fm_api::v1::offer::{Offer, OfferedBlock, OfferedFirmware, OfferedFlash, OfferedGuest};
use fm_api::{Document as _, Schema};
use fm_formats::Sha256;
use fm_host::monitor::{self, Description};
use fm_host::qmp::Client;
use fm_host::{FlashUnit, Guest, GuestMemory};

pub use crate::error::offer::Error;

/// The digest of CODE.
///
/// # Errors
/// [`Error::Digest`] if it is none.
pub fn code_digest(offer: &Offer) -> Result<Sha256, Error> {
    let text = &offer.code.sha256;
    text.parse().map_err(|source| Error::Digest {
        text: text.clone(),
        source,
    })
}

/// The offer of the guest that `selector` names. Everything is read from its process, which is not paused.
/// Only if the RAM blocks cannot be found there, and `selector` is a QMP socket, that monitor is asked for
/// them: others may belong to a management stack.
///
/// # Errors
/// If there is no such guest, it has no flash, or it may not be read.
pub fn offer(selector: &str) -> crate::Result<Offer> {
    Ok(found(selector)?.2)
}

/// As [`offer`], with the guest and its open memory.
pub fn found(selector: &str) -> crate::Result<(Guest, GuestMemory, Offer)> {
    let guest = fm_host::find(selector)?;
    let memory = guest.memory()?;
    let asked = match memory.blocks().is_empty() && selector.contains('/') {
        true => Some(ask(Path::new(selector))?),
        false => None,
    };
    let offer = of_guest(&guest, &memory, asked.as_ref())?;
    Ok((guest, memory, offer))
}

fn ask(socket: &Path) -> Result<Description, Error> {
    let mut client = Client::connect(socket, monitor::QUESTION_TIMEOUT)?;
    Ok(monitor::describe(&mut client)?)
}

/// The offer of a guest whose memory is open; `asked` is what its monitor said, if it had to be asked.
pub fn of_guest(
    guest: &Guest,
    memory: &GuestMemory,
    asked: Option<&Description>,
) -> Result<Offer, fm_host::Error> {
    let code = offered(guest, memory, guest.flash_unit(0)?)?;
    let vars = guest.flash()?.iter().find(|flash| flash.unit == 1);
    let vars = vars.map(|flash| offered(guest, memory, flash)).transpose()?;
    let machine = asked.and_then(|asked| asked.machine.clone());
    let machine = machine.or_else(|| guest.machine(Some(memory)).map(|machine| machine.name));
    let mut blocks = Vec::new();
    for block in memory.blocks() {
        let sha256 = match block.flash_unit() {
            Some(0) => Some(code.sha256.clone()),
            Some(1) => vars.as_ref().map(|vars| vars.sha256.clone()),
            _ if block.is_rom() => Some(memory.digest(block.into())?.to_string()),
            _ => None,
        };
        blocks.push(OfferedBlock {
            name: block.name.clone(),
            size_bytes: block.used_bytes,
            sha256,
        });
    }
    let blocks_complete = !blocks.is_empty() || asked.is_some();
    if let Some(asked) = asked {
        let told = |block: &monitor::RamBlock| OfferedBlock {
            name: block.name.clone(),
            size_bytes: block.used_bytes,
            sha256: None,
        };
        blocks.extend(asked.blocks.iter().map(told));
    }
    Ok(Offer {
        schema: Schema::default(),
        qemu_version: guest.qemu_version()?.text,
        machine,
        guest: OfferedGuest {
            name: guest.name().map(ToOwned::to_owned),
            uuid: guest.uuid().map(ToOwned::to_owned),
            pid: Some(guest.pid()),
        },
        blocks,
        blocks_complete,
        build: code.sha256.clone(),
        code,
        vars,
        firmware: None,
        pending_reset: None,
        saved: false,
    })
}

fn offered(guest: &Guest, memory: &GuestMemory, flash: &FlashUnit) -> Result<OfferedFlash, fm_host::Error> {
    let region = guest.flash_region(memory, flash.unit)?;
    let bytes = guest.read_region(memory, flash.unit, region, u64::MAX)?;
    Ok(OfferedFlash {
        path: flash.path.clone(),
        size_bytes: bytes.len() as u64,
        sha256: Sha256::of(&bytes).to_string(),
        format: Some(flash.format.name().to_owned()),
        node: Some(flash.node.clone()),
    })
}

/// Reads an offer from a file, or from standard input if the path is `-`.
///
/// # Errors
/// [`Error`] inside [`crate::Error::Offer`], or if the file cannot be read.
pub fn read(path: &Path) -> crate::Result<Offer> {
    let failed = |source| crate::Error::file("read", path, source);
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        io::stdin()
            .lock()
            .take(MAX_OFFER_BYTES + 1)
            .read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(MAX_OFFER_BYTES + 1).read_to_end(&mut bytes))
    };
    if read.map_err(failed)? as u64 > MAX_OFFER_BYTES {
        return Err(Error::TooLong {
            path: path.to_owned(),
        }
        .into());
    }
    Ok(parse(path, &bytes)?)
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Offer, Error> {
    let malformed = |source| Error::Malformed {
        path: path.to_owned(),
        source,
    };
    // The version is looked at before the rest, which another version may lay out in another way.
    let value: serde_json::Value = serde_json::from_slice(bytes).map_err(malformed)?;
    let schema = value
        .get("schema")
        .and_then(|schema| schema.as_str())
        .unwrap_or_default();
    if schema != Offer::SCHEMA {
        return Err(Error::Schema {
            path: path.to_owned(),
            found: schema.into(),
        });
    }
    let offer: Offer = serde_json::from_value(value).map_err(malformed)?;
    code_digest(&offer)?;
    Ok(offer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn sample() -> serde_json::Value {
        let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let flash = json!({"path": "/a", "size_bytes": 4096, "sha256": digest, "format": "raw", "node": "n"});
        json!({"schema": Offer::SCHEMA, "qemu_version": "7.2", "machine": "pc-q35-7.2", "guest": {"name": "g"},
            "blocks": [], "blocks_complete": false, "code": flash, "vars": flash, "build": digest})
    }

    #[test]
    fn an_offer_with_fields_of_a_later_release_is_read() {
        let mut value = sample();
        value["added_later"] = json!({"x": 1});
        assert_eq!(
            parse("o".as_ref(), value.to_string().as_bytes())
                .unwrap()
                .code
                .size_bytes,
            4096
        );
    }

    #[test]
    fn what_is_no_offer_is_refused_with_the_reason() {
        let refuse =
            |value: &serde_json::Value| parse("o".as_ref(), value.to_string().as_bytes()).unwrap_err();
        let mut other = sample();
        other["schema"] = json!("flashmoor/offer/9");
        assert!(matches!(refuse(&other), Error::Schema { found, .. } if found == "flashmoor/offer/9"));
        let mut without = sample();
        without.as_object_mut().unwrap().remove("code");
        assert!(matches!(refuse(&without), Error::Malformed { .. }));
        let mut digest = sample();
        digest["code"]["sha256"] = json!("../../etc/passwd");
        assert!(matches!(refuse(&digest), Error::Digest { .. }));
        let mut size = sample();
        size["code"]["size_bytes"] = json!(-1);
        assert!(matches!(refuse(&size), Error::Malformed { .. }));
        assert!(matches!(
            parse("o".as_ref(), b"{").unwrap_err(),
            Error::Malformed { .. }
        ));
    }
}
