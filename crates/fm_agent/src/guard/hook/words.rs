//! What a hook starts us with, as words that no package manager takes for something else.

use std::path::Path;

use super::Install;
use crate::{Error, Result};
use fm_remedy::Misuse;

/// The options that both halves of a hook are started with, as words.
pub(super) fn options(request: &Install<'_>) -> Result<Vec<String>> {
    let mut words = vec!["--timeout".to_owned(), request.timeout_s.to_string()];
    if let Some(store) = request.store {
        words.extend(["--store".to_owned(), word(store)?]);
    }
    if request.root != Path::new("/") {
        words.extend(["--root".to_owned(), word(request.root)?]);
    }
    Ok(words)
}

/// An absolute path that is one word to apt, to Python and to the shell.
pub(super) fn word(path: &Path) -> Result<String> {
    let path = std::path::absolute(path).map_err(|source| Error::file("find", path, source))?;
    let text = path.to_str().unwrap_or_default();
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+".contains(letter);
    if text.is_empty() || !text.chars().all(plain) {
        return Err(Error::Usage(Misuse {
            message: format!("{} can't be named in a package manager's hook", path.display()),
            remedy: "use a path of letters, digits and / . _ - + only".into(),
        }));
    }
    Ok(text.to_owned())
}
