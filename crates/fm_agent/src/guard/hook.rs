//! The hooks' files: where package managers look for them, and putting them there.

mod apt;
mod dnf;
mod words;

use std::fs;
use std::path::{Path, PathBuf};

use fm_api::v1::guard::{GuardHook, GuardStatus, PackageManager};
use fm_remedy::{Input, Misuse, Remedy};

use crate::{Error, Result};

/// What to install.
#[derive(Debug, Clone)]
pub struct Install<'a> {
    /// Whose upgrades to guard.
    pub manager: PackageManager,
    /// The system whose packages are guarded.
    pub root: &'a Path,
    /// The program that the hook starts.
    pub program: &'a Path,
    /// The store, if it is not the default one.
    pub store: Option<&'a Path>,
    /// Whether an upgrade stops when a guest in use could not be captured.
    pub block: bool,
    /// How long the hook may take.
    pub timeout_s: u64,
    /// Say what would be so, and change nothing.
    pub dry_run: bool,
}

/// A place for a hook, and what starts every file that we put there.
struct Place {
    manager: PackageManager,
    path: PathBuf,
    mark: &'static str,
    text: fn(&Install<'_>) -> Result<String>,
    /// What a hook that blocks says, and no other does.
    blocking: &'static str,
}

/// Every place for a hook that the system below `root` has.
fn places(root: &Path) -> Vec<Place> {
    let mut places: Vec<Place> = apt::place(root).into_iter().collect();
    places.extend(dnf::places(root));
    places
}

/// Puts the hooks of a package manager in place, or new ones in the place of older.
///
/// # Errors
/// If the system has no such package manager, a path has characters that a hook would take for something else,
/// another's file is in the way, or the disk refuses.
pub fn install(request: &Install<'_>) -> Result<GuardStatus> {
    let places = places(request.root);
    let wanted: Vec<&Place> = places
        .iter()
        .filter(|place| place.manager == request.manager)
        .collect();
    if wanted.is_empty() {
        return Err(Error::Usage(Misuse {
            message: format!(
                "there is no {} below {}",
                request.manager.name(),
                request.root.display()
            ),
            remedy: Remedy::give("name the system, or its package manager", [Input::SystemRoot]),
        }));
    }
    for place in wanted {
        let text = (place.text)(request)?;
        place.is_ours()?;
        if !request.dry_run {
            place.write(&text)?;
        }
    }
    let mut status = status(request.root)?;
    if request.dry_run {
        status.dry_run = true;
        let hooks = status.hooks.iter_mut();
        for hook in hooks.filter(|hook| hook.manager == request.manager) {
            (hook.installed, hook.blocks) = (true, request.block);
        }
    }
    Ok(status)
}

/// Takes all hooks away; in a dry run, says what would be left.
///
/// # Errors
/// If a file is another's, or the disk refuses.
pub fn uninstall(root: &Path, dry_run: bool) -> Result<GuardStatus> {
    for place in places(root) {
        if place.is_ours()? && !dry_run {
            fs::remove_file(&place.path).map_err(|source| Error::file("remove", &place.path, source))?;
        }
    }
    let mut status = status(root)?;
    if dry_run {
        status.dry_run = true;
        for hook in &mut status.hooks {
            (hook.installed, hook.blocks) = (false, false);
        }
    }
    Ok(status)
}

/// Which hooks are in place.
///
/// # Errors
/// If a file can't be read or is another's.
pub fn status(root: &Path) -> Result<GuardStatus> {
    let mut hooks = Vec::new();
    for place in places(root) {
        let installed = place.is_ours()?;
        let says =
            |word: &str| text_of(&place.path).is_ok_and(|text| text.is_some_and(|text| text.contains(word)));
        hooks.push(GuardHook {
            manager: place.manager,
            installed,
            blocks: installed && says(place.blocking),
            path: place.path,
        });
    }
    Ok(GuardStatus {
        schema: fm_api::Schema::default(),
        dry_run: false,
        hooks,
    })
}

/// A hook is some lines long.
const MAX_HOOK_BYTES: u64 = 1 << 20;

fn text_of(path: &Path) -> Result<Option<String>> {
    let bytes = fm_files::read_bounded(path, MAX_HOOK_BYTES)?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

impl Place {
    /// Whether our hook is there; an error if something else is.
    fn is_ours(&self) -> Result<bool> {
        let path = &self.path;
        match text_of(path)? {
            None => Ok(false),
            Some(text) if text.starts_with(self.mark) => Ok(true),
            Some(_) => Err(Error::Usage(Misuse {
                message: format!("{} was not written by flashmoor", path.display()),
                remedy: "move it away first".into(),
            })),
        }
    }

    fn write(&self, text: &str) -> Result<()> {
        if let Some(folder) = self.path.parent() {
            fm_files::create_folders(folder)?;
        }
        // No package manager reads a name that starts with a dot: a half-written file is never seen.
        Ok(fm_files::Place::at(&self.path)?.write(text.as_bytes(), 0o644)?)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const APT: &str = "etc/apt/apt.conf.d/50flashmoor";

    /// A system that has apt.
    fn system() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("etc/apt")).unwrap();
        root
    }

    #[test]
    fn a_system_without_apt_gets_no_hook_for_it() {
        let root = tempfile::tempdir().unwrap();
        for root in [root.path().to_owned(), root.path().join("nowhere")] {
            let refused = install(&request(&root)).unwrap_err().to_string();
            assert!(refused.starts_with("there is no apt below "), "{refused}");
            assert!(!root.join("etc").exists());
            assert_eq!(status(&root).unwrap().hooks.len(), 0);
        }
    }

    fn request<'a>(root: &'a Path) -> Install<'a> {
        Install {
            manager: PackageManager::Apt,
            root,
            program: Path::new("/usr/bin/flashmoor"),
            store: None,
            block: false,
            timeout_s: 30,
            dry_run: false,
        }
    }

    #[test]
    fn the_hook_forgives_its_own_failure_unless_it_was_told_to_block() {
        let root = system();
        install(&request(root.path())).unwrap();
        let text = fs::read_to_string(root.path().join(APT)).unwrap();
        let commands: Vec<&str> = text
            .lines()
            .filter(|line| line.contains(" guard "))
            .skip(1)
            .collect();
        assert_eq!(commands.len(), 2, "{text}");
        assert!(
            commands.iter().all(|command| command.contains("|| true\"")),
            "{text}"
        );
        assert!(
            text.contains("DPkg::Tools::Options::/usr/bin/flashmoor::Version \"3\";"),
            "{text}"
        );
        let blocking = install(&Install {
            block: true,
            ..request(root.path())
        })
        .unwrap();
        assert!(blocking.hooks[0].installed && blocking.hooks[0].blocks);
        let text = fs::read_to_string(root.path().join(APT)).unwrap();
        assert!(text.contains("--block\"; };"), "{text}");
        assert!(!uninstall(root.path(), false).unwrap().hooks[0].installed);
        assert!(
            !uninstall(root.path(), false).unwrap().hooks[0].installed,
            "again changes nothing"
        );
    }

    #[test]
    fn nobody_but_the_owner_may_write_to_a_hook_whatever_the_umask() {
        let root = system();
        let umask = rustix::process::umask(rustix::fs::Mode::empty());
        install(&request(root.path())).unwrap();
        rustix::process::umask(umask);
        for path in [root.path().join(APT), root.path().join("etc/apt/apt.conf.d")] {
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o022, 0, "{}", path.display());
        }
    }

    #[test]
    fn a_file_of_somebody_else_is_neither_replaced_nor_removed() {
        let root = system();
        let path = root.path().join(APT);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "APT::Color \"0\";\n").unwrap();
        assert!(install(&request(root.path())).is_err());
        assert!(uninstall(root.path(), false).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "APT::Color \"0\";\n");
    }

    #[test]
    fn a_path_that_the_shell_would_read_otherwise_is_refused() {
        let root = system();
        for path in ["/a b", "/a;b", "/a\"b", "/$HOME", "/a'b"] {
            let odd = Install {
                store: Some(Path::new(path)),
                ..request(root.path())
            };
            assert!(matches!(install(&odd), Err(Error::Usage(_))), "{path}");
        }
        assert!(!root.path().join(APT).exists());
    }

    #[test]
    fn both_generations_of_dnf_are_guarded_where_they_are() {
        let root = tempfile::tempdir().unwrap();
        let dnf = Install {
            manager: PackageManager::Dnf,
            ..request(root.path())
        };
        let refused = install(&dnf).unwrap_err().to_string();
        assert!(refused.starts_with("there is no dnf below "), "{refused}");

        fs::create_dir_all(root.path().join("usr/lib/python3.12/site-packages/dnf")).unwrap();
        fs::create_dir_all(root.path().join("etc/dnf/libdnf5-plugins")).unwrap();
        let done = install(&dnf).unwrap();
        let of_dnf: Vec<_> = done
            .hooks
            .iter()
            .filter(|hook| hook.manager == PackageManager::Dnf)
            .collect();
        assert_eq!(of_dnf.len(), 2);
        assert!(of_dnf.iter().all(|hook| hook.installed && !hook.blocks));
        assert!(of_dnf[0].path.ends_with("site-packages/dnf-plugins/flashmoor.py"));
        let actions = fs::read_to_string(&of_dnf[1].path).unwrap();
        let lines: Vec<&str> = actions.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(lines.len(), 2, "{actions}");
        for line in lines {
            // what the command prints would be taken for orders to dnf5
            assert_eq!(line.splitn(5, ':').count(), 5, "{line}");
            assert!(line.ends_with("\\ >&2\\ ||\\ true"), "{line}");
            assert_eq!(line.replace("\\ ", "").matches(' ').count(), 2, "{line}");
        }
        assert!(
            uninstall(root.path(), false)
                .unwrap()
                .hooks
                .iter()
                .all(|hook| !hook.installed)
        );

        let blocking = Install { block: true, ..dnf };
        let refused = install(&blocking).unwrap_err().to_string();
        assert!(refused.contains("dnf5"), "{refused}");
    }
}
