//! Parse: the variable store inside a VARS file or a combined image, whatever state it is in.

use alloc::format;
use alloc::vec::Vec;

use crate::damage::{Damage, DamageKind};
use crate::ftw::{self, Ftw, PendingWrite};
use crate::geometry::{self, Geometry, VOLUME_HEADER_LEN};
use crate::header::{ActiveCopy, Format, Interrupted, STORE_HEADER_LEN, holds_store, store_header};
use crate::variable::{Entry, State, Variable};
use crate::walk::{is_all, is_erased, walk};
use fm_formats::efi::Name;
use fm_formats::image::Layout;
use fm_formats::volume::VolumeHeader;
use fm_formats::{Error, Guid, Reader, Result};

/// A variable store, borrowed from the bytes that it lies in.
#[derive(Debug, Clone)]
pub struct VarStore<'a> {
    pub(crate) volume: Reader<'a>,
    pub(crate) layout: Option<Layout>,
    pub(crate) format: Format,
    pub(crate) active_copy: ActiveCopy,
    pub(crate) interrupted: Option<Interrupted>,
    pub(crate) recovers: bool,
    pub(crate) ftw: Ftw,
    pub(crate) entries: Vec<Entry<'a>>,
    pub(crate) damage: Vec<Damage>,
    pub(crate) size_bytes: u64,
    pub(crate) used_bytes: u64,
}

impl<'a> VarStore<'a> {
    /// The longest prefix of a VARS file that [`Self::parse_file`] looks at: no volume is longer.
    pub const PREFIX_BYTES: usize = 0x10_0000;

    /// Reads the store in `bytes`, a whole VARS file or combined image.
    ///
    /// # Errors
    /// [`Error::Unexpected`] if there is no variable store and nothing that was one.
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        Self::parse_file(bytes, bytes.len() as u64)
    }

    /// Reads the store in a file of `file_len_bytes` that starts with `bytes`, which hold the first
    /// [`Self::PREFIX_BYTES`] of it or all.
    ///
    /// # Errors
    /// [`Error::Unexpected`] if there is no variable store and nothing that was one.
    pub fn parse_file(bytes: &'a [u8], file_len_bytes: u64) -> Result<Self> {
        Self::parse_as(bytes, file_len_bytes, true)
    }

    /// Reads what lies in the main area alone, as firmware does that has no FaultTolerantWritePei: whatever the FTW
    /// queue says and the spare holds. What lies behind damage is not looked for in the spare either.
    ///
    /// # Errors
    /// [`Error::Unexpected`] if there is no variable store and nothing that was one.
    pub fn parse_main(bytes: &'a [u8], file_len_bytes: u64) -> Result<Self> {
        Self::parse_as(bytes, file_len_bytes, false)
    }

    fn parse_as(bytes: &'a [u8], file_len_bytes: u64, recovers: bool) -> Result<Self> {
        let mut whole = Reader::new(bytes);
        let header = VolumeHeader::parse(&mut whole.clone())
            .ok()
            .filter(|header| header.file_system == VolumeHeader::NV_DATA);
        let by_file = geometry::detect_by_file(file_len_bytes);
        let layout = match &header {
            Some(header) => geometry::detect(header.volume_len_bytes, file_len_bytes).or(by_file),
            None => by_file,
        };
        let volume_len = match (layout, &header) {
            (Some(layout), _) => layout.vars_volume_size_bytes(),
            (None, Some(header)) => header.volume_len_bytes,
            (None, None) => return Err(not_a_store(bytes)),
        };
        let present = usize::try_from(volume_len).map_or(bytes.len(), |len| len.min(bytes.len()));
        let volume = whole.sub(present, "variable volume")?;
        let mut store = Self {
            volume,
            layout,
            format: Format::Blank,
            active_copy: ActiveCopy::Main,
            interrupted: None,
            recovers,
            ftw: Ftw::Invalid,
            entries: Vec::new(),
            damage: Vec::new(),
            size_bytes: layout.map_or(0, |layout| u64::from(Geometry::of(layout).store_size_bytes())),
            // What a blank store's headers will take counts as taken.
            used_bytes: STORE_HEADER_LEN as u64,
        };
        if header.is_none() && is_blank(store.volume.all()) {
            return Ok(store);
        }
        if (present as u64) < volume_len {
            let missing = volume_len.saturating_sub(present as u64);
            store.damage(DamageKind::Truncated, present as u64, missing);
        }
        store.read_ftw();
        let region = store.true_region();
        store.read_region(header.as_ref(), &region);
        if recovers && store.found_nothing() {
            store.read_spare_instead()?;
        }
        Ok(store)
    }

    fn damage(&mut self, kind: DamageKind, offset: u64, len_bytes: u64) {
        self.damage.push(Damage::new(kind, offset, len_bytes));
    }

    /// The working area, if the layout is known and the file reaches that far.
    fn read_ftw(&mut self) {
        let Some(geometry) = self.layout.map(Geometry::of) else {
            return;
        };
        let offset = u64::from(geometry.working.offset);
        if let Some(working) = self.area(geometry.working.offset, geometry.working.len_bytes) {
            self.ftw = ftw::parse(working.all());
            match self.ftw {
                Ftw::Invalid => self.damage(DamageKind::Ftw, offset, 0),
                Ftw::Abandoned => self.damage(DamageKind::FtwAbandoned, offset, 0),
                Ftw::Idle { .. } | Ftw::Pending(_) => {}
            }
        }
    }

    fn area(&self, offset: u32, len_bytes: u32) -> Option<Reader<'a>> {
        let mut reader = self.volume.clone();
        reader.seek(usize::try_from(offset).ok()?, "area").ok()?;
        reader.sub(usize::try_from(len_bytes).ok()?, "area").ok()
    }

    /// As much of the spare as a copy of the variables takes.
    fn spare(&self) -> Option<Reader<'a>> {
        let geometry = Geometry::of(self.layout?);
        self.area(geometry.spare.offset, geometry.variables.len_bytes)
    }

    /// The bytes that hold volume header, store header and variables: from the spare if a reclaim of them
    /// was interrupted, else from their own place.
    fn true_region(&mut self) -> Reader<'a> {
        let Some(geometry) = self.layout.map(Geometry::of) else {
            return self.volume.clone();
        };
        if let (Ftw::Pending(write), true) = (self.ftw, self.recovers) {
            match self.spare() {
                Some(spare) if covers_variables(write, geometry) => {
                    if holds_store(&spare) {
                        let main = self.area(geometry.variables.offset, geometry.variables.len_bytes);
                        self.interrupted = main.map(|main| Interrupted::of(&main, &spare));
                        self.active_copy = ActiveCopy::Spare;
                        return spare;
                    }
                    self.damage(DamageKind::SpareDamaged, spare.offset(), 0);
                }
                _ => self.damage(DamageKind::FtwForeign, u64::from(geometry.working.offset), 0),
            }
        }
        let mut whole = self.volume.clone();
        let len = usize::try_from(geometry.variables.len_bytes)
            .map_or(whole.remaining(), |len| len.min(whole.remaining()));
        whole.sub(len, "variables").unwrap_or(whole)
    }

    /// Headers, then variables. `main_header` is the one in the volume's own place.
    fn read_region(&mut self, main_header: Option<&VolumeHeader>, region: &Reader<'a>) {
        let base = region.offset();
        let own = VolumeHeader::parse(&mut region.clone())
            .ok()
            .filter(|header| header.file_system == VolumeHeader::NV_DATA);
        match (&own, main_header) {
            (None, _) => self.damage(DamageKind::VolumeHeader, base, 0),
            (Some(header), _) => self.check_volume_header(header, base),
        }
        let header_len = own
            .or_else(|| main_header.cloned())
            // A header whose sum is off is not believed where the content starts.
            .filter(VolumeHeader::checksum_holds)
            .map_or(VOLUME_HEADER_LEN as usize, |header| {
                usize::from(header.header_len_bytes)
            });
        let mut reader = region.clone();
        if reader
            .seek(header_len.min(region.all().len()), "variable store")
            .is_err()
        {
            return;
        }
        let store_offset = reader.offset();
        let area_len = reader.remaining();
        let (authenticated, size) = match store_header(&mut reader) {
            Some((authenticated, size)) => (authenticated, Some(size)),
            None => {
                self.damage(DamageKind::StoreHeader, store_offset, 0);
                (self.looks_authenticated(&reader), None)
            }
        };
        let expected = self.layout.map(|layout| Geometry::of(layout).store_size_bytes());
        if let Some(size) = size.filter(|size| expected.is_some_and(|expected| expected != *size)) {
            self.damage(DamageKind::StoreSize, store_offset, u64::from(size));
        }
        // The firmware trusts the header's size, but never past the area that the layout gives it.
        let size = size
            .and_then(|size| usize::try_from(size).ok())
            .map_or(area_len, |size| size.min(area_len));
        self.format = if authenticated {
            Format::Authenticated
        } else {
            Format::Plain
        };
        let variables_len = size.saturating_sub(STORE_HEADER_LEN).min(reader.remaining());
        let Ok(variables) = reader.sub(variables_len, "variables") else {
            return;
        };
        let mut walked = walk(&variables, authenticated);
        self.damage.append(&mut walked.damage);
        self.entries = walked.entries;
        self.size_bytes = expected.map_or(size as u64, u64::from);
        self.used_bytes = (walked.used_bytes as u64).saturating_add(STORE_HEADER_LEN as u64);
    }

    fn found_nothing(&self) -> bool {
        self.entries.is_empty() && self.has(DamageKind::StoreHeader)
    }

    /// With nothing in its own place: an older reclaim's copy is better than no store. The firmware would not
    /// see it, so nothing but a repair takes it for granted.
    fn read_spare_instead(&mut self) -> Result<()> {
        if let Some(spare) = self.spare().filter(holds_store) {
            self.damage(DamageKind::MainLost, spare.offset(), 0);
            self.active_copy = ActiveCopy::Spare;
            self.read_region(None, &spare);
            return Ok(());
        }
        if self.has(DamageKind::VolumeHeader) && self.ftw == Ftw::Invalid {
            return Err(not_a_store(self.volume.all()));
        }
        Ok(())
    }

    fn check_volume_header(&mut self, header: &VolumeHeader, base: u64) {
        if !header.checksum_holds() {
            self.damage(DamageKind::VolumeChecksum, base, 0);
        }
        let lawful_len = self.layout.map(Layout::vars_volume_size_bytes);
        if lawful_len != Some(header.volume_len_bytes) {
            self.damage(DamageKind::VolumeLength, base, header.volume_len_bytes);
        }
        let Some(geometry) = self.layout.map(Geometry::of) else {
            return;
        };
        // Templates for `virt` boards name more blocks than the volume needs, and no build for them looks.
        let block_len = u64::from(geometry.block_len_bytes);
        let needed = header.volume_len_bytes.checked_div(block_len).unwrap_or(0);
        let lawful = |count: u32| match self.layout {
            Some(Layout::ArmVirt | Layout::Riscv | Layout::Loongarch) => u64::from(count) >= needed,
            _ => u64::from(count) == needed,
        };
        match header.blocks.as_slice() {
            [one] if one.len_bytes == geometry.block_len_bytes && lawful(one.count) => {}
            blocks => {
                let len = blocks.first().map_or(0, |block| u64::from(block.len_bytes));
                self.damage(DamageKind::BlockMap, base, len);
            }
        }
        if header.checksum_holds() && !has_lawful_attributes(header) {
            self.damage(DamageKind::VolumeAttributes, base, u64::from(header.attributes));
        }
        let sound = header.zero_vector == [0; 16]
            && header.revision == 2
            && header.reserved == 0
            && header.ext_header_offset == 0
            && u32::from(header.header_len_bytes) == VOLUME_HEADER_LEN;
        if !sound {
            self.damage(DamageKind::VolumeField, base, 0);
        }
    }

    /// With the store header gone: which reading of the bytes finds more variables.
    fn looks_authenticated(&self, variables: &Reader<'a>) -> bool {
        let mut area = variables.clone();
        let Ok(area) = area.sub(variables.remaining(), "variables") else {
            return true;
        };
        walk(&area, true).entries.len() >= walk(&area, false).entries.len()
    }

    fn has(&self, kind: DamageKind) -> bool {
        self.damage.iter().any(|damage| damage.kind == kind)
    }

    /// Everything in the store, in order: live, deleted, unfinished.
    #[must_use]
    pub fn entries(&self) -> &[Entry<'a>] {
        &self.entries
    }

    /// The variables that are valid.
    pub fn variables(&self) -> impl Iterator<Item = &Entry<'a>> {
        self.entries.iter().filter(|entry| entry.state.is_live())
    }

    /// The valid variable of that name.
    #[must_use]
    pub fn variable(&self, guid: Guid, name: &Name) -> Option<&Entry<'a>> {
        self.variables()
            .find(|entry| entry.guid == guid && entry.name == *name)
    }

    /// Copies of all valid variables, in the order of the store.
    #[must_use]
    pub fn to_variables(&self) -> Vec<Variable> {
        self.variables().map(Entry::to_variable).collect()
    }

    /// The layout, if it is a known one. 1M and 2M builds have the same store; it is called 2M.
    #[must_use]
    pub const fn layout(&self) -> Option<Layout> {
        self.layout
    }

    /// How variables are stored.
    #[must_use]
    pub const fn format(&self) -> Format {
        self.format
    }

    /// Where the valid store lies.
    #[must_use]
    pub const fn active_copy(&self) -> ActiveCopy {
        self.active_copy
    }

    /// How far a reclaim had come that was interrupted with its copy whole in the spare.
    #[must_use]
    pub const fn interrupted(&self) -> Option<Interrupted> {
        self.interrupted
    }

    /// The variables that firmware finds, and not only we: all but those behind damage.
    pub fn found_by_firmware(&self) -> impl Iterator<Item = &Entry<'a>> {
        self.variables().filter(|entry| entry.state != State::Recovered)
    }

    /// What the FTW queue says.
    #[must_use]
    pub const fn ftw(&self) -> Ftw {
        self.ftw
    }

    /// What is wrong with the store.
    #[must_use]
    pub fn damage_found(&self) -> &[Damage] {
        &self.damage
    }

    /// The first damage with which variables may be lost. Without any variable the loss of the store's header
    /// is such a one: whatever was there has gone with it.
    #[must_use]
    pub fn first_lossy_damage(&self) -> Option<&Damage> {
        self.damage.iter().find(|damage| {
            damage.loses_variables() || (damage.kind == DamageKind::StoreHeader && self.entries.is_empty())
        })
    }

    /// Size of the store, its own header included: used and free bytes together.
    #[must_use]
    pub const fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Bytes that headers, variables and the remains of deleted ones take.
    #[must_use]
    pub const fn used_bytes(&self) -> u64 {
        self.used_bytes
    }

    /// Bytes that the firmware can write before it must reclaim.
    #[must_use]
    pub const fn free_bytes(&self) -> u64 {
        self.size_bytes.saturating_sub(self.used_bytes)
    }

    /// Bytes that a reclaim would win: deleted, superseded and unfinished variables.
    #[must_use]
    pub fn reclaimable_bytes(&self) -> u64 {
        self.entries
            .iter()
            .filter(|entry| !entry.state.is_live())
            .map(|entry| entry.len_bytes)
            .sum()
    }

    /// The event-log area; erased in every build of today.
    #[must_use]
    pub fn event_log(&self) -> Option<&'a [u8]> {
        let area = Geometry::of(self.layout?).event_log?;
        Some(self.area(area.offset, area.len_bytes)?.all())
    }

    /// Length of the volume as far as the file holds it.
    #[must_use]
    pub fn volume_len_bytes(&self) -> u64 {
        self.volume.all().len() as u64
    }
}

/// A reclaim writes the whole store from the volume's first block on.
fn covers_variables(write: PendingWrite, geometry: Geometry) -> bool {
    let end = write.offset.checked_add(write.len_bytes);
    write.relative_offset == i64::from(geometry.spare.offset).saturating_neg()
        && end.is_some_and(|end| end >= u64::from(geometry.variables.len_bytes))
        && write.offset <= u64::from(VOLUME_HEADER_LEN)
}

/// `EFI_FVB2_ALIGNMENT` and `EFI_FVB2_WEAK_ALIGNMENT`, which nobody reads of a volume of variables.
const ALIGNMENT: u32 = 0x801f_0000;

/// What builds write: edk2 `OvmfPkg/Include/Fdf/VarStore.fdf.inc`, and `VirtNorFlashDxe`,
/// `InitializeFvAndVariableStoreHeaders`, with `EFI_FVB2_STICKY_WRITE` and without.
fn has_lawful_attributes(header: &VolumeHeader) -> bool {
    matches!(header.attributes & !ALIGNMENT, 0xfeff | 0xe36 | 0xc36)
}

/// Erased flash, or the zeros that Debian ships for AArch64.
fn is_blank(bytes: &[u8]) -> bool {
    !bytes.is_empty() && (is_erased(bytes) || is_all::<0>(bytes))
}

fn not_a_store(bytes: &[u8]) -> Error {
    let start = bytes.get(..bytes.len().min(8)).unwrap_or(&[]);
    Error::Unexpected {
        field: "variable store",
        offset: 0,
        found: format!("a file that starts with {start:02x?}"),
        expected: "a VARS file or a combined image: an NV data volume at its start, or a blank file of a layout's size".into(),
    }
}
