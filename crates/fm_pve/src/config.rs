//! A guest's configuration, as Proxmox keeps it: lines of `key: value`, then sections of changes to come and of snapshots.

use std::collections::BTreeMap;

/// A larger one is none of Proxmox's.
pub(crate) const MAX_BYTES: u64 = 1 << 20;
/// The section of changes that wait for the next start.
const PENDING: &str = "PENDING";

/// A guest's configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VmConfig {
    current: BTreeMap<String, String>,
    /// What is set at the next cold start; a key of `delete` goes.
    pending: BTreeMap<String, String>,
    /// By name.
    snapshots: BTreeMap<String, BTreeMap<String, String>>,
}

/// `efidisk0`: where the variables lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EfiDisk {
    /// The volume: `local-lvm:vm-100-disk-0`, or a path.
    pub volume: String,
    /// Whether it is for firmware of the 4M layout; else of 2M.
    pub is_4m: bool,
    /// Whether it was made with Microsoft's keys.
    pub has_keys: bool,
    /// Which of Microsoft's certificates are in it, as far as Proxmox noted it: `2011`, `2023`, `2023w`, `2023k`.
    pub ms_cert: Option<String>,
    /// The format, if it is said.
    pub format: Option<String>,
}

impl VmConfig {
    /// Reads one. Lines that are none are passed over, as Proxmox does.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut config = Self::default();
        let mut section: Option<String> = None;
        for line in text.lines() {
            if line.starts_with('#') {
                continue;
            }
            let name = line
                .trim_end()
                .strip_prefix('[')
                .and_then(|rest| rest.strip_suffix(']'));
            if let Some(name) = name {
                section = Some(name.to_owned());
                continue;
            }
            let Some((key, value)) = line.split_once(':') else {
                continue;
            };
            if key.is_empty() || key.contains(char::is_whitespace) {
                continue;
            }
            let values = match section.as_deref() {
                None => &mut config.current,
                Some(PENDING) => &mut config.pending,
                // `special:cloudinit` and the like
                Some(name) if name.contains(':') => continue,
                Some(name) => config.snapshots.entry(name.to_owned()).or_default(),
            };
            values.insert(key.to_owned(), value.trim().to_owned());
        }
        config
    }

    /// What a key is set to now.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.current.get(key).map(String::as_str)
    }

    /// What a key is set to at the next cold start.
    #[must_use]
    pub fn at_next_start(&self, key: &str) -> Option<&str> {
        let deleted = self.pending.get("delete").map_or("", String::as_str);
        let is_deleted = deleted
            .split([',', ' ', ';'])
            .any(|one| one.trim_start_matches('!') == key);
        match self.pending.get(key) {
            Some(value) => Some(value),
            None if is_deleted => None,
            None => self.get(key),
        }
    }

    /// The names of its snapshots, and what each sets `key` to.
    pub fn snapshots(&self, key: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.snapshots
            .iter()
            .map(move |(name, values)| (name.as_str(), values.get(key).map(String::as_str)))
    }

    /// Whether its firmware is OVMF or AAVMF.
    #[must_use]
    pub fn is_uefi(&self) -> bool {
        self.get("bios") == Some("ovmf")
    }

    /// Where its variables lie.
    #[must_use]
    pub fn efi_disk(&self) -> Option<EfiDisk> {
        EfiDisk::parse(self.get("efidisk0")?)
    }
}

impl EfiDisk {
    fn parse(text: &str) -> Option<Self> {
        let mut options = BTreeMap::new();
        let mut volume = None;
        for part in text.split(',') {
            match part.split_once('=') {
                Some(("file" | "volume", value)) => volume = Some(value),
                Some((key, value)) => drop(options.insert(key, value)),
                None => volume = volume.or(Some(part)),
            }
        }
        let volume = volume.filter(|volume| !volume.is_empty() && *volume != "none")?;
        Some(Self {
            volume: volume.to_owned(),
            is_4m: options.get("efitype") == Some(&"4m"),
            has_keys: matches!(
                options.get("pre-enrolled-keys"),
                Some(&("1" | "yes" | "on" | "true"))
            ),
            ms_cert: options.get("ms-cert").map(|&which| which.to_owned()),
            format: options.get("format").map(|&format| format.to_owned()),
        })
    }
}

#[cfg(test)]
mod tests;
