//! The hook's file: where apt looks for it, and what it says.

use std::fs;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Serialize;

use crate::{Error, Result};

const APT: &str = "etc/apt/apt.conf.d/50flashmoor";
const MARK: &str = "// Written by `flashmoor guard install`; `flashmoor guard uninstall` removes it.";

/// What to install.
#[derive(Debug, Clone)]
pub struct Install<'a> {
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
}

/// `flashmoor/guard-status/1`: whether upgrades are guarded.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Status {
    /// `flashmoor/guard-status/1`.
    pub schema: &'static str,
    /// The hooks that there can be.
    pub hooks: Vec<Hook>,
}

/// A hook's file.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Hook {
    /// `apt`.
    pub manager: &'static str,
    /// Where its file is.
    pub path: PathBuf,
    /// Whether it is there.
    pub installed: bool,
    /// Whether it stops an upgrade when a guest in use could not be captured.
    pub blocks: bool,
}

/// Puts apt's hook in place, or a new one in the place of an older.
///
/// # Errors
/// If a path has characters that apt's configuration or the shell would take for something else, another's
/// file is in the way, or the disk refuses.
pub fn install(request: &Install<'_>) -> Result<Status> {
    let text = apt(request)?;
    let path = request.root.join(APT);
    ours(&path)?;
    let failed = |source| Error::File {
        action: "write",
        path: path.clone(),
        source,
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    // apt reads only names without a dot or with .conf: a half-written file is never seen.
    let fresh = path.with_extension("flashmoor-new");
    fs::write(&fresh, text)
        .and_then(|()| fs::rename(&fresh, &path))
        .map_err(failed)?;
    status(request.root)
}

/// Takes apt's hook away.
///
/// # Errors
/// If the file is another's, or the disk refuses.
pub fn uninstall(root: &Path) -> Result<Status> {
    let path = root.join(APT);
    if ours(&path)? {
        fs::remove_file(&path).map_err(|source| Error::File {
            action: "remove",
            path,
            source,
        })?;
    }
    status(root)
}

/// Whether the hook is in place.
///
/// # Errors
/// If its file can't be read or is another's.
pub fn status(root: &Path) -> Result<Status> {
    let path = root.join(APT);
    let installed = ours(&path)?;
    let blocks = installed && fs::read_to_string(&path).is_ok_and(|text| text.contains(" --block"));
    Ok(Status {
        schema: "flashmoor/guard-status/1",
        hooks: vec![Hook {
            manager: "apt",
            path,
            installed,
            blocks,
        }],
    })
}

/// Whether our hook is there; an error if something else is.
fn ours(path: &Path) -> Result<bool> {
    match fs::read_to_string(path) {
        Ok(text) if text.starts_with(MARK) => Ok(true),
        Ok(_) => Err(Error::Usage {
            message: format!("{} was not written by flashmoor", path.display()),
            remedy: "move it away first".into(),
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(Error::File {
            action: "read",
            path: path.to_owned(),
            source,
        }),
    }
}

fn apt(request: &Install<'_>) -> Result<String> {
    let program = word(request.program)?;
    let mut options = format!("--timeout {}", request.timeout_s);
    if let Some(store) = request.store {
        options += &format!(" --store {}", word(store)?);
    }
    if request.root != Path::new("/") {
        options += &format!(" --root {}", word(request.root)?);
    }
    // apt stops when the first of these fails, and complains when the second does.
    let (block, forgive) = if request.block {
        (" --block", "")
    } else {
        ("", " || true")
    };
    Ok(format!(
        "{MARK}\n\
         DPkg::Tools::Options::{program}::Version \"3\";\n\
         DPkg::Pre-Install-Pkgs {{ \"{program} guard before --apt {options}{block}{forgive}\"; }};\n\
         DPkg::Post-Invoke {{ \"{program} guard after {options} || true\"; }};\n"
    ))
}

/// An absolute path that is one word to apt and to the shell.
fn word(path: &Path) -> Result<String> {
    let path = std::path::absolute(path).map_err(|source| Error::File {
        action: "find",
        path: path.into(),
        source,
    })?;
    let text = path.to_str().unwrap_or_default();
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+".contains(letter);
    if text.is_empty() || !text.chars().all(plain) {
        return Err(Error::Usage {
            message: format!("{} can't be named in apt's configuration", path.display()),
            remedy: "use a path of letters, digits and / . _ - + only".into(),
        });
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request<'a>(root: &'a Path) -> Install<'a> {
        Install {
            root,
            program: Path::new("/usr/bin/flashmoor"),
            store: None,
            block: false,
            timeout_s: 30,
        }
    }

    #[test]
    fn the_hook_forgives_its_own_failure_unless_it_was_told_to_block() {
        let root = tempfile::tempdir().unwrap();
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
        assert!(!uninstall(root.path()).unwrap().hooks[0].installed);
        assert!(
            !uninstall(root.path()).unwrap().hooks[0].installed,
            "again changes nothing"
        );
    }

    #[test]
    fn a_file_of_somebody_else_is_neither_replaced_nor_removed() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join(APT);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "APT::Color \"0\";\n").unwrap();
        assert!(install(&request(root.path())).is_err());
        assert!(uninstall(root.path()).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "APT::Color \"0\";\n");
    }

    #[test]
    fn a_path_that_the_shell_would_read_otherwise_is_refused() {
        let root = tempfile::tempdir().unwrap();
        for path in ["/a b", "/a;b", "/a\"b", "/$HOME", "/a'b"] {
            let odd = Install {
                store: Some(Path::new(path)),
                ..request(root.path())
            };
            assert!(matches!(install(&odd), Err(Error::Usage { .. })), "{path}");
        }
        assert!(!root.path().join(APT).exists());
    }
}
