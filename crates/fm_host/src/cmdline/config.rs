//! Files for `-readconfig` (and what `-writeconfig` wrote): sections of quoted options.

use super::keyval::Options;

/// One section: `[drive "pf0"]` and its options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) group: String,
    pub(super) id: Option<String>,
    pub(super) options: Options,
}

/// The sections of a configuration file. Lines that QEMU would refuse are passed over: the guest runs,
/// so QEMU was content with what it read.
pub(super) fn parse(text: &str) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(header) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let (group, id) = match header.split_once(char::is_whitespace) {
                Some((group, id)) => (group, Some(unquote(id.trim()).to_owned())),
                None => (header, None),
            };
            sections.push(Section {
                group: group.to_owned(),
                id,
                options: Options::default(),
            });
        } else if let (Some(section), Some((key, value))) = (sections.last_mut(), line.split_once('=')) {
            section.options.push(key.trim(), unquote(value.trim()));
        }
    }
    sections
}

fn unquote(text: &str) -> &str {
    text.strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_with_ids_comments_and_quotes_are_read() {
        let sections = parse(
            "# made by hand\n[machine]\n  type = \"q35\"\n\n[drive \"my pf0\"]\n  if = \"pflash\"\n  file = \"/a,b\"\n",
        );
        assert_eq!(sections.len(), 2);
        assert_eq!(sections[0].options.get("type"), Some("q35"));
        assert_eq!(sections[1].id.as_deref(), Some("my pf0"));
        assert_eq!(sections[1].options.get("file"), Some("/a,b"));
    }

    #[test]
    fn nonsense_gives_nothing_and_no_panic() {
        assert_eq!(parse("a = b\n]\n[\n\"\n= \n"), []);
    }
}
