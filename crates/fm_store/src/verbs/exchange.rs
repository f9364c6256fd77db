//! Builds into the store and out of it: plain files, or OCI layouts that skopeo and oras understand.

use std::io::Read as _;
use std::path::Path;

use fm_api::Schema;
use fm_api::v1::store::{StoreExport, StoreImport};
use fm_formats::Reader;
use fm_formats::volume::VolumeHeader;
use fm_stream::qcow2;

use crate::{Error, MAX_DESCRIPTOR_BYTES, MAX_FLASH_BYTES, Result, Store};
use fm_remedy::Misuse;

/// What to store.
#[derive(Debug, Clone)]
pub struct Import<'a> {
    /// Where the build comes from.
    pub from: ImportFrom<'a>,
    /// What people shall call it.
    pub name: Option<&'a str>,
    /// Which version it is.
    pub version: Option<&'a str>,
    /// Whether what is given replaces what the store says differently.
    pub replace: bool,
}

/// Where a build comes from.
#[derive(Debug, Clone)]
pub enum ImportFrom<'a> {
    /// Plain files.
    Files {
        /// CODE.
        code: &'a Path,
        /// The VARS template that belongs to it.
        vars_template: Option<&'a Path>,
        /// Its firmware descriptor.
        descriptor: Option<&'a Path>,
    },
    /// An OCI layout.
    Layout {
        /// Its folder.
        dir: &'a Path,
        /// The build's tag; not needed if the layout has one build.
        tag: Option<&'a str>,
    },
}

/// How to write a build.
#[derive(Debug, Clone, Copy)]
pub enum ExportForm<'a> {
    /// `CODE.fd`, `VARS.fd`, `descriptor.json`.
    Files,
    /// Into an OCI layout, under this tag or the build's own.
    Layout {
        /// The tag.
        tag: Option<&'a str>,
    },
}

/// Stores a build.
///
/// # Errors
/// If a file cannot be read, is no firmware that QEMU could be given, or the store refuses.
pub fn import(store: &Store, request: &Import<'_>) -> Result<StoreImport> {
    let _span = tracing::info_span!("store import").entered();
    let done = match &request.from {
        ImportFrom::Layout { dir, tag } => store.import_layout(dir, *tag)?,
        ImportFrom::Files {
            code,
            vars_template,
            descriptor,
        } => {
            let path = std::path::absolute(code).unwrap_or_else(|_| (*code).to_owned());
            let source = path.display().to_string();
            let code = read_code(code)?;
            let vars_template = vars_template
                .map(|path| read(path, MAX_FLASH_BYTES))
                .transpose()?;
            let descriptor = descriptor
                .map(|path| read(path, MAX_DESCRIPTOR_BYTES))
                .transpose()?;
            // Where it came from is a remark, not a fact about the build: the first one stays.
            let source = Some(source.as_str()).filter(|_| {
                !store
                    .build(&fm_formats::Sha256::of(&code))
                    .is_ok_and(|build| build.is_some())
            });
            store.import(&crate::Import {
                code: &code,
                vars_template: vars_template.as_deref(),
                descriptor: descriptor.as_deref(),
                name: request.name,
                version: request.version,
                source,
                replace: request.replace,
                ..crate::Import::default()
            })?
        }
    };
    Ok(StoreImport {
        schema: Schema::default(),
        dry_run: store.is_dry_run(),
        id: done.id.to_string(),
        path: done.path,
        new: done.new,
        kept: done.kept,
    })
}

/// Writes the build that `text` means into the folder `to`.
///
/// # Errors
/// If no build is meant, a blob is damaged, or the folder cannot be written.
pub fn export(store: &Store, text: &str, to: &Path, form: ExportForm<'_>) -> Result<StoreExport> {
    let id = store.find(text)?.id;
    let (tag, files) = match form {
        ExportForm::Files => (None, store.export_files(&id, to)?),
        ExportForm::Layout { tag } => (Some(store.export_layout(&id, to, tag)?), Vec::new()),
    };
    Ok(StoreExport {
        schema: Schema::default(),
        id: id.to_string(),
        to: to.to_owned(),
        tag,
        files,
    })
}

/// CODE, if it is what QEMU takes: raw, whole pages, and with a firmware volume in it.
fn read_code(path: &Path) -> Result<Vec<u8>> {
    let bytes = read(path, MAX_FLASH_BYTES)?;
    let refused = |why: &str, remedy: &'static str| {
        Error::Usage(Misuse {
            message: format!("{} is no CODE image: {why}", path.display()),
            remedy: remedy.into(),
        })
    };
    if bytes.starts_with(&qcow2::MAGIC) {
        return Err(refused(
            "it is a qcow2 file",
            "convert it first: qemu-img convert -O raw IN OUT",
        ));
    }
    if bytes.is_empty() || !bytes.len().is_multiple_of(4096) {
        let why = format!(
            "its size, {} bytes, is not a multiple of 4096, as QEMU requires",
            bytes.len()
        );
        return Err(refused(
            &why,
            "name the CODE file of a firmware package, such as OVMF_CODE_4M.fd",
        ));
    }
    // The signature lies 40 bytes into a volume, and volumes are aligned to 8 bytes (PI spec, volume 3).
    let signatures = bytes
        .chunks_exact(8)
        .enumerate()
        .filter(|(_, chunk)| chunk.starts_with(b"_FVH"));
    let mut starts = signatures.filter_map(|(at, _)| (at * 8).checked_sub(40));
    if !starts.any(|start| VolumeHeader::parse(&mut Reader::new(&bytes[start..])).is_ok()) {
        return Err(refused(
            "there is no firmware volume in it",
            "name the CODE file of a firmware package, such as OVMF_CODE_4M.fd",
        ));
    }
    Ok(bytes)
}

fn read(path: &Path, limit_bytes: u64) -> Result<Vec<u8>> {
    let failed = |source| Error::Io {
        action: "read",
        path: path.to_owned(),
        source,
    };
    let file = fm_files::open_regular(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(limit_bytes + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > limit_bytes {
        return Err(Error::Usage(Misuse {
            message: format!("{} is larger than {limit_bytes} bytes", path.display()),
            remedy: "check that it is the file you meant".into(),
        }));
    }
    Ok(bytes)
}
