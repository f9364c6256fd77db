//! How libvirt calls its hook for QEMU: `qemu DOMAIN OPERATION SUBOPERATION EXTRA`, the domain's XML on standard input.
//!
//! Source: libvirt `src/util/virhook.c` (`virHookQemuOp`, `virHookSubop`) and `docs/hooks.rst`.

use std::fmt;

/// What libvirt is about to do, or has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// A guest's resources are about to be made, before its NVRAM and QEMU.
    Prepare,
    /// QEMU is about to start.
    Start,
    /// QEMU was started.
    Started,
    /// QEMU has ended.
    Stopped,
    /// A guest's resources are gone.
    Release,
    /// At the destination: a guest is about to be received. The answer may be another XML.
    Migrate,
    /// A guest is about to be restored from a file. The answer may be another XML.
    Restore,
    /// libvirt's daemon has found a running guest again. A hook that fails ends the guest.
    Reconnect,
    /// A QEMU that somebody else started is taken over.
    Attach,
    /// One that is newer than this list.
    Other(String),
}

/// Which moment of an [`Operation`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubOperation {
    /// `-`: it has no moments.
    None,
    /// `begin`.
    Begin,
    /// `end`.
    End,
    /// One that is newer than this list.
    Other(String),
}

impl From<&str> for Operation {
    fn from(word: &str) -> Self {
        match word {
            "prepare" => Self::Prepare,
            "start" => Self::Start,
            "started" => Self::Started,
            "stopped" => Self::Stopped,
            "release" => Self::Release,
            "migrate" => Self::Migrate,
            "restore" => Self::Restore,
            "reconnect" => Self::Reconnect,
            "attach" => Self::Attach,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Prepare => "prepare",
            Self::Start => "start",
            Self::Started => "started",
            Self::Stopped => "stopped",
            Self::Release => "release",
            Self::Migrate => "migrate",
            Self::Restore => "restore",
            Self::Reconnect => "reconnect",
            Self::Attach => "attach",
            Self::Other(word) => word,
        })
    }
}

impl From<&str> for SubOperation {
    fn from(word: &str) -> Self {
        match word {
            "-" => Self::None,
            "begin" => Self::Begin,
            "end" => Self::End,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl fmt::Display for SubOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "-",
            Self::Begin => "begin",
            Self::End => "end",
            Self::Other(word) => word,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_libvirts_is_read_and_written_as_it_was() {
        for word in [
            "prepare",
            "start",
            "started",
            "stopped",
            "release",
            "migrate",
            "restore",
            "reconnect",
            "attach",
        ] {
            let operation = Operation::from(word);
            assert!(!matches!(operation, Operation::Other(_)), "{word}");
            assert_eq!(operation.to_string(), word);
        }
        assert_eq!(Operation::from("new").to_string(), "new");
        for word in ["-", "begin", "end", "new"] {
            assert_eq!(SubOperation::from(word).to_string(), word);
        }
    }
}
