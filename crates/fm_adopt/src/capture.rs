//! `capture`: stores the firmware that running guests use, before somebody replaces its file.
//!
//! The bytes are those in the guests' memory, so that this works after the file was replaced as well. Each
//! build is pinned for its guest: it stays until somebody lets go of it, also when the guest is shut off.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use fm_api::Schema;
use fm_api::v1::capture::{self as api, CaptureFailure};
use fm_check::next_boot_code::{self, NextBootUnknown};
use fm_formats::Sha256;
use fm_host::{FlashUnit, Guest};
use fm_images::inspect;
use fm_remedy::one_line;
use fm_store::{Import, MAX_FLASH_BYTES, Store};
use fm_varstore::VarStore;

use crate::Result;

/// What running guests use, and where it is stored now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capture {
    /// The store's folder.
    pub store: PathBuf,
    /// Whether it is what would be stored, and nothing was.
    pub dry_run: bool,
    /// The guests whose CODE is stored now.
    pub guests: Vec<Captured>,
    /// Guests whose CODE could not be stored.
    pub failures: Vec<CaptureFailure>,
    /// Guests that have no CODE to store, and processes that only look like guests: one line each.
    pub remarks: Vec<String>,
}

/// A guest whose CODE is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured {
    /// Its pid.
    pub pid: u32,
    /// Its name.
    pub name: Option<String>,
    /// Its UUID.
    pub uuid: Option<String>,
    /// Its CODE.
    pub code: CapturedCode,
    /// Where the build is stored: a guest started with this path gets the very same CODE.
    pub stored: PathBuf,
    /// Whether the store did not have it before.
    pub new: bool,
}

/// A guest's CODE, in its memory and in its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapturedCode {
    /// Its file, as the guest's command line has it.
    pub path: Option<PathBuf>,
    /// Its size in the guest's memory.
    pub size_bytes: u64,
    /// What the guest runs.
    pub running: Sha256,
    /// What the file holds now: what a cold boot would get. Nothing if that can't be told.
    pub in_file: Option<Sha256>,
    /// Whether a cold boot would get something else, or nothing where the file is gone; nothing if that can't be told.
    pub drift: Option<bool>,
}

impl From<&Capture> for api::Capture {
    fn from(capture: &Capture) -> Self {
        Self {
            schema: Schema::default(),
            dry_run: capture.dry_run,
            store: capture.store.clone(),
            guests: capture.guests.iter().map(Into::into).collect(),
            failures: capture.failures.clone(),
            remarks: capture.remarks.clone(),
        }
    }
}

impl From<&Captured> for api::CapturedGuest {
    fn from(captured: &Captured) -> Self {
        let code = &captured.code;
        Self {
            pid: captured.pid,
            name: captured.name.clone(),
            uuid: captured.uuid.clone(),
            code: api::CapturedCode {
                path: code.path.clone(),
                size_bytes: code.size_bytes,
                running_sha256: code.running.to_string(),
                file_sha256: code.in_file.map(|digest| digest.to_string()),
                drift: code.drift,
            },
            stored: captured.stored.clone(),
            new: captured.new,
        }
    }
}

/// Stores the CODE of one guest: a pid, a name, a UUID or a QMP socket.
///
/// # Errors
/// If no or several guests are meant, its memory can't be read, or the store refuses.
pub fn one(store: &Store, selector: &str) -> Result<Capture> {
    let guest = fm_host::find(selector)?;
    let captured = capture(store, &guest)?;
    Ok(Capture {
        store: store.path().to_owned(),
        dry_run: store.is_dry_run(),
        guests: vec![captured],
        failures: Vec::new(),
        remarks: Vec::new(),
    })
}

/// Stores the CODE of every guest of this host.
///
/// # Errors
/// If there is no process table. What of a single guest fails is told in the document.
pub fn all(store: &Store) -> Result<Capture> {
    let listing = fm_host::guests()?;
    Ok(each(store, &listing.guests, listing.remarks, |_| {}))
}

/// Stores the CODE of these guests, and tells of each that failed.
/// `stored` hears of each that succeeded, at once.
pub fn each(
    store: &Store,
    guests: &[Guest],
    mut remarks: Vec<String>,
    mut stored: impl FnMut(&Captured),
) -> Capture {
    let (mut captured, mut failures) = (Vec::new(), Vec::new());
    for guest in guests {
        if let Err(error @ fm_host::Error::NoFlash { .. }) = guest.flash() {
            remarks.push(one_line(&error));
            continue;
        }
        match capture(store, guest) {
            Ok(done) => {
                stored(&done);
                captured.push(done);
            }
            // Who ended meanwhile needs nothing any more.
            Err(_) if !guest.is_alive() => {}
            Err(error) => failures.push(CaptureFailure {
                pid: guest.pid(),
                name: guest.name().map(str::to_owned),
                why: one_line(&error),
            }),
        }
    }
    Capture {
        store: store.path().to_owned(),
        dry_run: store.is_dry_run(),
        guests: captured,
        failures,
        remarks,
    }
}

fn capture(store: &Store, guest: &Guest) -> Result<Captured> {
    let unit = guest.flash_unit(0)?;
    let bytes = guest.read_flash(0)?;
    let reason = reason(guest.name(), guest.uuid());
    let now = next_boot_code::digest(guest, unit);
    let file = now.as_ref().ok().map(|(digest, _)| *digest);
    // A template belongs to the build that it came with: only beside the very same CODE it is that one.
    let same = file == Some(Sha256::of(&bytes));
    let template = if same { template_of(guest, unit) } else { None };
    let done = store.import(&Import {
        code: &bytes,
        vars_template: template.as_deref(),
        source: Some(SOURCE),
        pin: Some(&reason),
        ..Import::default()
    })?;
    Ok(Captured {
        pid: guest.pid(),
        name: guest.name().map(str::to_owned),
        uuid: guest.uuid().map(str::to_owned),
        code: CapturedCode {
            path: unit.path.clone(),
            size_bytes: bytes.len() as u64,
            running: done.id,
            in_file: file,
            drift: match now {
                Ok((file, _)) => Some(file != done.id),
                Err(NextBootUnknown::Gone) => Some(true),
                Err(_) => None,
            },
        },
        stored: done.path,
        new: done.new,
    })
}

/// Where a build is said to come from that was stored for a guest.
pub const SOURCE: &str = "captured from a running guest";
/// How the pins of captures begin.
const PIN: &str = "captured for ";

/// For which guest a build is pinned, by its UUID if it had one; nothing if the pin is of another kind.
pub fn pinned_for(pin: &str) -> Option<Option<&str>> {
    let guest = pin.strip_prefix(PIN)?;
    let uuid = guest
        .rsplit_once(" (")
        .and_then(|(_, uuid)| uuid.strip_suffix(')'))
        // a guest without a name is called by its UUID
        .or_else(|| guest.strip_prefix("guest ").filter(|who| is_uuid(who)));
    Some(uuid)
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36 && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

/// Why the build of a guest is kept. QEMU takes names of any length, and the store takes reasons of a line.
fn reason(name: Option<&str>, uuid: Option<&str>) -> String {
    const MAX_NAME_LETTERS: usize = 200;
    let short = |text: &str| match text.char_indices().nth(MAX_NAME_LETTERS) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    };
    match (name.map(short), uuid.map(short)) {
        (Some(name), Some(uuid)) => format!("{PIN}guest {name} ({uuid})"),
        (Some(who), None) | (None, Some(who)) => format!("{PIN}guest {who}"),
        (None, None) => format!("{PIN}a guest without a name"),
    }
}

/// The VARS template that packages put beside `code`.
pub(crate) fn template(code: &Path) -> Option<Vec<u8>> {
    beside(&code.canonicalize().ok()?, None, fm_files::open_regular)
}

/// The same for the CODE of a guest, which may see other files than we do.
fn template_of(guest: &Guest, unit: &FlashUnit) -> Option<Vec<u8>> {
    let reader_uid = guest.process().rights().ok()?.uid();
    beside(&guest.shown_path(unit).ok()?, Some(reader_uid), |path| {
        guest.open_shown(path)
    })
}

/// The template beside `code`, for a guest whose process belongs to `reader_uid`.
fn beside(
    code: &Path,
    reader_uid: Option<u32>,
    open: impl Fn(&Path) -> std::io::Result<File>,
) -> Option<Vec<u8>> {
    let names = fm_check::template_names(code.file_name()?.to_str()?);
    let file = names
        .into_iter()
        .find_map(|name| open(&code.with_file_name(name)).ok())?;
    let own = open(code).ok()?.metadata().ok()?;
    if !goes_with(own.uid(), &file.metadata().ok()?, reader_uid) {
        return None;
    }
    let file = match fm_host::qcow2_size_bytes(&file) {
        Some(_) => inspect::unpack_qcow2(&file, code).ok()?,
        None => file,
    };
    let mut bytes = Vec::new();
    file.take(MAX_FLASH_BYTES + 1).read_to_end(&mut bytes).ok()?;
    let is_template = bytes.len() as u64 <= MAX_FLASH_BYTES && VarStore::parse(&bytes).is_ok();
    is_template.then_some(bytes)
}

/// Whether a file is a template that came with CODE of `code_uid`, and not somebody's secret that a link in CODE's
/// folder leads to: the same owner, and nothing that the guest's own user could not have read without us.
fn goes_with(code_uid: u32, template: &fs::Metadata, reader_uid: Option<u32>) -> bool {
    const READABLE_BY_ALL: u32 = 0o004;
    let may_read = template.mode() & READABLE_BY_ALL != 0 || reader_uid == Some(template.uid());
    template.uid() == code_uid && may_read
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn a_reason_is_a_line_however_long_the_guests_name() {
        assert_eq!(reason(Some("web"), Some("u")), "captured for guest web (u)");
        let exact = "é".repeat(200);
        assert_eq!(reason(Some(&exact), None), format!("captured for guest {exact}"));
        let long = reason(Some(&"é".repeat(120_000)), None);
        assert_eq!(long, format!("captured for guest {exact}…"));
        assert_eq!(reason(None, None), "captured for a guest without a name");
        let uuid = "00000000-0000-4000-8000-000000000001";
        for (name, by) in [
            (Some("web (1)"), Some(uuid)),
            (None, Some(uuid)),
            (Some("web"), None),
            (None, None),
        ] {
            assert_eq!(pinned_for(&reason(name, by)), Some(by), "{name:?}");
        }
        assert_eq!(pinned_for("adopted for domain web (u)"), None);
    }

    #[test]
    fn a_link_in_codes_folder_gives_nobody_the_variables_of_another_guest() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::copy(
            fm_fixtures::path("bookworm/OVMF_CODE_4M.fd"),
            path("OVMF_CODE_4M.fd"),
        )
        .unwrap();
        fs::copy(fm_fixtures::path("bookworm/OVMF_VARS_4M.fd"), path("secret.fd")).unwrap();
        symlink(path("secret.fd"), path("OVMF_VARS_4M.fd")).unwrap();
        let me = fs::metadata(path("secret.fd")).unwrap().uid();
        let seen = |mode, reader_uid| {
            fs::set_permissions(path("secret.fd"), fs::Permissions::from_mode(mode)).unwrap();
            beside(&path("OVMF_CODE_4M.fd"), reader_uid, fm_files::open_regular).is_some()
        };
        // The bits for others decide where the guest runs as somebody else, and nobody's word is no permission.
        assert!(seen(0o644, None) && seen(0o644, Some(me + 1)) && seen(0o600, Some(me)));
        assert!(!seen(0o600, Some(me + 1)) && !seen(0o640, Some(me + 1)) && !seen(0o600, None));
        let readable = fs::metadata(path("OVMF_CODE_4M.fd")).unwrap();
        assert!(goes_with(me, &readable, None) && !goes_with(me + 1, &readable, Some(me)));
    }
}
