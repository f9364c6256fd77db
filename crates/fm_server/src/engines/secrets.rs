//! What an engine wants to see of us: files in the server's folder, so that no password stands in a command line.

use std::path::Path;

use crate::pki::read;
use crate::{Error, Result};

/// A file, if it is there.
pub(super) fn optional(path: &Path) -> Result<Option<Vec<u8>>> {
    match read(path) {
        Err(Error::Missing { .. }) => Ok(None),
        other => other.map(Some),
    }
}

/// `NAME:PASSWORD` in a file, if it is there.
pub(super) fn user(path: &Path) -> Result<Option<(String, String)>> {
    let Some(bytes) = optional(path)? else {
        return Ok(None);
    };
    let text = String::from_utf8(bytes).map_err(|error| Error::bad(path, error))?;
    let (name, password) = text
        .trim_end_matches(['\r', '\n'])
        .split_once(':')
        .ok_or_else(|| Error::bad(path, "it is not of the form NAME:PASSWORD"))?;
    Ok(Some((name.into(), password.into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_its_password_are_one_line_and_may_be_missing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("user");
        assert_eq!(user(&path).unwrap(), None);
        std::fs::write(&path, "fleet:a:b \n").unwrap();
        assert_eq!(user(&path).unwrap(), Some(("fleet".into(), "a:b ".into())));
        std::fs::write(&path, "fleet\n").unwrap();
        assert!(user(&path).is_err());
        std::fs::write(&path, b"\xff:\xff").unwrap();
        assert!(user(&path).is_err());
    }
}
