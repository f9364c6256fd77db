//! A line of words as a shell has them, which is how Proxmox reads `args` and prints command lines.

/// The words of `line`; nothing if a quote is not closed.
pub(crate) fn split(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            ' ' | '\t' | '\n' => words.extend(word.take()),
            '\'' => loop {
                match letters.next()? {
                    '\'' => {
                        word.get_or_insert_default();
                        break;
                    }
                    inner => word.get_or_insert_default().push(inner),
                }
            },
            '"' => loop {
                match letters.next()? {
                    '"' => {
                        word.get_or_insert_default();
                        break;
                    }
                    '\\' => {
                        let escaped = letters.next()?;
                        if !"\"\\$`".contains(escaped) {
                            word.get_or_insert_default().push('\\');
                        }
                        word.get_or_insert_default().push(escaped);
                    }
                    inner => word.get_or_insert_default().push(inner),
                }
            },
            '\\' => match letters.next() {
                // `qm showcmd --pretty` goes on in the next line.
                Some('\n') => {}
                escaped => word.get_or_insert_default().push(escaped?),
            },
            letter => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    Some(words)
}

/// The line that [`split`] makes these words of.
pub(crate) fn join(words: &[String]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| fm_files::quote(word)).collect();
    quoted.join(" ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_joined_is_split_into_the_same_words(words in prop::collection::vec(any::<String>(), 0..6)) {
            prop_assert_eq!(split(&join(&words)), Some(words));
        }

        #[test]
        fn no_line_makes_it_panic(line in any::<String>()) {
            let _ = split(&line);
        }
    }

    #[test]
    fn quotes_are_read_as_a_shell_reads_them() {
        let words = |line| split(line).unwrap();
        assert_eq!(words(r#"-a 'b c' "d\"e" f\ g "#), ["-a", "b c", "d\"e", "f g"]);
        assert_eq!(words("a \\\n  b ''"), ["a", "b", ""]);
        assert_eq!(split("'open"), None);
    }
}
