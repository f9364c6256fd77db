//! What a file is, from its bytes alone: firmware code, variables, both, a stream, or none of these.

mod build;
mod cache;
mod contents;
mod document;
mod facts;
mod foreign;
mod image_key;
mod input;
mod map;
mod module_name;
mod nodes;
mod pipe;
mod qcow2;

use std::collections::BTreeMap;
use std::num::NonZero;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use fm_api::v1::inspect::{ImageFormat, InspectKind};
use fm_api::v1::stream::StreamBlockKind;
use fm_files::digest_cache;
use fm_formats::Sha256;
use fm_formats::volume::Tree;
use fm_remedy::{Input, Misuse, Remedy};
use fm_saved::stream;

pub use build::Catalogue;
pub use cache::Cache;
pub use contents::{Image, ImageReport, Module, Volume};
pub use document::{Inspected, unreadable};
pub use foreign::named as named_foreign;
pub(crate) use input::is_json as is_json_store;
pub use input::{Flash, sniff};
pub use qcow2::unpack as unpack_qcow2;

use self::image_key::ImageKey;
use crate::{Error, NotFirmwareReason, Result};

/// What to look at, and how closely.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The file.
    pub path: PathBuf,
    /// Whether the whole tree is asked for.
    pub tree: bool,
    /// The catalogue that the user added to, if there is one.
    pub catalogue: Option<PathBuf>,
    /// What was found in images seen before, if that is kept.
    pub cache: Option<Cache>,
    /// The multifd channels of the same capture, for a stream.
    pub channels: Vec<PathBuf>,
    /// The internal snapshot of a qcow2 image, by name or number; the last one if not given.
    pub snapshot: Option<String>,
}

/// What a file may be, told by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Bytes that flash might hold.
    Raw,
    /// JSON that holds variables.
    Json,
    /// A qcow2 image: flash if it is small, else perhaps a guest's disk with snapshots.
    Qcow2,
    /// Something that holds a migration stream.
    Stream,
}

/// What the file is. One that is no firmware is an answer as well, with the reason.
///
/// # Errors
/// If it cannot be read.
pub fn inspect(request: &Request) -> Result<Inspected> {
    let catalogue = Catalogue::open(request.catalogue.as_deref())?;
    inspect_with(request, &catalogue)
}

/// [`inspect`] with a catalogue that is read already, for many files.
///
/// # Errors
/// If it cannot be read.
pub(crate) fn inspect_with(request: &Request, catalogue: &Catalogue) -> Result<Inspected> {
    if request.path == Path::new("-")
        || request
            .path
            .metadata()
            .is_ok_and(|file| file.file_type().is_fifo())
    {
        return Ok(match pipe::flash(&request.path)? {
            None => streamed(request, catalogue)?,
            Some(Ok(flash)) => facts::inspected(request, &flash, catalogue),
            Some(Err(too_large)) => Inspected {
                path: request.path.clone(),
                ..too_large
            },
        });
    }
    let (kind, head) = input::sniff(&request.path)?;
    if kind == Kind::Raw && (request.snapshot.is_some() || !request.channels.is_empty()) {
        return Err(Error::Usage(Misuse {
            message: format!("{} is no stream and no qcow2 image", request.path.display()),
            remedy: Remedy::give(
                "leave out the snapshot and the channels, or name the file that they belong to",
                [Input::Snapshot, Input::Channels],
            ),
        }));
    }
    match kind {
        Kind::Stream => streamed(request, catalogue).or_else(|error| packed(request, &head, error)),
        Kind::Qcow2 => match qcow2::flash(&request.path) {
            Ok(flash) => {
                let mut found = facts::inspected(request, &flash, catalogue);
                // `savevm` puts the guest's memory into its first writable qcow2 image, which may be VARS.
                match streamed(request, catalogue) {
                    Ok(stream) => found.streamed = stream.streamed,
                    // Most images of variables hold no snapshot; one that was asked for has to be there.
                    Err(Error::Saved(saved))
                        if request.snapshot.is_none() && matches!(*saved, fm_saved::Error::Usage(_)) => {}
                    Err(error) if request.snapshot.is_some() => return Err(error),
                    Err(error) => found.stream_unreadable = Some(fm_remedy::one_line(&error)),
                }
                Ok(found)
            }
            Err(not_flash) => streamed(request, catalogue).or_else(|_| not_firmware(request, not_flash)),
        },
        Kind::Json => {
            let text = input::read_json(&request.path)?;
            Ok(facts::json_store(&request.path, &text))
        }
        Kind::Raw => {
            if let Some(what) = foreign::named(&head) {
                let len = request.path.metadata().map_or(0, |file| file.len());
                let mut found = Inspected::new(&request.path, InspectKind::NotFirmware, len);
                found.reason = Some(what);
                return Ok(found);
            }
            let seen = facts::lookup_by_path(&request.path, request.cache.as_ref(), request.tree)?;
            if let Some((found, len_bytes)) = seen {
                return Ok(facts::into_document(
                    request,
                    found,
                    len_bytes,
                    ImageFormat::Raw,
                    catalogue,
                ));
            }
            match Flash::read(&request.path)? {
                Ok(flash) => {
                    let found = facts::parse_and_cache(&flash, None, request.cache.as_ref(), request.tree);
                    Ok(facts::into_document(
                        request,
                        found,
                        flash.len_bytes,
                        flash.format,
                        catalogue,
                    ))
                }
                Err(too_large) => Ok(too_large),
            }
        }
    }
}

/// Something compressed that is no stream.
fn packed(request: &Request, head: &[u8], error: Error) -> Result<Inspected> {
    let is_none = matches!(
        &error,
        Error::Saved(saved) if matches!(
            &**saved,
            fm_saved::Error::Stream {
                source: fm_formats::Error::Unexpected {
                    field: "migration stream magic",
                    offset: 0,
                    ..
                },
                ..
            }
        )
    );
    let Some(program) = stream::compressed_by(head).filter(|_| is_none) else {
        return Err(error);
    };
    let len = request.path.metadata().map_or(0, |file| file.len());
    let mut found = Inspected::new(&request.path, InspectKind::NotFirmware, len);
    found.reason = Some(format!(
        "it is compressed ({program}), and what is in it is no migration stream; undo that to look into it"
    ));
    Ok(found)
}

/// A qcow2 image that cannot be flash is a guest's disk, and that is an answer; an image that cannot be looked
/// at is none.
fn not_firmware(request: &Request, error: Error) -> Result<Inspected> {
    let Error::NotFirmware { why, .. } = error else {
        return Err(error);
    };
    let len = request.path.metadata().map_or(0, |file| file.len());
    let mut found = Inspected::new(&request.path, InspectKind::NotFirmware, len);
    found.format = Some(ImageFormat::Qcow2);
    found.reason = Some(why.to_string());
    Ok(found)
}

/// [`inspect`] of each file with a catalogue that is read already, as many at once as there are processors; `take`
/// gets what came of them in the order of the requests.
pub fn inspect_each(
    requests: &[Request],
    catalogue: &Catalogue,
    mut take: impl FnMut(&Request, Result<Inspected>),
) {
    // A thread for one file costs more than it is worth.
    if let [request] = requests {
        return take(request, inspect_with(request, catalogue));
    }
    let workers = thread::available_parallelism().map_or(1, NonZero::get);
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        let (give, given) = mpsc::sync_channel(workers);
        for _ in 0..workers.min(requests.len()) {
            let (give, next) = (give.clone(), &next);
            scope.spawn(move || {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(request) = requests.get(at) else { break };
                    if give.send((at, inspect_with(request, catalogue))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(give);
        let mut early = BTreeMap::new();
        let mut due = requests.iter().enumerate();
        let mut next_due = due.next();
        for (at, result) in given {
            early.insert(at, result);
            while let Some((index, request)) = next_due
                && let Some(result) = early.remove(&index)
            {
                take(request, result);
                next_due = due.next();
            }
        }
    });
}

fn streamed(request: &Request, catalogue: &Catalogue) -> Result<Inspected> {
    let path = request.path.as_path();
    let gathered = stream::gather(&stream::Request {
        path: path.to_owned(),
        channels: request.channels.clone(),
        snapshot: request.snapshot.clone(),
    })?;
    let mut streamed = stream::streamed(&gathered);
    for snapshot in streamed.snapshots.iter_mut().filter(|snapshot| !snapshot.chosen) {
        let other = stream::gather(&stream::Request {
            path: path.to_owned(),
            channels: Vec::new(),
            snapshot: Some(snapshot.id.clone()),
        });
        match other {
            Ok(other) => snapshot.stream = Some(Box::new(stream::document(&other))),
            Err(error) => snapshot.unreadable = Some(fm_remedy::one_line(&error)),
        }
    }
    for (index, block) in streamed.stream.blocks.iter_mut().enumerate() {
        // `-bios` puts CODE and VARS into this one.
        if block.kind == StreamBlockKind::Code || block.name == "pc.bios" {
            block.build = gathered.pieces(index).and_then(|pieces| {
                let flash = Flash::from_pieces(pieces, ImageFormat::Raw);
                let named = |sha256: &String| catalogue.build(sha256);
                block.sha256.as_ref().and_then(named).or_else(|| {
                    let found = facts::inspected(request, &flash, catalogue);
                    found.image.is_some().then_some(found.build)
                })
            });
        }
    }
    let file = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file);
    let size_bytes = file.map_or(gathered.read_bytes, |file| file.len());
    let mut found = Inspected::new(path, stream::kind(&gathered), size_bytes);
    found.streamed = Some(streamed);
    Ok(found)
}

/// What is in `flash`, from the cache if it was seen before.
pub fn parse_cached(flash: &Flash, cache: Option<&Cache>) -> ImageReport {
    facts::parse_cached(flash, cache, false)
}

/// What is in the raw file at `path`, and its length, if it was seen before. A large one that is the same file as then
/// is not even read.
pub fn lookup_by_path(path: &Path, cache: Option<&Cache>) -> Option<(ImageReport, u64)> {
    let cache = cache?;
    let look = || input::key_of(path).ok()?;
    let key = digest_cache::of_file(&cache.files(), path, look)?;
    Some((cache.get(&key.to_string())?, key.len_bytes))
}

/// The same for a file that is known to hold `len_bytes` bytes of this digest: it is not even read.
pub fn lookup_by_digest(digest: &Sha256, len_bytes: u64, cache: Option<&Cache>) -> Option<ImageReport> {
    let key = ImageKey {
        digest: *digest,
        len_bytes,
        fill: 0,
    };
    cache?.get(&key.to_string())
}

/// Parses the flash image in a file, raw or qcow2, for jobs that look into it.
///
/// # Errors
/// If it cannot be read or is larger than flash can be.
pub fn flash(path: &Path) -> Result<Flash> {
    let not_firmware = |why: NotFirmwareReason| Error::NotFirmware {
        path: path.to_owned(),
        why,
    };
    let read = if path == Path::new("-") {
        let stream = || not_firmware("it is a stream, or a qcow2 image, which has to be a file".into());
        pipe::flash(path)?.ok_or_else(stream)?
    } else if input::sniff(path)?.0 == Kind::Qcow2 {
        return qcow2::flash(path);
    } else {
        Flash::read(path)?
    };
    read.map_err(|found| not_firmware(found.reason.unwrap_or_default().into()))
}

impl Flash {
    /// The digest of the whole image.
    #[must_use]
    pub fn digest(&self) -> Sha256 {
        self.sha256(self.hash())
    }

    /// The tree of what is in it.
    #[must_use]
    pub fn tree(&self) -> Tree<'_> {
        Tree::parse(&self.content)
    }
}
