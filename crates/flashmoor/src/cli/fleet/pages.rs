//! Lists that come in pages: asked for until there are no more, or as many as were wanted.

use clap::Args;
use fm_api::v1::fleet::Page;
use fm_client::Client;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;

use super::super::Result;

/// The largest page.
const PAGE_COUNT: usize = 1000;

/// How much of a list is wanted.
#[derive(Debug, Args)]
pub(in crate::cli) struct Portion {
    /// Show so many at most [default: all]
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Begin where an earlier list ended, by its `next`
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
}

/// Words behind the question mark.
#[derive(Debug, Default)]
pub(in crate::cli) struct Words(Vec<(&'static str, String)>);

impl Words {
    /// One more, if it was said.
    pub(in crate::cli) fn with(mut self, name: &'static str, value: Option<impl ToString>) -> Self {
        self.0.extend(value.map(|value| (name, value.to_string())));
        self
    }

    /// The path with all of them.
    pub(in crate::cli) fn on(&self, path: &str) -> String {
        let words: Vec<String> = self
            .0
            .iter()
            .map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)))
            .collect();
        match words.is_empty() {
            true => path.to_owned(),
            false => format!("{path}?{}", words.join("&")),
        }
    }
}

/// The items, where the rest begins, and the revision of the last page.
pub(in crate::cli) fn all<T: DeserializeOwned>(
    client: &Client,
    path: &str,
    words: impl Fn() -> Words,
    portion: &Portion,
) -> Result<(Vec<T>, Option<String>, u64)> {
    let wanted = portion.limit.unwrap_or(usize::MAX);
    let mut cursor = portion.cursor.clone();
    let mut items = Vec::new();
    loop {
        let count = (wanted - items.len()).clamp(1, PAGE_COUNT);
        let words = words().with("cursor", cursor.clone()).with("limit", Some(count));
        let page: Page<T> = client.get(&words.on(path))?;
        items.extend(page.items);
        cursor = page.next;
        if cursor.is_none() || items.len() >= wanted {
            return Ok((items, cursor, page.revision));
        }
    }
}

impl Portion {
    /// All of it.
    pub(super) const ALL: Self = Self {
        limit: None,
        cursor: None,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_users_do_not_become_words_of_the_address() {
        let words = Words::default()
            .with("name", Some("a&b=c d"))
            .with("host", None::<String>);
        assert_eq!(words.on("/x"), "/x?name=a%26b%3Dc%20d");
        assert_eq!(Words::default().on("/x"), "/x");
    }
}
