//! Recognises what an input is and finds the stream in it.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{FileExt as _, FileTypeExt as _};
use std::path::{Path, PathBuf};

use fm_remedy::{Misuse, Remedy};
use fm_stream::save_image::{Compression, HEADER_BYTES, SaveImage};
use fm_stream::{MAGIC, multifd, qcow2, save_image};

use super::feed::Feed;
use super::find;
use super::program::{self, Compressed, Decompressor};
use super::vmstate::{self, VmState};
use crate::{Error, Result};

/// What to read.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The file; `-` is standard input.
    pub path: PathBuf,
    /// The multifd channels of the same capture.
    pub channels: Vec<PathBuf>,
    /// Name or number of the internal snapshot of a qcow2 image; the last one if not given.
    pub snapshot: Option<String>,
}

/// What the stream lies in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Container {
    /// Nothing around it.
    Stream,
    /// Nothing around it, but compressed.
    Compressed(&'static str),
    /// A libvirt save image.
    SaveImage {
        /// Its header.
        header: SaveImage,
        /// The saved domain's XML.
        xml: String,
        /// libvirt's own notes.
        cookie: Option<String>,
    },
    /// A qcow2 image.
    Snapshot {
        /// The snapshot that was read.
        chosen: qcow2::Snapshot,
        /// All that hold memory.
        all: Vec<qcow2::Snapshot>,
        /// How large the image's disk is.
        disk_bytes: u64,
    },
}

/// An opened input: the container, what was read already, the rest, and where the stream starts.
pub(super) struct Opened {
    pub(super) container: Container,
    pub(super) first: Vec<u8>,
    pub(super) feed: Feed,
    pub(super) offset: u64,
}

/// libvirt aligns the stream of a sparse image; zeros up to here are stepped over.
const MAX_PADDING: usize = 1 << 20;

/// Whether a file that starts with `bytes` may hold a stream. Compressed files and qcow2 images
/// often hold something else.
#[must_use]
pub fn is_stream(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
        || bytes.starts_with(&multifd::MAGIC)
        || bytes.starts_with(&qcow2::MAGIC)
        || bytes.starts_with(&save_image::MAGIC)
        || bytes.starts_with(&save_image::MAGIC_PARTIAL)
        || program::for_magic(bytes).is_some()
}

/// Standard input, with the largest pipe that the system grants: fewer switches between the two ends.
fn standard_input() -> io::Result<File> {
    use std::os::fd::AsFd as _;
    let stdin = io::stdin();
    let _ = rustix::pipe::fcntl_setpipe_size(stdin.as_fd(), 1 << 20);
    Ok(File::from(stdin.as_fd().try_clone_to_owned()?))
}

pub(super) fn open(request: &Request) -> Result<Opened> {
    let path = request.path.as_path();
    let unreadable = |source| Error::file("read", path, source);
    let file = match path == Path::new("-") {
        true => standard_input(),
        false => File::open(path),
    }
    .map_err(unreadable)?;
    let kind = file.metadata().map_err(unreadable)?.file_type();
    let opened = match kind.is_file() || kind.is_block_device() {
        true => from_file(file, request)?,
        false => from_pipe(file, path)?,
    };
    if opened.first.starts_with(&MAGIC) {
        return Ok(opened);
    }
    let what = match opened.first.starts_with(&multifd::MAGIC) {
        true => "a multifd channel; name the main channel's file, and this one beside it",
        false => "something else",
    };
    Err(Error::Stream {
        path: path.into(),
        source: fm_formats::Error::Unexpected {
            field: "migration stream magic",
            offset: opened.offset,
            found: what.into(),
            expected: "`QEVM`".into(),
        },
    })
}

fn from_file(file: File, request: &Request) -> Result<Opened> {
    let path = request.path.as_path();
    let unreadable = |source| Error::file("read", path, source);
    let refused = |source| Error::Stream {
        path: path.into(),
        source,
    };
    // Standard input may have been read from before: what is left of it is meant.
    let base = io::Seek::stream_position(&mut &file).map_err(unreadable)?;
    let len_bytes = io::Seek::seek(&mut &file, io::SeekFrom::End(0)).map_err(unreadable)?;
    let mut head = [0u8; HEADER_BYTES as usize];
    let read = file.read_at(&mut head, base).map_err(unreadable)?;
    let head = &head[..read];
    if head.starts_with(&qcow2::MAGIC) {
        return from_qcow2(file, request);
    }
    let (container, offset, program) = if is_save_image(head) {
        let header = SaveImage::parse(head).map_err(refused)?;
        let available_bytes = len_bytes.saturating_sub(base.saturating_add(HEADER_BYTES));
        let len = usize::try_from(header.data_bytes.min(available_bytes)).unwrap_or(0);
        let mut data = vec![0u8; len];
        file.read_exact_at(&mut data, base + HEADER_BYTES)
            .map_err(unreadable)?;
        whole_xml(header, data.len()).map_err(refused)?;
        let program = match header.compression {
            Compression::Program(program) => Some(program),
            _ => None,
        };
        (save_image(header, &data), header.stream_offset(), program)
    } else {
        match program::for_magic(head) {
            Some(program) => (Container::Compressed(program), 0, Some(program)),
            None if head.starts_with(&MAGIC) || head.starts_with(&multifd::MAGIC) => {
                (Container::Stream, 0, None)
            }
            None => {
                let offset = find::offset(&file, base).map_err(unreadable)?;
                (Container::Stream, offset.unwrap_or(base) - base, None)
            }
        }
    };
    let offset = base + offset;
    if let Some(program) = program {
        io::Seek::seek(&mut &file, io::SeekFrom::Start(offset)).map_err(unreadable)?;
        return decompressed(container, program, Compressed::File(file), path);
    }
    let padding = match &container {
        Container::SaveImage { header, .. } if header.compression == Compression::Sparse => {
            let mut ahead = vec![0u8; MAX_PADDING];
            let read = file.read_at(&mut ahead, offset).map_err(unreadable)?;
            ahead[..read].iter().take_while(|byte| **byte == 0).count() as u64
        }
        _ => 0,
    };
    let offset = offset + padding;
    let mut first = vec![0u8; MAGIC.len()];
    let read = file.read_at(&mut first, offset).map_err(unreadable)?;
    first.truncate(read);
    Ok(Opened {
        container,
        first,
        feed: Feed::File {
            file,
            position: offset + read as u64,
            len_bytes,
        },
        offset,
    })
}

fn from_pipe(mut pipe: File, path: &Path) -> Result<Opened> {
    let unreadable = |source| Error::file("read", path, source);
    let head = read_up_to(&mut pipe, HEADER_BYTES).map_err(unreadable)?;
    if is_save_image(&head) {
        let header = SaveImage::parse(&head).map_err(|source| Error::Stream {
            path: path.into(),
            source,
        })?;
        let data = read_up_to(&mut pipe, header.data_bytes).map_err(unreadable)?;
        whole_xml(header, data.len()).map_err(|source| Error::Stream {
            path: path.into(),
            source,
        })?;
        let container = save_image(header, &data);
        if let Compression::Program(program) = header.compression {
            return decompressed(
                container,
                program,
                Compressed::Pipe(Vec::new(), Box::new(pipe)),
                path,
            );
        }
        let mut offset = header.stream_offset();
        let mut first = read_up_to(&mut pipe, MAGIC.len() as u64).map_err(unreadable)?;
        while header.compression == Compression::Sparse
            && first.first() == Some(&0)
            && offset < header.stream_offset() + MAX_PADDING as u64
        {
            first.remove(0);
            first.extend(read_up_to(&mut pipe, 1).map_err(unreadable)?);
            offset += 1;
        }
        return Ok(Opened {
            container,
            first,
            feed: Feed::Pipe(Box::new(pipe)),
            offset,
        });
    }
    if let Some(program) = program::for_magic(&head) {
        let source = Compressed::Pipe(head, Box::new(pipe));
        return decompressed(Container::Compressed(program), program, source, path);
    }
    if head.starts_with(&qcow2::MAGIC) {
        return Err(Error::Usage(Misuse {
            message: "a qcow2 image cannot be read from a pipe".into(),
            remedy: "name the file instead: its snapshots are found by seeking".into(),
        }));
    }
    Ok(Opened {
        container: Container::Stream,
        first: head,
        feed: Feed::Pipe(Box::new(pipe)),
        offset: 0,
    })
}

fn from_qcow2(file: File, request: &Request) -> Result<Opened> {
    let path = request.path.as_path();
    let (image, all) = vmstate::snapshots(&file, path)?;
    let chosen = match &request.snapshot {
        None => all.last(),
        Some(wanted) => all
            .iter()
            .find(|snapshot| snapshot.name == *wanted || snapshot.id == *wanted),
    };
    let Some(chosen) = chosen.cloned() else {
        let names: Vec<_> = all.iter().map(|snapshot| snapshot.name.as_str()).collect();
        return Err(Error::Usage(Misuse {
            message: match request.snapshot {
                Some(_) => format!("{} holds no such snapshot with memory", path.display()),
                None => format!("{} holds no snapshot with memory", path.display()),
            },
            remedy: match names.is_empty() {
                true if path == Path::new("-") => {
                    "a flash image in qcow2 is read where its file is named; from standard input, a snapshot of a \
                     running guest in it is"
                        .into()
                }
                true => {
                    "only snapshots of a running guest (`savevm`, `virsh snapshot-create`) hold its memory"
                        .into()
                }
                false => Remedy::advice(format!("it holds: {}", names.join(", "))),
            },
        }));
    };
    let disk_bytes = image.size_bytes;
    let mut state = VmState::new(file, image, chosen.clone());
    let mut first = vec![0u8; MAGIC.len()];
    let read = state
        .read(&mut first)
        .map_err(|source| Error::file("read", path, source))?;
    first.truncate(read);
    Ok(Opened {
        container: Container::Snapshot {
            chosen,
            all,
            disk_bytes,
        },
        first,
        feed: Feed::Snapshot(state),
        offset: 0,
    })
}

fn decompressed(
    container: Container,
    program: &'static str,
    source: Compressed,
    path: &Path,
) -> Result<Opened> {
    let mut decompressor = Decompressor::start(program, source).map_err(|source| Error::Program {
        program: program.into(),
        path: path.into(),
        source,
    })?;
    let first = read_up_to(&mut decompressor, MAGIC.len() as u64)
        .map_err(|source| Error::file("read", path, source))?;
    Ok(Opened {
        container,
        first,
        feed: Feed::Pipe(Box::new(decompressor)),
        offset: 0,
    })
}

fn is_save_image(head: &[u8]) -> bool {
    head.starts_with(&save_image::MAGIC) || head.starts_with(&save_image::MAGIC_PARTIAL)
}

fn save_image(header: SaveImage, data: &[u8]) -> Container {
    let (xml, cookie) = header.split(data);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Container::SaveImage {
        header,
        xml: text(xml),
        cookie: cookie.map(text),
    }
}

/// Refuses an image that ends within its XML.
fn whole_xml(header: SaveImage, here: usize) -> fm_formats::Result<()> {
    match here as u64 == header.data_bytes {
        true => Ok(()),
        false => Err(fm_formats::Error::Truncated {
            field: "save image XML",
            offset: HEADER_BYTES,
            needed_bytes: header.data_bytes,
            available_bytes: here as u64,
        }),
    }
}

fn read_up_to(source: &mut impl Read, len_bytes: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(len_bytes).read_to_end(&mut bytes)?;
    Ok(bytes)
}
