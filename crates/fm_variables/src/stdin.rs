//! Standard input as a file: a variable store is read at more than one place.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};

use fm_formats::image::MAX_FLASH_BYTES;

/// What standard input holds, in a file without a name.
pub(super) fn file() -> io::Result<File> {
    copy(io::stdin().lock(), MAX_FLASH_BYTES)
}

fn copy(input: impl Read, max_bytes: u64) -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    // One more than may be, to tell what is too large from what just fits.
    if io::copy(&mut input.take(max_bytes.saturating_add(1)), &mut file)? > max_bytes {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("it is longer than {max_bytes} bytes"),
        ));
    }
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_is_copied_whole_and_what_has_no_end_is_refused() {
        let mut text = String::new();
        copy(&b"abc"[..], 3).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "abc");
        assert!(copy(io::repeat(0), 1000).is_err());
    }
}
