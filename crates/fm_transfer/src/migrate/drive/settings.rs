//! The migration settings of both ends: what a migration needs, and how they were, to be put back.

use fm_host::qmp::Client;
use fm_host::qmp::commands::{
    Capability, MigrationParameters, QueryMigrateCapabilities, QueryMigrateParameters,
    SetMigrationCapabilities,
};

use super::Options;
use crate::error::migrate::Error;

/// What both monitors had set before we came.
pub(super) struct Before {
    pub(super) source: Settings,
    pub(super) destination: Settings,
}

/// The migration settings of one monitor.
#[derive(Default)]
pub(super) struct Settings {
    /// The capabilities that are on.
    pub(super) enabled: Vec<String>,
    /// The parameters that a migration of ours may change.
    pub(super) parameters: MigrationParameters,
}

/// The capabilities that a migration of ours may switch on.
const OURS: [&str; 4] = ["events", "pause-before-switchover", "multifd", "postcopy-ram"];

impl Before {
    pub(super) fn read(source: &mut Client, destination: &mut Client) -> Result<Self, Error> {
        Ok(Self {
            source: Settings::read(source)?,
            destination: Settings::read(destination)?,
        })
    }
}

impl Settings {
    fn read(client: &mut Client) -> Result<Self, Error> {
        let capabilities = client.ask(&QueryMigrateCapabilities)?;
        let enabled = capabilities.into_iter().filter(|one| one.state);
        Ok(Self {
            enabled: enabled.map(|one| one.capability).collect(),
            parameters: client.ask(&QueryMigrateParameters)?,
        })
    }

    /// Best effort: the guest's run matters more than a leftover setting.
    pub(super) fn restore(&self, client: &mut Client) {
        let off = OURS
            .iter()
            .filter(|name| !self.enabled.iter().any(|enabled| enabled == *name));
        let capabilities = off.map(|name| Capability::new(name, false)).collect();
        let _ = client.ask(&SetMigrationCapabilities { capabilities });
        let _ = client.ask(&self.parameters);
    }
}

impl Options {
    /// What both ends must agree on: whatever the source has on already, and what was asked for.
    pub(super) fn capabilities(&self, source: &Settings) -> SetMigrationCapabilities {
        let has_multifd = self.multifd_channels.is_some() || self.multifd_compression.is_some();
        let ours = OURS.into_iter().filter(|name| match *name {
            "multifd" => has_multifd,
            "postcopy-ram" => self.postcopy,
            _ => true,
        });
        let wanted = source.enabled.iter().map(String::as_str).chain(ours);
        SetMigrationCapabilities {
            capabilities: wanted.map(|name| Capability::new(name, true)).collect(),
        }
    }

    pub(super) fn parameters(&self) -> MigrationParameters {
        MigrationParameters {
            max_bandwidth_bytes_per_second: self.max_bandwidth,
            downtime_limit_ms: self.downtime_limit_ms,
            multifd_channels: self.multifd_channels,
            multifd_compression: self.multifd_compression.clone(),
        }
    }
}
