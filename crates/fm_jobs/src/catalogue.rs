//! The catalogue of known builds: what digest belongs to which package and version.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::inspect::{self, Catalogue};
use crate::{Error, Result, descriptors};

/// One known build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Entry {
    /// Digest of the whole file.
    pub sha256: String,
    /// The package, or what the user calls it.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The file's name.
    pub file: String,
}

/// What changed in the catalogue, or all of it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct CatalogueDocument {
    /// `flashmoor/catalogue/1`.
    pub schema: String,
    /// Listed, newly added, or removed.
    pub entries: Vec<Entry>,
    /// Firmware that no package owns, which therefore has no name to add.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub unnamed: Vec<String>,
}

/// The file that the user's entries are kept in, inside a store's folder.
#[must_use]
pub fn file_in(store: &Path) -> PathBuf {
    store.join("catalogue.tsv")
}

/// Reads entries, one a line: digest, name, version, file, separated by tabs; `#` starts a remark.
pub(crate) fn parse(text: &str, path: &Path) -> Result<Vec<Entry>> {
    let lines = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|(at, line)| {
            let fields: Vec<&str> = line.split('\t').collect();
            match fields[..] {
                [sha256, name, version, file] if sha256.len() == 64 => Ok(Entry {
                    sha256: sha256.into(),
                    name: name.into(),
                    version: version.into(),
                    file: file.into(),
                }),
                _ => Err(Error::Usage {
                    message: format!("line {} of {} is no catalogue entry", at + 1, path.display()),
                    remedy: "it is digest, name, version and file, separated by tabs; delete the line".into(),
                }),
            }
        })
        .collect()
}

/// All entries that are known.
///
/// # Errors
/// If the user's list cannot be read.
pub fn list(user: &Path) -> Result<CatalogueDocument> {
    let catalogue = Catalogue::open(Some(user))?;
    Ok(document(catalogue.entries().into_iter().cloned().collect()))
}

fn document(entries: Vec<Entry>) -> CatalogueDocument {
    CatalogueDocument {
        schema: "flashmoor/catalogue/1".into(),
        entries,
        unnamed: Vec::new(),
    }
}

/// Gives the firmware in `path` a name: a file, or every image in a folder or named by a descriptor.
///
/// # Errors
/// If it is no firmware or there is none in it, or the list cannot be written.
pub fn add(user: &Path, path: &Path, name: &str, version: &str) -> Result<CatalogueDocument> {
    let clean = |word: &str| !word.is_empty() && !word.contains(char::is_control);
    if !clean(name) || !clean(version) {
        return Err(Error::Usage {
            message: "a build's name and version are words without control characters".into(),
            remedy: "such as --name ovmf --build-version 2025.02-8".into(),
        });
    }
    let entry = |file: &Path| {
        Ok::<_, Error>(Entry {
            sha256: digest(file)?,
            name: name.into(),
            version: version.into(),
            file: file_name(file),
        })
    };
    if path.is_file() && !descriptors::is_descriptor(path) {
        return append(user, vec![entry(path)?]);
    }
    let mut files = Vec::new();
    collect(path, &mut files)?;
    files.sort();
    files.dedup();
    let entries: Vec<Entry> = files.iter().filter_map(|file| entry(file).ok()).collect();
    if entries.is_empty() {
        return Err(Error::NotFirmware {
            path: path.to_owned(),
            why: "nothing that it holds or names is a flash image".into(),
        });
    }
    append(user, entries)
}

/// Takes names away that the user gave: of the build with this digest (or its first eight digits or more), or
/// every one of this name.
///
/// # Errors
/// If the user gave no such name, or the list cannot be written.
pub fn remove(user: &Path, what: &str) -> Result<CatalogueDocument> {
    let _lock = user.exists().then(|| lock(user)).transpose()?;
    let text = match std::fs::read_to_string(user) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(source) => return Err(Error::file("read", user, source)),
    };
    let digits = what.len() >= 8 && what.bytes().all(|digit| digit.is_ascii_hexdigit());
    let meant = |entry: &Entry| {
        entry.name == what || (digits && entry.sha256.starts_with(&what.to_ascii_lowercase()))
    };
    let (gone, kept): (Vec<Entry>, Vec<Entry>) = parse(&text, user)?.into_iter().partition(meant);
    if gone.is_empty() {
        return Err(Error::Usage {
            message: format!("no entry of yours has the name or digest {what:?}"),
            remedy: format!(
                "`flashmoor catalogue list` shows all; yours are in {}, the others ship with flashmoor",
                user.display()
            ),
        });
    }
    let failed = |source| Error::file("write", user, source);
    let folder = user.parent().unwrap_or(Path::new("."));
    let mut new = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    new.write_all(lines(&kept).as_bytes())
        .and_then(|()| new.as_file().sync_all())
        .map_err(failed)?;
    new.persist(user).map_err(|error| failed(error.error))?;
    Ok(document(gone))
}

/// One command at a time changes the list in a folder.
fn lock(user: &Path) -> Result<std::fs::File> {
    let failed = |source| Error::file("write", user, source);
    let folder = user.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(failed)?;
    let folder = std::fs::File::open(folder).map_err(failed)?;
    rustix::fs::flock(&folder, rustix::fs::FlockOperation::LockExclusive)
        .map_err(|error| failed(error.into()))?;
    Ok(folder)
}

fn lines(entries: &[Entry]) -> String {
    let line = |entry: &Entry| {
        let Entry {
            sha256,
            name,
            version,
            file,
        } = entry;
        format!("{sha256}\t{name}\t{version}\t{file}\n")
    };
    entries.iter().map(line).collect()
}

/// Adds the firmware of installed packages: every file in `paths`, which may be folders and descriptor
/// files, that dpkg or rpm knows the package of.
///
/// # Errors
/// If a path cannot be read, or the list cannot be written.
pub fn update(user: &Path, paths: &[PathBuf]) -> Result<CatalogueDocument> {
    let mut files = Vec::new();
    for path in paths {
        collect(path, &mut files)?;
    }
    files.sort();
    files.dedup();
    let known = Catalogue::open(Some(user))?;
    let (mut entries, mut unnamed) = (Vec::new(), Vec::new());
    for path in files {
        let Ok(sha256) = digest(&path) else { continue };
        match owner(&path) {
            // A name that the user chose is not for a package to change.
            Some((name, _)) if known.own_name(&sha256).is_some_and(|own| own.name != name) => {}
            Some((name, version)) => entries.push(Entry {
                sha256,
                name,
                version,
                file: file_name(&path),
            }),
            None => unnamed.push(path.display().to_string()),
        }
    }
    let mut document = append(user, entries)?;
    document.unnamed = unnamed;
    Ok(document)
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let failed = |source| Error::File {
        action: "read",
        path: path.to_owned(),
        source,
    };
    if path.is_dir() {
        for entry in std::fs::read_dir(path).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.is_file() {
                collect(&path, files)?;
            }
        }
    } else if path.extension().is_some_and(|extension| extension == "json") {
        let text = std::fs::read_to_string(path).map_err(failed)?;
        collect_descriptor(&text, files);
    } else {
        // Two names of one file are one build.
        files.push(path.canonicalize().map_err(failed)?);
    }
    Ok(())
}

/// Every `filename` in a descriptor that exists; what a descriptor is, `inspect` judges.
fn collect_descriptor(text: &str, files: &mut Vec<PathBuf>) {
    fn walk(value: &serde_json::Value, files: &mut Vec<PathBuf>) {
        match value {
            serde_json::Value::Object(map) => {
                if let Some(path) = map.get("filename").and_then(|name| name.as_str()) {
                    files.extend(Path::new(path).canonicalize());
                }
                map.values().for_each(|value| walk(value, files));
            }
            serde_json::Value::Array(values) => values.iter().for_each(|value| walk(value, files)),
            _ => {}
        }
    }
    if let Ok(value) = serde_json::from_str(text) {
        walk(&value, files);
    }
}

fn digest(path: &Path) -> Result<String> {
    let document = inspect::inspect(&inspect::Request {
        path: path.to_owned(),
        ..Default::default()
    })?;
    // Firmware of which no code can be read has a reason, and no name.
    match (
        (document.image.is_some() || document.store.is_some()) && document.reason.is_none(),
        document.sha256,
    ) {
        (true, Some(sha256)) => Ok(sha256),
        _ => Err(Error::NotFirmware {
            path: path.to_owned(),
            why: document
                .reason
                .unwrap_or_else(|| format!("it is a {}", document.kind)),
        }),
    }
}

/// The package and version that own a file, as dpkg or rpm tells.
fn owner(path: &Path) -> Option<(String, String)> {
    let ask = |program: &str, words: &[&str]| {
        let output = Command::new(program)
            .args(words)
            .arg(path)
            .env("LC_ALL", "C")
            .output()
            .ok()?;
        output
            .status
            .success()
            .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    if let Some(answer) = ask("dpkg-query", &["-S"]) {
        let package = answer
            .lines()
            .next()?
            .split(&[':', ','][..])
            .next()?
            .trim()
            .to_owned();
        let output = Command::new("dpkg-query")
            .args(["-W", "-f", "${Version}", &package])
            .output()
            .ok()?;
        let version = String::from_utf8_lossy(&output.stdout).into_owned();
        return (!version.is_empty()).then_some((package, version));
    }
    let answer = ask("rpm", &["-qf", "--qf", "%{NAME}\t%{VERSION}-%{RELEASE}\n"])?;
    let (name, version) = answer.lines().next()?.split_once('\t')?;
    Some((name.into(), version.into()))
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .replace(char::is_control, "?")
}

/// Appends what is not known yet.
fn append(user: &Path, entries: Vec<Entry>) -> Result<CatalogueDocument> {
    let _lock = lock(user)?;
    let known = Catalogue::open(Some(user))?;
    let mut new: Vec<Entry> = entries
        .into_iter()
        .filter(|entry| match known.own_name(&entry.sha256) {
            Some(own) => own != entry,
            None => !known.is_shipped(entry),
        })
        .collect();
    // The same image may lie in a folder twice.
    new.dedup();
    if !new.is_empty() {
        let failed = |source| Error::File {
            action: "write",
            path: user.to_owned(),
            source,
        };
        let text = lines(&new);
        // One write of whole lines: nobody reads half of one.
        let file = std::fs::OpenOptions::new().create(true).append(true).open(user);
        file.and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
            .map_err(failed)?;
    }
    Ok(document(new))
}
