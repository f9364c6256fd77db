//! `libvirt install` and `uninstall`: the hook, the agent's unit, and what AppArmor has to know.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Serialize;

use super::{Error, Policy};
use crate::Result;

const MARK: &str = "# Written by `flashmoor libvirt install`; `flashmoor libvirt uninstall` removes it.";
/// libvirt runs every file in here, from 6.5 on.
pub(super) const FOLDER_HOOK: &str = "etc/libvirt/hooks/qemu.d/flashmoor";
/// Older ones know this one only.
pub(super) const PLAIN_HOOK: &str = "etc/libvirt/hooks/qemu";
pub(super) const UNIT: &str = "etc/systemd/system/flashmoor-agent.service";
/// What a site adds to libvirt's own AppArmor profiles: the daemon's, and that of all guests.
pub(super) const APPARMOR: [&str; 2] = [
    "etc/apparmor.d/local/usr.sbin.libvirtd",
    "etc/apparmor.d/local/abstractions/libvirt-qemu",
];
const BEGIN: &str = "# begin of flashmoor's lines";
const END: &str = "# end of flashmoor's lines";

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
}

/// `flashmoor/libvirt-install/1`: what is in place now, or with `uninstall`, what is gone.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Installed {
    /// `flashmoor/libvirt-install/1`.
    pub schema: &'static str,
    /// The files that were written, or removed.
    pub files: Vec<PathBuf>,
    /// What is left to do, in order.
    pub next: Vec<String>,
}

/// The hook's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Hook {
    /// Where it is.
    pub path: PathBuf,
    /// Whether it is there.
    pub installed: bool,
}

/// Puts everything in place; what is there of an older one is replaced.
///
/// # Errors
/// If a path can't be written in a shell script, another's hook is in the way, or the disk refuses.
pub fn install(request: &Install<'_>) -> Result<Installed> {
    let program = word(request.program)?;
    let store = word(request.store)?;
    let policy = match request.policy {
        Policy::Refuse => "refuse",
        Policy::Pass => "pass",
    };
    let deadline = request.deadline_ms;
    let call = format!("{program} --store {store} libvirt hook --policy {policy} --deadline-ms {deadline}");
    let hook = request
        .root
        .join(if request.libvirt.is_some_and(|version| version < (6, 5)) {
            PLAIN_HOOK
        } else {
            FOLDER_HOOK
        });
    if hook.exists() && !is_ours(&hook)? {
        return Err(Error::ForeignHook {
            path: hook,
            line: format!("{call} \"$@\""),
        }
        .into());
    }
    let mut files = Vec::new();
    put(&hook, &script(&call), 0o755, &mut files)?;
    put(
        &request.root.join(UNIT),
        &unit(&program, &store),
        0o644,
        &mut files,
    )?;
    let mut next = vec![
        "systemctl daemon-reload && systemctl enable --now flashmoor-agent".to_owned(),
        "restart libvirtd (or virtqemud) once: it looks for hooks when it starts; guests go on".to_owned(),
    ];
    let lines = [
        format!("  {program} PUx,\n"),
        format!("  {store}/builds/** rk,\n  {store}/landings/** rk,\n"),
    ];
    for (place, lines) in APPARMOR.iter().zip(lines) {
        let path = request.root.join(place);
        // Without the folder there is no AppArmor, or no libvirt that it knows.
        if path.parent().is_some_and(Path::is_dir) {
            let text = without_block(&read(&path)?) + &format!("{BEGIN}\n{lines}{END}\n");
            put(&path, &text, 0o644, &mut files)?;
        }
    }
    if files
        .iter()
        .any(|file| file.starts_with(request.root.join("etc/apparmor.d")))
    {
        next.push("if AppArmor is on: apparmor_parser -r /etc/apparmor.d/usr.sbin.libvirtd".into());
    }
    next.push(format!(
        "if SELinux is on: semanage fcontext -a -t virt_content_t '{store}(/.*)?' && restorecon -R {store}"
    ));
    next.push("flashmoor libvirt adopt --all".into());
    Ok(Installed {
        schema: "flashmoor/libvirt-install/1",
        files,
        next,
    })
}

/// Takes away what [`install`] put in place. The store and the domains stay as they are.
///
/// # Errors
/// If the disk refuses.
pub fn uninstall(root: &Path) -> Result<Installed> {
    let mut files = Vec::new();
    for place in [FOLDER_HOOK, PLAIN_HOOK, UNIT] {
        let path = root.join(place);
        if path.exists() && is_ours(&path)? {
            fs::remove_file(&path).map_err(|source| crate::Error::file("remove", &path, source))?;
            files.push(path);
        }
    }
    for place in APPARMOR {
        let path = root.join(place);
        let text = read(&path)?;
        let rest = without_block(&text);
        if rest != text {
            put(&path, &rest, 0o644, &mut files)?;
        }
    }
    let next = if files.is_empty() {
        Vec::new()
    } else {
        vec![
            "systemctl disable --now flashmoor-agent; systemctl daemon-reload".into(),
            "adopted domains go on using the stored builds; `flashmoor libvirt unadopt --all` gives their \
             definitions back as they were"
                .into(),
        ]
    };
    Ok(Installed {
        schema: "flashmoor/libvirt-install/1",
        files,
        next,
    })
}

/// The script decides what may fail: a guest is stopped by a deliberate refusal only, never by a flashmoor
/// that is gone, crashes or hangs. libvirt would take any other status than 0 for a refusal.
fn script(call: &str) -> String {
    format!(
        "#!/bin/sh\n{MARK}\n\
         case \"$2\" in\n\
         migrate|restore|prepare) ;;\n\
         start|attach) exit 0 ;;\n\
         *) {call} \"$@\" 2>/dev/null; exit 0 ;;\n\
         esac\n\
         xml=$({call} \"$@\")\n\
         case $? in\n\
         0) [ -z \"$xml\" ] || printf '%s\\n' \"$xml\" ;;\n\
         10) exit 1 ;;\n\
         esac\n\
         exit 0\n"
    )
}

fn unit(program: &str, store: &str) -> String {
    format!(
        "{MARK}\n\
         [Unit]\n\
         Description=Keeps the firmware of this host's guests\n\
         Documentation=https://github.com/flashmoor/flashmoor/blob/main/docs/libvirt.md\n\
         After=libvirtd.service virtqemud.service\n\
         \n\
         [Service]\n\
         Type=notify\n\
         ExecStart={program} --store {store} agent\n\
         Restart=on-failure\n\
         RestartSec=2\n\
         WatchdogSec=120\n\
         Nice=5\n\
         \n\
         [Install]\n\
         WantedBy=multi-user.target\n"
    )
}

/// Whether the file was written by [`install`].
pub(super) fn is_ours(path: &Path) -> Result<bool> {
    Ok(read(path)?.lines().take(2).any(|line| line == MARK))
}

fn read(path: &Path) -> Result<String> {
    match fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(source) => Err(crate::Error::file("read", path, source)),
    }
}

/// The text without the lines that are ours.
fn without_block(text: &str) -> String {
    let (Some(begin), Some(end)) = (text.find(BEGIN), text.find(END)) else {
        return text.to_owned();
    };
    let rest = text.get(end + END.len()..).unwrap_or_default();
    let before = text.get(..begin).unwrap_or_default();
    format!("{before}{}", rest.strip_prefix('\n').unwrap_or(rest))
}

/// Writes a file in one step, so that nobody runs half a script.
fn put(path: &Path, text: &str, mode: u32, files: &mut Vec<PathBuf>) -> Result<()> {
    let failed = |source| crate::Error::file("write", path, source);
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).map_err(failed)?;
    let fresh = tempfile::Builder::new()
        .prefix(".flashmoor-")
        .permissions(fs::Permissions::from_mode(mode))
        .tempfile_in(folder)
        .map_err(failed)?;
    fs::write(fresh.path(), text).map_err(failed)?;
    // The process's umask must not decide whether libvirt may run it.
    fs::set_permissions(fresh.path(), fs::Permissions::from_mode(mode)).map_err(failed)?;
    fresh.persist(path).map_err(|error| failed(error.error))?;
    files.push(path.to_owned());
    Ok(())
}

/// An absolute path that is one word to the shell, to systemd and to AppArmor.
fn word(path: &Path) -> Result<String> {
    let path = std::path::absolute(path).map_err(|source| crate::Error::file("find", path, source))?;
    let text = path.to_str().unwrap_or_default();
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+".contains(letter);
    if text.is_empty() || !text.chars().all(plain) {
        return Err(crate::Error::Usage {
            message: format!("{} can't be named in a hook", path.display()),
            remedy: "use a path of letters, digits and / . _ - + only".into(),
        });
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(root: &Path) -> Install<'_> {
        Install {
            root,
            program: Path::new("/usr/bin/flashmoor"),
            store: Path::new("/var/lib/flashmoor"),
            policy: Policy::Refuse,
            deadline_ms: 2000,
            libvirt: Some((9, 0)),
        }
    }

    #[test]
    fn what_is_installed_is_gone_after_uninstall_and_the_lines_of_others_stay() {
        let root = tempfile::tempdir().unwrap();
        let local = root.path().join(APPARMOR[0]);
        fs::create_dir_all(local.parent().unwrap()).unwrap();
        fs::write(&local, "  /mine r,\n").unwrap();
        for _ in 0..2 {
            let done = install(&request(root.path())).unwrap();
            assert_eq!(done.files.len(), 3, "{:?}", done.files);
        }
        let text = fs::read_to_string(&local).unwrap();
        assert!(
            text.starts_with("  /mine r,\n") && text.contains("/usr/bin/flashmoor PUx,"),
            "{text}"
        );
        assert_eq!(text.matches(BEGIN).count(), 1, "{text}");
        assert_eq!(uninstall(root.path()).unwrap().files.len(), 3);
        assert_eq!(fs::read_to_string(&local).unwrap(), "  /mine r,\n");
        assert!(uninstall(root.path()).unwrap().files.is_empty());
    }

    #[test]
    fn an_old_libvirt_gets_the_plain_hook_and_one_of_somebody_else_is_never_touched() {
        let root = tempfile::tempdir().unwrap();
        let old = Install {
            libvirt: Some((6, 4)),
            ..request(root.path())
        };
        install(&old).unwrap();
        let plain = root.path().join(PLAIN_HOOK);
        assert_eq!(fs::metadata(&plain).unwrap().permissions().mode() & 0o777, 0o755);
        fs::write(&plain, "#!/bin/sh\nexit 0\n").unwrap();
        assert!(matches!(
            install(&old),
            Err(crate::Error::Libvirt(Error::ForeignHook { .. }))
        ));
        uninstall(root.path()).unwrap();
        assert_eq!(fs::read_to_string(&plain).unwrap(), "#!/bin/sh\nexit 0\n");
    }

    #[test]
    fn a_path_that_the_shell_would_read_otherwise_is_refused() {
        let root = tempfile::tempdir().unwrap();
        for path in ["/a b", "/a;b", "/$HOME", "/a'b"] {
            let odd = Install {
                store: Path::new(path),
                ..request(root.path())
            };
            assert!(matches!(install(&odd), Err(crate::Error::Usage { .. })), "{path}");
        }
    }
}
