//! Pins: reasons, given by people or by `capture`, for which a build is never collected.

use fm_formats::Sha256;

use crate::layout::within;
use crate::{Error, Result, Store, oci};

/// A reason is a line for people, and all of them lie in one index.
const MAX_REASON_BYTES: u64 = 4096;

/// A reason that is no longer than a reason may be.
pub(crate) fn check_reason(reason: &str) -> Result<()> {
    within(
        "the reason of the pin",
        reason.as_bytes().to_vec(),
        MAX_REASON_BYTES,
    )
    .map(drop)
}

/// One more reason, unless it is there already.
pub(crate) fn add(pins: &mut Vec<String>, reason: &str) {
    if !pins.iter().any(|known| known == reason) {
        pins.push(reason.to_owned());
    }
}

/// One reason less, or none left.
pub(crate) fn drop_from(pins: &mut Vec<String>, reason: Option<&str>) {
    pins.retain(|known| reason.is_some_and(|reason| reason != known));
}

impl Store {
    /// Keeps a build for `reason` from now on. Tells whether that is news.
    ///
    /// # Errors
    /// [`Error::UnknownBuild`], [`Error::TooLarge`], or if the store is busy or the disk refuses.
    pub fn pin(&self, id: &Sha256, reason: &str) -> Result<bool> {
        check_reason(reason)?;
        self.change_pins(id, |pins| add(pins, reason))
    }

    /// Drops one reason to keep a build, or all. Tells whether there was any.
    ///
    /// # Errors
    /// [`Error::UnknownBuild`], or if the store is busy or the disk refuses.
    pub fn unpin(&self, id: &Sha256, reason: Option<&str>) -> Result<bool> {
        self.change_pins(id, |pins| drop_from(pins, reason))
    }

    /// Lets go of every build that is kept for `reason`, but for these.
    ///
    /// # Errors
    /// If the store is busy or the disk refuses.
    pub fn unpin_others(&self, reason: &str, kept: &[Sha256]) -> Result<()> {
        if self.reader()?.is_none() {
            return Ok(());
        }
        let access = self.access()?;
        let Some(layout) = access.layout() else {
            return Ok(());
        };
        let mut index = layout.index()?;
        let mut is_news = false;
        for entry in &mut index.manifests {
            let mut pins = entry.pins();
            let before = pins.len();
            if !kept.iter().any(|id| entry.is_tagged_for(id)) {
                drop_from(&mut pins, Some(reason));
            }
            if pins.len() != before {
                entry.set_pins(&pins);
                is_news = true;
            }
        }
        if let Some(writer) = access.writer().filter(|_| is_news) {
            writer.layout.write_index(&writer.tmp, &index)?;
        }
        Ok(())
    }

    /// Why a build is kept, whether its manifest can be read or not.
    ///
    /// # Errors
    /// If the index cannot be read.
    pub fn pins(&self, id: &Sha256) -> Result<Vec<String>> {
        let Some(layout) = self.reader()? else {
            return Ok(Vec::new());
        };
        let index = layout.index()?;
        let entry = index.manifests.iter().find(|entry| entry.is_tagged_for(id));
        Ok(entry.map(oci::Descriptor::pins).unwrap_or_default())
    }

    fn change_pins(&self, id: &Sha256, change: impl FnOnce(&mut Vec<String>)) -> Result<bool> {
        let unknown = || Error::UnknownBuild { text: id.to_string() };
        // Its tag is enough: a build whose manifest cannot be read is let go as any other.
        self.reader()?.ok_or_else(unknown)?;
        let access = self.access()?;
        let mut index = access.layout().ok_or_else(unknown)?.index()?;
        let entry = index
            .manifests
            .iter_mut()
            .find(|entry| entry.is_tagged_for(id))
            .ok_or_else(unknown)?;
        let before = entry.pins();
        let mut pins = before.clone();
        change(&mut pins);
        if pins == before {
            return Ok(false);
        }
        entry.set_pins(&pins);
        if let Some(writer) = access.writer() {
            writer.layout.write_index(&writer.tmp, &index)?;
        }
        Ok(true)
    }
}
