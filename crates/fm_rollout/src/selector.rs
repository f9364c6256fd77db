//! An expression over guests and their hosts: `host=a and not (name~db, layout=2M)`.
//!
//! ```text
//! expression  = all-of { "or" all-of }
//! all-of      = term { ( "and" | "," ) term }
//! term        = "not" term | "(" expression ")" | "all" | key ( "=" | "~" | "!=" ) value
//! key         = host | name | uuid | build | layout | machine | qemu | secure_boot | state | label:KEY
//! value       = characters without blanks, commas and parentheses, or "anything in quotes"
//! ```
//!
//! `=` is the whole value (of a build, the first digits are enough), `~` a part of it. What is not known equals nothing.

use std::collections::BTreeMap;

use fm_api::v1::fleet::GuestRow;

use crate::{Error, Result};

/// Parentheses and `not` within one another.
const MAX_DEPTH: usize = 32;

/// What an expression is asked about.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The host's id.
    pub host: &'a str,
    /// The host's labels.
    pub labels: &'a BTreeMap<String, String>,
    /// The guest's row.
    pub guest: &'a GuestRow,
}

/// Which guests are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector(Node);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    All,
    Any(Vec<Node>),
    Every(Vec<Node>),
    Not(Box<Node>),
    Is(Key, Test, String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Key {
    Host,
    Name,
    Uuid,
    Build,
    Layout,
    Machine,
    Qemu,
    SecureBoot,
    State,
    Label(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Test {
    Equal,
    NotEqual,
    Part,
}

impl Selector {
    /// Reads an expression.
    ///
    /// # Errors
    /// [`Error::Selector`] with the character at which it goes wrong.
    pub fn parse(text: &str) -> Result<Self> {
        let mut reader = Reader {
            characters: text.chars().collect(),
            at: 0,
            depth: 0,
        };
        let node = reader.any()?;
        reader.blanks();
        match reader.peek() {
            None => Ok(Self(node)),
            Some(_) => Err(reader.expected("and, or, a comma or the end")),
        }
    }

    /// Whether it names nobody: all are meant, without a word of which.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.0 == Node::All
    }

    /// Whether a guest is one of those that are meant.
    #[must_use]
    pub fn matches(&self, subject: &Subject<'_>) -> bool {
        self.0.matches(subject)
    }
}

impl Node {
    fn matches(&self, subject: &Subject<'_>) -> bool {
        match self {
            Self::All => true,
            Self::Any(nodes) => nodes.iter().any(|node| node.matches(subject)),
            Self::Every(nodes) => nodes.iter().all(|node| node.matches(subject)),
            Self::Not(node) => !node.matches(subject),
            Self::Is(key, test, wanted) => {
                let found = key.of(subject);
                match test {
                    Test::Equal => found.is_some_and(|found| key.equals(found, wanted)),
                    Test::NotEqual => !found.is_some_and(|found| key.equals(found, wanted)),
                    Test::Part => found.is_some_and(|found| found.contains(wanted.as_str())),
                }
            }
        }
    }
}

impl Key {
    fn named(word: &str) -> Option<Self> {
        Some(match word {
            "host" => Self::Host,
            "name" => Self::Name,
            "uuid" => Self::Uuid,
            "build" => Self::Build,
            "layout" => Self::Layout,
            "machine" => Self::Machine,
            "qemu" => Self::Qemu,
            "secure_boot" => Self::SecureBoot,
            "state" => Self::State,
            _ => Self::Label(
                word.strip_prefix("label:")
                    .filter(|key| !key.is_empty())?
                    .to_owned(),
            ),
        })
    }

    fn of<'a>(&self, subject: &Subject<'a>) -> Option<&'a str> {
        let guest = subject.guest;
        match self {
            Self::Host => Some(subject.host),
            Self::Name => guest.name.as_deref(),
            Self::Uuid => Some(&guest.uuid),
            Self::Build => guest.build.as_ref().map(|build| build.as_str()),
            Self::Layout => guest.layout.as_deref(),
            Self::Machine => guest.machine.as_deref(),
            Self::Qemu => guest.qemu.as_deref(),
            Self::SecureBoot => guest.secure_boot.map(|on| if on { "true" } else { "false" }),
            Self::State => Some(match guest.state {
                fm_api::v1::fleet::GuestState::Running => "running",
                fm_api::v1::fleet::GuestState::Paused => "paused",
                fm_api::v1::fleet::GuestState::Arriving => "arriving",
                fm_api::v1::fleet::GuestState::Departing => "departing",
                fm_api::v1::fleet::GuestState::Saved => "saved",
                fm_api::v1::fleet::GuestState::Off => "off",
                fm_api::v1::fleet::GuestState::Unknown => "unknown",
            }),
            Self::Label(key) => subject.labels.get(key).map(String::as_str),
        }
    }

    fn equals(&self, found: &str, wanted: &str) -> bool {
        match self {
            Self::Build => !wanted.is_empty() && found.starts_with(wanted),
            _ => found == wanted,
        }
    }
}

struct Reader {
    characters: Vec<char>,
    at: usize,
    depth: usize,
}

impl Reader {
    fn peek(&self) -> Option<char> {
        self.characters.get(self.at).copied()
    }

    fn blanks(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
    }

    fn expected(&self, expected: &'static str) -> Error {
        Error::Selector {
            at: self.at + 1,
            expected,
        }
    }

    /// Takes a word that stands for itself, if it is next.
    fn keyword(&mut self, wanted: &str) -> bool {
        self.blanks();
        let end = self.at + wanted.chars().count();
        let is_there = self
            .characters
            .get(self.at..end)
            .is_some_and(|found| found.iter().collect::<String>().eq_ignore_ascii_case(wanted));
        let is_whole = !self
            .characters
            .get(end)
            .is_some_and(|next| next.is_alphanumeric() || "_:=~!".contains(*next));
        if is_there && is_whole {
            self.at = end;
        }
        is_there && is_whole
    }

    fn any(&mut self) -> Result<Node> {
        let mut nodes = vec![self.every()?];
        while self.keyword("or") {
            nodes.push(self.every()?);
        }
        Ok(single(nodes, Node::Any))
    }

    fn every(&mut self) -> Result<Node> {
        let mut nodes = vec![self.term()?];
        loop {
            self.blanks();
            if self.peek() == Some(',') {
                self.at += 1;
            } else if !self.keyword("and") {
                return Ok(single(nodes, Node::Every));
            }
            nodes.push(self.term()?);
        }
    }

    fn term(&mut self) -> Result<Node> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.expected("less within one another"));
        }
        let node = self.inner_term();
        self.depth -= 1;
        node
    }

    fn inner_term(&mut self) -> Result<Node> {
        if self.keyword("not") {
            return Ok(Node::Not(Box::new(self.term()?)));
        }
        if self.keyword("all") {
            return Ok(Node::All);
        }
        if self.peek() == Some('(') {
            self.at += 1;
            let node = self.any()?;
            self.blanks();
            if self.peek() != Some(')') {
                return Err(self.expected("a closing parenthesis"));
            }
            self.at += 1;
            return Ok(node);
        }
        let start = self.at;
        let word = self.taken(|next| next.is_alphanumeric() || "_:.-".contains(next));
        let Some(key) = Key::named(&word) else {
            self.at = start;
            return Err(self.expected(
                "host, name, uuid, build, layout, machine, qemu, secure_boot, state, label:KEY, not, all or (",
            ));
        };
        self.blanks();
        let test = match (self.peek(), self.characters.get(self.at + 1)) {
            (Some('='), _) => (Test::Equal, 1),
            (Some('~'), _) => (Test::Part, 1),
            (Some('!'), Some('=')) => (Test::NotEqual, 2),
            _ => return Err(self.expected("=, != or ~")),
        };
        self.at += test.1;
        Ok(Node::Is(key, test.0, self.value()?))
    }

    fn value(&mut self) -> Result<String> {
        self.blanks();
        if self.peek() == Some('"') {
            self.at += 1;
            let value = self.taken(|next| next != '"');
            if self.peek().is_none() {
                return Err(self.expected("a closing quote"));
            }
            self.at += 1;
            return Ok(value);
        }
        let value = self.taken(|next| !next.is_whitespace() && !"(),\"".contains(next));
        match value.is_empty() {
            true => Err(self.expected("a value")),
            false => Ok(value),
        }
    }

    fn taken(&mut self, belongs: impl Fn(char) -> bool) -> String {
        let start = self.at;
        while self.peek().is_some_and(&belongs) {
            self.at += 1;
        }
        self.characters
            .get(start..self.at)
            .unwrap_or_default()
            .iter()
            .collect()
    }
}

fn single(mut nodes: Vec<Node>, shape: impl Fn(Vec<Node>) -> Node) -> Node {
    match nodes.len() {
        1 => nodes.remove(0),
        _ => shape(nodes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fm_api::v1::fleet::{GuestState, Rest};

    fn guest() -> GuestRow {
        GuestRow {
            uuid: "u-1".into(),
            name: Some("web and db".into()),
            build: "ab".repeat(32).parse().ok(),
            next_build: None,
            next_reset: None,
            layout: Some("2M".into()),
            vars_free_bytes: None,
            secure_boot: Some(true),
            certificates: None,
            machine: Some("pc-q35-9.2".into()),
            qemu: None,
            facts: None,
            state: GuestState::Running,
            rest: Rest::new(),
        }
    }

    fn is_meant(text: &str) -> bool {
        let labels = [("rack".to_owned(), "r7".to_owned())].into();
        Selector::parse(text).unwrap().matches(&Subject {
            host: "host-1",
            labels: &labels,
            guest: &guest(),
        })
    }

    #[test]
    fn an_expression_means_what_it_says() {
        for (text, meant) in [
            ("all", true),
            ("host=host-1", true),
            ("host=host", false),
            ("host~host", true),
            ("name=\"web and db\"", true),
            ("name~web", true),
            ("build=abab", true),
            ("build=ba", false),
            ("layout=2M, secure_boot=true", true),
            ("layout=2M and secure_boot=false", false),
            ("layout=4M or secure_boot=true", true),
            ("not layout=4M", true),
            ("layout!=2M", false),
            ("host=a and layout=2M or name~web", true),
            ("host=a and (layout=2M or name~web)", false),
            ("NOT (host=a OR host=b)", true),
            ("label:rack=r7", true),
            ("label:row=1", false),
            ("label:row!=1", true),
            ("machine~q35 and state=running", true),
            ("qemu=7.2.0", false),
            ("qemu!=7.2.0", true),
        ] {
            assert_eq!(is_meant(text), meant, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused_at_its_character() {
        for (text, at) in [
            ("", 1),
            ("hosts=a", 1),
            ("host", 5),
            ("host a", 6),
            ("host=", 6),
            ("host=a and", 11),
            ("host=a host=b", 8),
            ("(host=a", 8),
            ("name=\"a", 8),
            ("label:=a", 1),
            ("not", 4),
            ("host=a,,host=b", 8),
        ] {
            match Selector::parse(text) {
                Err(Error::Selector { at: found, .. }) => assert_eq!(found, at, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
        assert!(Selector::parse(&"not ".repeat(1000)).is_err());
        assert!(Selector::parse(&"(".repeat(1000)).is_err());
    }

    #[test]
    fn every_state_and_every_key_has_its_word() {
        let labels = [("rack".to_owned(), "r7".to_owned())].into();
        for (state, word) in [
            (GuestState::Running, "running"),
            (GuestState::Paused, "paused"),
            (GuestState::Arriving, "arriving"),
            (GuestState::Departing, "departing"),
            (GuestState::Saved, "saved"),
            (GuestState::Off, "off"),
            (GuestState::Unknown, "unknown"),
        ] {
            let guest = GuestRow {
                state,
                qemu: Some("7.2.0".into()),
                ..guest()
            };
            let subject = Subject {
                host: "host-1",
                labels: &labels,
                guest: &guest,
            };
            let matches = |text: &str| Selector::parse(text).unwrap().matches(&subject);
            assert!(matches(&format!("state={word}")), "{word}");
            assert!(!matches(&format!("state=x{word}")), "{word}");
            for text in [
                "host=host-1",
                "name=\"web and db\"",
                "uuid=u-1",
                "build=ab",
                "layout=2M",
                "machine=pc-q35-9.2",
                "qemu=7.2.0",
                "secure_boot=true",
                "label:rack=r7",
            ] {
                assert!(matches(text), "{text}");
                assert!(!matches(&text.replacen('=', "!=", 1)), "{text}");
                assert!(matches(&text.replacen('=', " ~ ", 1)), "{text}");
            }
        }
    }

    #[test]
    fn terms_lie_within_one_another_as_deep_as_is_allowed_and_no_deeper() {
        for (depth, is_read) in [(MAX_DEPTH - 1, true), (MAX_DEPTH, false)] {
            let nots = format!("{}all", "not ".repeat(depth));
            let open = format!("{}all{}", "(".repeat(depth), ")".repeat(depth));
            for text in [nots, open] {
                assert_eq!(Selector::parse(&text).is_ok(), is_read, "{text}");
            }
        }
        // Beside one another there may be as many as the expression has room for.
        assert!(Selector::parse(&vec!["(all)"; 100].join(" or ")).is_ok());
    }

    #[test]
    fn only_a_word_of_its_own_is_a_keyword() {
        for text in [
            "all=a",
            "allx",
            "all~a",
            "all!=a",
            "all:a",
            "all_",
            "nothost=a",
            "not_(all)",
            "all orall",
            "all andall",
        ] {
            assert!(Selector::parse(text).is_err(), "{text}");
        }
        for text in [
            "all",
            " ALL ",
            "(all)",
            "all,all",
            "all and all",
            "not(all)",
            "name=all or all",
        ] {
            assert!(Selector::parse(text).is_ok(), "{text}");
        }
        for (text, is_all) in [
            ("all", true),
            ("(all)", true),
            ("all, all", false),
            ("not all", false),
            ("name=all", false),
        ] {
            assert_eq!(Selector::parse(text).unwrap().is_all(), is_all, "{text}");
        }
    }
}
