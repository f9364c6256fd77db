//! Words for a POSIX shell.

/// `word` as a shell takes it for one word.
#[must_use]
pub fn quote(word: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "/._-+:,=@%".contains(character);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::quote;

    #[test]
    fn words_reach_the_shell_as_they_are() {
        assert_eq!(quote("/a/b-1.fd"), "/a/b-1.fd");
        assert_eq!(quote("exec:cat /a"), "'exec:cat /a'");
        assert_eq!(quote("it's"), r"'it'\''s'");
        assert_eq!(quote(""), "''");
    }
}
