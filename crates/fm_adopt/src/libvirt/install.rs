//! `libvirt install` and `uninstall`: the hook, the agent's unit, and what AppArmor has to know.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use fm_files::{NewFile, Place};

use super::{Policy, confine, hook, wakeup};
use crate::Result;
use fm_remedy::Misuse;

const MARK: &str = "# Written by `flashmoor libvirt install`; `flashmoor libvirt uninstall` removes it.";
/// libvirt runs every file in here, from 6.5 on.
pub(super) const FOLDER_HOOK: &str = "etc/libvirt/hooks/qemu.d/flashmoor";
/// Older ones know this one only.
pub(super) const PLAIN_HOOK: &str = "etc/libvirt/hooks/qemu";
pub(super) const UNIT: &str = "etc/systemd/system/flashmoor-agent.service";
/// Where ours goes if one of somebody else's is there: libvirt does not look here by itself.
pub(super) const BESIDE_HOOK: &str = "etc/libvirt/hooks/flashmoor";

/// What the packages' unit names, which is that of every other install but for these two.
const PACKAGED_PROGRAM: &str = "/usr/bin/flashmoor";
const PACKAGED_STORE: &str = "/var/lib/flashmoor";
/// Where packages put it: below `/lib` where that is not yet the same as `/usr/lib`.
const PACKAGED_UNITS: [&str; 2] = [
    "usr/lib/systemd/system/flashmoor-agent.service",
    "lib/systemd/system/flashmoor-agent.service",
];

/// What to install.
#[derive(Debug, Clone)]
pub struct Install<'a> {
    /// The system to install into.
    pub root: &'a Path,
    /// The program that the hook starts.
    pub program: &'a Path,
    /// The store.
    pub store: &'a Path,
    /// What the hook does where it can't help.
    pub policy: Policy,
    /// How long the hook may take.
    pub deadline_ms: u64,
    /// libvirt's version, such as 9.0; a recent one is assumed if it is not known.
    pub libvirt: Option<(u32, u32)>,
    /// Say what would be done, and change nothing.
    pub dry_run: bool,
}

/// What [`install`] and [`uninstall`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setup {
    /// Whether it is what would be done, and nothing was.
    pub dry_run: bool,
    /// The files that were written, or removed.
    pub files: Vec<PathBuf>,
    /// What is left to do, in order.
    pub next: Vec<NextStep>,
}

/// What is left to do after an install or uninstall.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NextStep {
    /// Put this line into the hook of somebody else's.
    AddHookLine {
        /// That hook.
        file: PathBuf,
        /// The line.
        line: &'static str,
    },
    /// Take this line out of it.
    RemoveHookLine {
        /// That hook.
        file: PathBuf,
        /// The line.
        line: &'static str,
    },
    /// Let systemd read its units again and start the agent.
    StartAgent,
    /// Stop the agent and let systemd read its units again.
    StopAgent,
    /// Restart libvirt's daemon, so that it finds the hook.
    RestartDaemon,
    /// Let AppArmor read these profiles again.
    ReloadProfiles(Vec<PathBuf>),
    /// Load the file contexts and label the store.
    LoadContexts {
        /// The contexts.
        file: PathBuf,
        /// The store.
        store: String,
    },
    /// Unload the file contexts.
    UnloadContexts,
    /// Adopt the domains.
    AdoptDomains,
    /// Adopted domains go on using the stored builds; give their definitions back where that is not wanted.
    UnadoptDomains,
}

/// Puts everything in place; what is there of an older one is replaced.
///
/// # Errors
/// If a path can't be written in a shell script, or the disk refuses.
pub fn install(request: &Install<'_>) -> Result<Setup> {
    let program = word(request.program)?;
    let store = word(request.store)?;
    let policy = match request.policy {
        Policy::Refuse => "refuse",
        Policy::Pass => "pass",
    };
    let deadline = request.deadline_ms;
    let call = format!("{program} --store {store} libvirt hook --policy {policy} --deadline-ms {deadline}");
    let is_old = request.libvirt.is_some_and(|version| version < (6, 5));
    let mut place = request.root.join(if is_old { PLAIN_HOOK } else { FOLDER_HOOK });
    let mut next = vec![NextStep::StartAgent, NextStep::RestartDaemon];
    if place.exists() && !is_ours(&place)? {
        if !calls_ours(&place)? {
            next.insert(
                0,
                NextStep::AddHookLine {
                    file: plain(),
                    line: CALL,
                },
            );
        }
        place = request.root.join(BESIDE_HOOK);
    }
    let mut files = Files::new(request.dry_run);
    files.put(&place, &script(&call, &store), 0o755)?;
    // A unit of ours would outlive the package's and hide its next version.
    let is_packaged =
        program == PACKAGED_PROGRAM && store == PACKAGED_STORE && has_packaged_unit(request.root);
    if !is_packaged {
        files.put(&request.root.join(UNIT), &unit(&program, &store), 0o644)?;
    }
    for (path, lines) in confine::apparmor(request.root, &program, &store) {
        files.put(&path, &confine::with_block(&read(&path)?, &lines), 0o644)?;
    }
    let profiles = confine::profiles(request.root);
    if !profiles.is_empty() {
        next.push(NextStep::ReloadProfiles(profiles));
    }
    if let Some(path) = confine::selinux(request.root) {
        files.put(&path, &confine::contexts(MARK, &store), 0o644)?;
        next.push(NextStep::LoadContexts {
            file: Path::new("/").join(confine::SELINUX),
            store: store.clone(),
        });
    }
    next.push(NextStep::AdoptDomains);
    Ok(files.setup(next))
}

/// Takes away what [`install`] put in place, or says what it would. The store and the domains stay as they are.
///
/// # Errors
/// If the disk refuses.
pub fn uninstall(root: &Path, dry_run: bool) -> Result<Setup> {
    let mut files = Files::new(dry_run);
    let mut next = Vec::new();
    if calls_ours(&root.join(PLAIN_HOOK))? {
        next.push(NextStep::RemoveHookLine {
            file: plain(),
            line: CALL,
        });
    }
    let contexts = Some(root.join(confine::SELINUX));
    let places = [FOLDER_HOOK, PLAIN_HOOK, BESIDE_HOOK, UNIT].map(|place| root.join(place));
    if contexts.as_ref().is_some_and(|path| path.exists()) {
        next.push(NextStep::UnloadContexts);
    }
    for path in places.into_iter().chain(contexts) {
        if path.exists() && is_ours(&path)? {
            files.remove(path)?;
        }
    }
    for path in confine::places(root) {
        let text = read(&path)?;
        let rest = confine::without_block(&text);
        if rest != text {
            files.put(&path, &rest, 0o644)?;
        }
    }
    if !files.changed.is_empty() {
        next.extend([NextStep::StopAgent, NextStep::UnadoptDomains]);
    }
    Ok(files.setup(next))
}

/// The script decides what may fail: a guest is stopped by a deliberate refusal only, never by a flashmoor
/// that is gone, crashes or hangs. libvirt would take any other status than 0 for a refusal.
///
/// libvirt waits for each of its calls, and a migration makes six. What is a note to the agent and no more is therefore
/// told by the script; a guest that left is the program's business only where something was made for an arrival.
fn script(call: &str, store: &str) -> String {
    let (notes, arriving, blank_vars) = (wakeup::NOTES, hook::ARRIVING, hook::BLANK_VARS);
    format!(
        "#!/bin/sh\n{MARK}\n\
         case \"$2\" in\n\
         migrate|restore|prepare) ;;\n\
         start|attach) exit 0 ;;\n\
         *)\n\
         if [ \"$2\" = release ]; then\n\
         for made in {store}/{arriving}/* {store}/{blank_vars}/* {store}/landings/*; do\n\
         [ ! -e \"$made\" ] || {{ {call} \"$@\" 2>/dev/null; exit 0; }}\n\
         done\n\
         fi\n\
         [ ! -e {store}/{notes} ] || true 2>/dev/null >>{store}/{notes}\n\
         exit 0 ;;\n\
         esac\n\
         xml=$({call} \"$@\")\n\
         case $? in\n\
         0) [ -z \"$xml\" ] || printf '%s\\n' \"$xml\" ;;\n\
         10) exit 1 ;;\n\
         esac\n\
         exit 0\n"
    )
}

/// The packages' unit, with this program and this store.
fn unit(program: &str, store: &str) -> String {
    let unit = include_str!("../../../../packaging/systemd/flashmoor-agent.service");
    let text = unit
        .replace(PACKAGED_PROGRAM, program)
        .replace(PACKAGED_STORE, store);
    format!("{MARK}\n{text}")
}

/// Whether a package brought the agent's unit.
pub(super) fn has_packaged_unit(root: &Path) -> bool {
    PACKAGED_UNITS.iter().any(|unit| root.join(unit).exists())
}

/// Somebody else's hook, as its system sees it.
fn plain() -> PathBuf {
    Path::new("/").join(PLAIN_HOOK)
}

/// Whether the file was written by [`install`].
pub(super) fn is_ours(path: &Path) -> Result<bool> {
    let mark = MARK.trim_start_matches('#').trim();
    Ok(read(path)?
        .lines()
        .take(2)
        .any(|line| line.trim_start_matches(['#', ';']).trim() == mark))
}

/// What somebody else's hook calls ours with. The script passes on deliberate refusals only, and lets everything else
/// go on, whatever becomes of the program; if it is gone as well, so is the call.
const CALL: &str = "[ ! -x /etc/libvirt/hooks/flashmoor ] || /etc/libvirt/hooks/flashmoor \"$@\" || exit $?";

/// Whether somebody else's hook calls ours.
pub(super) fn calls_ours(path: &Path) -> Result<bool> {
    let text = read(path)?;
    Ok(text
        .lines()
        .any(|line| !line.trim_start().starts_with('#') && line.contains("/etc/libvirt/hooks/flashmoor")))
}

fn read(path: &Path) -> Result<String> {
    match fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(source) => Err(crate::Error::file("read", path, source)),
    }
}

/// Files that are written and removed, or would be.
struct Files {
    changed: Vec<PathBuf>,
    is_dry_run: bool,
}

impl Files {
    fn new(is_dry_run: bool) -> Self {
        Self {
            changed: Vec::new(),
            is_dry_run,
        }
    }

    fn setup(self, next: Vec<NextStep>) -> Setup {
        Setup {
            dry_run: self.is_dry_run,
            files: self.changed,
            next,
        }
    }

    /// Writes a file in one step, so that nobody runs half a script. One that holds this already stays; one that is
    /// replaced leaves its age to the next: `status` tells by it whether a daemon is older than the hook.
    fn put(&mut self, path: &Path, text: &str, mode: u32) -> Result<()> {
        let failed = |source| crate::Error::file("write", path, source);
        let old = path.symlink_metadata().ok().filter(fs::Metadata::is_file);
        self.changed.push(path.to_owned());
        let is_there = old.as_ref().is_some_and(|old| {
            old.permissions().mode() & 0o777 == mode
                && fs::read(path).is_ok_and(|before| before == text.as_bytes())
        });
        if is_there || self.is_dry_run {
            return Ok(());
        }
        fm_files::create_folders(path.parent().unwrap_or(path))?;
        let new = NewFile::create(&Place::at(path)?)?;
        new.write_all(text.as_bytes())?;
        // The process's umask must not decide whether libvirt may run it.
        new.set_mode(mode)?;
        if let Some(modified) = old.and_then(|old| old.modified().ok()) {
            new.file().set_modified(modified).map_err(failed)?;
        }
        Ok(new.place_over()?)
    }

    fn remove(&mut self, path: PathBuf) -> Result<()> {
        if !self.is_dry_run {
            fs::remove_file(&path).map_err(|source| crate::Error::file("remove", &path, source))?;
        }
        self.changed.push(path);
        Ok(())
    }
}

/// An absolute path that is one word to the shell, to systemd and to AppArmor.
fn word(path: &Path) -> Result<String> {
    let path = std::path::absolute(path).map_err(|source| crate::Error::file("find", path, source))?;
    let text = path.to_str().unwrap_or_default();
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+".contains(letter);
    if text.is_empty() || !text.chars().all(plain) {
        return Err(crate::Error::Usage(Misuse {
            message: format!("{} can't be named in a hook", path.display()),
            remedy: "use a path of letters, digits and / . _ - + only".into(),
        }));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests;
