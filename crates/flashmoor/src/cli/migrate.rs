//! `flashmoor migrate`.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Args;
use fm_api::v1::transfer::Migrated;
use fm_formats::Sha256;
use fm_store::Store;
use fm_transfer::migrate::{self, Migration, Options, Request};
use fm_update::build::Build;
use fm_update::decide::Vouched;
use fm_update::{Arrived, Waits};

use super::{Context, Result, Status};
use fm_render::migration::Watcher;
use fm_render::remedy::WORDING;

/// Migrate a guest together with its firmware, over two QMP sockets
///
/// The destination's QEMU must wait with `-incoming defer`, with the flash files that `flashmoor prepare`
/// named. If QEMU would refuse the migration, it is refused before a byte is sent, with the reason.
/// Afterwards the firmware is read from the running guest, compared with the source's, stored, and put
/// in the place of the placeholder. Ctrl-C cancels: the guest runs on at the source. So does a guest that
/// writes variables meanwhile, because QEMU would leave them behind.
#[derive(Debug, Args)]
pub(crate) struct Migrate {
    /// QMP socket of the QEMU that runs the guest
    source: PathBuf,
    /// QMP socket of the QEMU that waits for it
    destination: PathBuf,
    /// Where the stream goes: tcp:HOST:PORT, unix:/PATH … [default: a private Unix socket]
    #[arg(long)]
    uri: Option<String>,
    /// sha256 that CODE must have at the destination [default: read from the source's guest]
    #[arg(long, value_name = "SHA256")]
    expect: Option<Sha256>,
    /// Upper bound for the stream in bytes a second; K, M, G, T multiply by 1024
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    bandwidth: Option<u64>,
    /// How long the guest may stand still
    #[arg(long, value_name = "MS")]
    downtime_limit: Option<u64>,
    /// Send memory over this many channels at once
    #[arg(long, value_name = "CHANNELS", value_parser = clap::value_parser!(u8).range(1..))]
    multifd: Option<u8>,
    /// How QEMU compresses the channels: none, zlib, zstd … (with --multifd)
    #[arg(long, value_name = "METHOD", requires = "multifd")]
    compression: Option<String>,
    /// Let the guest run at the destination before all of its memory is there
    #[arg(long)]
    postcopy: bool,
    /// Stop the guest first, let it go on at the destination: nothing that it wrote can stay behind
    #[arg(long, conflicts_with = "postcopy")]
    stop_first: bool,
    /// Give the guest this build on the way, which its next reset runs: a raw CODE file, or a stored build
    #[arg(long, value_name = "BUILD", conflicts_with_all = ["multifd", "postcopy", "expect"])]
    update: Option<String>,
    /// The guest does not suspend to RAM before its next reset, though its machine offers it (with --update)
    #[arg(long, requires = "update")]
    never_suspends: bool,
    /// The guest's boot is over, though no system can be seen in it: it sits in a shell, or its system is not known as one
    /// (with --update)
    #[arg(long, requires = "update")]
    has_booted: bool,
}

impl Migrate {
    pub(crate) fn run(&self, context: &Context) -> Result {
        let store = context.store()?;
        let build = match &self.update {
            None => None,
            Some(text) => {
                let build = Build::find(&store, text)?;
                if let Some(refused) = self.refused(context, &store, &build)? {
                    return Ok(refused);
                }
                Some(build)
            }
        };
        let cancel = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            // Without the handler Ctrl-C would end us and leave QEMU migrating.
            signal_hook::flag::register(signal, Arc::clone(&cancel))
                .map_err(|source| crate::Error::Signal { source })?;
        }
        let request = Request {
            source: self.source.clone(),
            destination: self.destination.clone(),
            uri: self.uri.clone(),
            expected_code: self.expect,
            update: build.as_ref().map(|build| build.bytes.clone()),
            options: Options {
                max_bandwidth: self.bandwidth,
                downtime_limit_ms: self.downtime_limit,
                multifd_channels: self.multifd,
                multifd_compression: self.compression.clone(),
                postcopy: self.postcopy,
                stop_first: self.stop_first,
            },
        };
        let source = fm_host::find(&self.source.to_string_lossy()).ok();
        let waits = source
            .as_ref()
            .map(|source| fm_update::next_reset(&store, source));
        let waits = waits.transpose()?.flatten();
        let mut watcher = Watcher::new(context.output);
        let migrated = migrate::migrate(&store, &request, &cancel, &mut |event| watcher.show(event))?;
        watcher.finish();
        // It may have been updated while it was sent; QEMU keeps what it was when it left, unless somebody has ended that.
        let waits = match &source {
            Some(source) if source.is_alive() => fm_update::next_reset(&store, source),
            _ => Ok(waits),
        };
        let noted = waits.and_then(|waits| match &build {
            Some(build) => self.write_down(&store, &migrated, waits, build),
            None => waits_here(&store, &migrated, waits),
        });
        // What has left waits for nothing there.
        let left = || source.map_or(Ok(()), |source| fm_update::left(&store, &source));
        if let Err(error) = noted.and_then(|()| left()) {
            // The guest has arrived, whatever is known of it here.
            context.output.remark(format_args!(
                "the update is not written down: {}",
                fm_remedy::one_line(&error)
            ));
        }
        if context.output.wants_json() {
            context.output.json(&Migrated::from(&migrated));
        } else {
            fm_render::migration::summary(context.output, &Migrated::from(&migrated));
        }
        match migrated.not_harvested {
            Some(error) => Err(fm_transfer::Error::NotHarvested {
                source: Box::new(error),
            }
            .into()),
            None => Ok(Status::Done),
        }
    }
}

impl Migrate {
    /// What stands against the update, if anything does: told before a byte is sent.
    fn refused(&self, context: &Context, store: &Store, build: &Build) -> Result<Option<Status>> {
        let vouched = Vouched {
            never_suspends: self.never_suspends,
            has_booted: self.has_booted,
            moves_before_reset: false,
        };
        let source = self.source.to_string_lossy();
        let judged = fm_update::judge_migration(store, &source, build, vouched, WORDING)?;
        if judged.refusals.is_empty() {
            return Ok(None);
        }
        context.output.document(&judged, fm_render::update::update);
        Ok(Some(super::update::status(&judged)))
    }

    /// Writes the update down where the guest is now, so that it can be followed and taken back there.
    fn write_down(
        &self,
        store: &Store,
        migrated: &Migration,
        waited: Option<Waits>,
        build: &Build,
    ) -> Result<(), fm_update::Error> {
        let updated = migrated.updated.as_ref();
        let (Some(pid), Some(updated)) = (migrated.destination.pid, updated) else {
            return Ok(());
        };
        let Some(left_with) = updated.from else {
            return Ok(());
        };
        let arrived = Arrived {
            pid,
            left_with,
            waited,
            has_booted: self.has_booted || updated.processors.are_in_system(),
        };
        fm_update::arrived(store, &arrived, build)
    }
}

/// Writes down that a guest that waited for its reset when it left does so here.
fn waits_here(store: &Store, migrated: &Migration, waits: Option<Waits>) -> Result<(), fm_update::Error> {
    let (Some(waits), Some(pid)) = (waits, migrated.destination.pid) else {
        return Ok(());
    };
    let guest = fm_host::find(&pid.to_string())?;
    fm_update::arrived_waiting(store, &guest, &waits)
}

fn bytes(text: &str) -> Result<u64, String> {
    let (digits, shift) = match text.char_indices().next_back() {
        Some((at, unit @ ('k' | 'K' | 'm' | 'M' | 'g' | 'G' | 't' | 'T'))) => {
            let shift = match unit.to_ascii_lowercase() {
                'k' => 10,
                'm' => 20,
                'g' => 30,
                _ => 40,
            };
            (text.get(..at).unwrap_or_default(), shift)
        }
        _ => (text, 0),
    };
    let number: u64 = digits
        .parse()
        .map_err(|_| "write a number, such as 100M".to_owned())?;
    number
        .checked_mul(1 << shift)
        .ok_or_else(|| "too many bytes".to_owned())
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn sizes_are_read_with_their_units_and_nothing_else() {
        assert_eq!(bytes("4096"), Ok(4096));
        assert_eq!(bytes("10k"), Ok(10 << 10));
        assert_eq!(bytes("2G"), Ok(2 << 30));
        for text in ["", "M", "1.5M", "-1", "99999999999T", "1Q", "1é"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }
}
