//! The catalogue of known builds: what digest belongs to which package and version.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use fm_api::Schema;
use fm_api::v1::catalogue::{CatalogueDocument, CatalogueEntry};
use fm_files::{Keep, Replace};
use fm_remedy::{Action, Input, Misuse, Remedy};

use crate::build_list::parse;
use crate::inspect::{self, Catalogue};
use crate::{Error, Result, descriptors};

/// The file that the user's entries are kept in, inside a store's folder.
#[must_use]
pub fn file_in(store: &Path) -> PathBuf {
    store.join("catalogue.tsv")
}

/// All entries that are known.
///
/// # Errors
/// If the user's list cannot be read.
pub fn list(user: &Path) -> Result<CatalogueDocument> {
    let catalogue = Catalogue::open(Some(user))?;
    Ok(document(
        catalogue.entries().into_iter().cloned().collect(),
        false,
    ))
}

fn document(entries: Vec<CatalogueEntry>, dry_run: bool) -> CatalogueDocument {
    CatalogueDocument {
        schema: Schema::default(),
        dry_run,
        entries,
        unnamed: Vec::new(),
    }
}

/// Gives the firmware in `path` a name: a file, or every image in a folder or named by a descriptor.
///
/// # Errors
/// If it is no firmware or there is none in it, or the list cannot be written.
pub fn add(user: &Path, path: &Path, name: &str, version: &str, dry_run: bool) -> Result<CatalogueDocument> {
    let clean = |word: &str| !word.is_empty() && !word.contains(char::is_control);
    if !clean(name) || !clean(version) {
        return Err(Error::Usage(Misuse {
            message: "a build's name and version are words without control characters".into(),
            remedy: Remedy::give("such as ovmf and 2025.02-8", [Input::BuildName]),
        }));
    }
    let entry = |file: &Path| {
        Ok::<_, Error>(CatalogueEntry {
            sha256: digest(file)?,
            name: name.into(),
            version: version.into(),
            file: file_name(file),
        })
    };
    check_regular(path)?;
    if path.is_file() && !descriptors::is_descriptor(path) {
        return append(user, vec![entry(path)?], dry_run);
    }
    let mut files = Vec::new();
    collect(path, &mut files)?;
    files.sort();
    files.dedup();
    let entries: Vec<CatalogueEntry> = files.iter().filter_map(|file| entry(file).ok()).collect();
    if entries.is_empty() {
        return Err(Error::NotFirmware {
            path: path.to_owned(),
            why: "nothing that it holds or names is a flash image".into(),
        });
    }
    append(user, entries, dry_run)
}

/// Takes names away that the user gave: of the build with this digest (or its first eight digits or more), or
/// every one of this name.
///
/// # Errors
/// If the user gave no such name, or the list cannot be written.
pub fn remove(user: &Path, what: &str, dry_run: bool) -> Result<CatalogueDocument> {
    let _lock = (user.exists() && !dry_run).then(|| lock(user)).transpose()?;
    let text = match std::fs::read_to_string(user) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(source) => return Err(Error::file("read", user, source)),
    };
    let digits = what.len() >= 8 && what.bytes().all(|digit| digit.is_ascii_hexdigit());
    let meant = |entry: &CatalogueEntry| {
        entry.name == what || (digits && entry.sha256.starts_with(&what.to_ascii_lowercase()))
    };
    let (gone, kept): (Vec<CatalogueEntry>, Vec<CatalogueEntry>) =
        parse(&text, user)?.into_iter().partition(meant);
    if gone.is_empty() {
        return Err(Error::Usage(Misuse {
            message: format!("no entry of yours has the name or digest {what:?}"),
            remedy: Remedy::new(
                format!(
                    "name one of yours, which are in {}; the others ship with flashmoor",
                    user.display()
                ),
                Action::ListCatalogue,
            ),
        }));
    }
    if dry_run {
        return Ok(document(gone, dry_run));
    }
    Replace::existing(user, true)?.replace_keeping(
        &Keep::Nothing,
        |new| new.write_all(lines(&kept).as_bytes()),
        |_| Ok::<_, Error>(()),
    )?;
    Ok(document(gone, dry_run))
}

/// One command at a time changes the list in a folder.
fn lock(user: &Path) -> Result<std::fs::File> {
    let failed = |source| Error::file("write", user, source);
    let folder = user.parent().unwrap_or(Path::new("."));
    fm_files::create_folders(folder)?;
    let folder = std::fs::File::open(folder).map_err(failed)?;
    rustix::fs::flock(&folder, rustix::fs::FlockOperation::LockExclusive)
        .map_err(|error| failed(error.into()))?;
    Ok(folder)
}

fn lines(entries: &[CatalogueEntry]) -> String {
    let line = |entry: &CatalogueEntry| {
        let CatalogueEntry {
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
/// files, that dpkg or rpm knows the package of and finds as the package brought it.
///
/// # Errors
/// If a path cannot be read, or the list cannot be written.
pub fn update(user: &Path, paths: &[PathBuf], dry_run: bool) -> Result<CatalogueDocument> {
    let mut files = Vec::new();
    for path in paths {
        check_regular(path)?;
        collect(path, &mut files)?;
    }
    files.sort();
    files.dedup();
    let known = Catalogue::open(Some(user))?;
    let (mut entries, mut unnamed) = (Vec::new(), Vec::new());
    let mut changed = Changed::default();
    for path in files {
        let Ok(sha256) = digest(&path) else { continue };
        // A name that the user chose is not for a package to change.
        if known.own_name(&sha256).is_some() {
            continue;
        }
        match owner(&path).filter(|owner| !changed.owns(owner, &path)) {
            Some(Owner { name, version, .. }) => entries.push(CatalogueEntry {
                sha256,
                name,
                version,
                file: file_name(&path),
            }),
            None => unnamed.push(path.display().to_string()),
        }
    }
    let mut document = append(user, entries, dry_run)?;
    document.unnamed = unnamed;
    Ok(document)
}

/// Fails for what is neither a folder nor a regular file: who opens a FIFO waits for whoever writes into it.
fn check_regular(path: &Path) -> Result<()> {
    if !path.is_dir() {
        fm_files::open_regular(path).map_err(|source| Error::file("read", path, source))?;
    }
    Ok(())
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let failed = |source| Error::file("read", path, source);
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
    // A descriptor may name anything.
    check_regular(path)?;
    let found = inspect::inspect(&inspect::Request {
        path: path.to_owned(),
        ..Default::default()
    })?;
    // Firmware of which no code can be read has a reason, and no name.
    match (
        (found.image.is_some() || found.store.is_some()) && found.reason.is_none(),
        found.sha256,
    ) {
        (true, Some(sha256)) => Ok(sha256.to_string()),
        _ => Err(Error::NotFirmware {
            path: path.to_owned(),
            why: found
                .reason
                .unwrap_or_else(|| format!("it is a {}", found.kind))
                .into(),
        }),
    }
}

/// The package that owns a file.
struct Owner {
    name: String,
    version: String,
    manager: Manager,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Manager {
    Dpkg,
    Rpm,
}

/// What a program prints, whatever its exit status; nothing if it cannot be run.
fn said(program: &str, words: &[&OsStr]) -> Option<(bool, String)> {
    let output = Command::new(program)
        .args(words)
        .env("LC_ALL", "C")
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Some((output.status.success(), text))
}

/// The owner as dpkg or rpm tells.
fn owner(path: &Path) -> Option<Owner> {
    let ask = |program: &str, words: &[&str]| {
        let words: Vec<&OsStr> = words.iter().map(OsStr::new).chain([path.as_os_str()]).collect();
        said(program, &words)
            .filter(|(known, _)| *known)
            .map(|(_, text)| text)
    };
    if let Some(answer) = ask("dpkg-query", &["-S"]) {
        let name = answer.lines().next()?.split(&[':', ','][..]).next()?.trim();
        let words = ["-W", "-f", "${Version}", name].map(OsStr::new);
        let (_, version) = said("dpkg-query", &words)?;
        return (!version.is_empty()).then(|| Owner {
            name: name.to_owned(),
            version,
            manager: Manager::Dpkg,
        });
    }
    let answer = ask("rpm", &["-qf", "--qf", "%{NAME}\t%{VERSION}-%{RELEASE}\n"])?;
    let (name, version) = answer.lines().next()?.split_once('\t')?;
    Some(Owner {
        name: name.into(),
        version: version.into(),
        manager: Manager::Rpm,
    })
}

/// Files that are not as their packages brought them, by package.
#[derive(Default)]
struct Changed(BTreeMap<(Manager, String), Option<String>>);

impl Changed {
    /// Whether the file is one. Where that cannot be found out it counts as one: a name must not be a guess.
    fn owns(&mut self, owner: &Owner, path: &Path) -> bool {
        let package = (owner.manager, owner.name.clone());
        let verified = self.0.entry(package).or_insert_with(|| {
            let (program, options): (_, &[&str]) = match owner.manager {
                Manager::Dpkg => ("dpkg", &["--verify"]),
                Manager::Rpm => ("rpm", &["--verify", "--nodeps", "--noscripts"]),
            };
            let words = options.iter().copied().chain([owner.name.as_str()]);
            let words: Vec<&OsStr> = words.map(OsStr::new).collect();
            // Silent failure is no proof.
            said(program, &words)
                .filter(|(succeeded, text)| *succeeded || !text.is_empty())
                .map(|(_, text)| text)
        });
        // A line is nine signs of what differs, of which the third is the digest, and at its end the path.
        verified.as_ref().is_none_or(|lines| {
            lines.lines().any(|line| {
                let differs = line.as_bytes().get(2) != Some(&b'.') || line.starts_with("missing");
                differs && line.ends_with(&format!(" {}", path.display()))
            })
        })
    }
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .replace(char::is_control, "?")
}

/// Appends what is not known yet.
fn append(user: &Path, entries: Vec<CatalogueEntry>, dry_run: bool) -> Result<CatalogueDocument> {
    let _lock = (!dry_run).then(|| lock(user)).transpose()?;
    let known = Catalogue::open(Some(user))?;
    let mut new: Vec<CatalogueEntry> = entries
        .into_iter()
        .filter(|entry| match known.own_name(&entry.sha256) {
            Some(own) => (&own.name, &own.version) != (&entry.name, &entry.version),
            None => !known.is_shipped(entry),
        })
        .collect();
    // The same image may lie in a folder twice, under two names.
    let mut seen = BTreeSet::new();
    new.retain(|entry| seen.insert((entry.sha256.clone(), entry.name.clone(), entry.version.clone())));
    if !new.is_empty() && !dry_run {
        let failed = |source| Error::file("write", user, source);
        let text = lines(&new);
        // One write of whole lines: nobody reads half of one.
        let file = std::fs::OpenOptions::new().create(true).append(true).open(user);
        file.and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
            .map_err(failed)?;
    }
    Ok(document(new, dry_run))
}
