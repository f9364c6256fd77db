//! Links: a page with its filters, and the cursor of the next one.

use std::fmt::Write as _;

use fm_api::v1::fleet::{Digest, PageRequest};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};

use super::words::short;
use fm_access::Problem;

/// What stands in an address as it is (RFC 3986, unreserved).
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// So many rows a page has if nothing is said.
const ROW_COUNT: usize = 100;
/// The most rows of a page: it stays small and quick, however large the fleet is.
pub(super) const MAX_ROW_COUNT: usize = 200;

/// A page with its filters.
#[derive(Debug, Clone)]
pub(super) struct Address {
    path: &'static str,
    pairs: Vec<(&'static str, String)>,
}

impl Address {
    pub(super) fn new(path: &'static str) -> Self {
        Self {
            path,
            pairs: Vec::new(),
        }
    }

    /// With a filter, if it says something.
    pub(super) fn with(mut self, name: &'static str, value: Option<&str>) -> Self {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            self.pairs.push((name, value.to_owned()));
        }
        self
    }

    pub(super) fn href(&self) -> String {
        let mut href = self.path.to_owned();
        for (number, (name, value)) in self.pairs.iter().enumerate() {
            let mark = if number == 0 { '?' } else { '&' };
            // Writing to a text cannot fail.
            let _ = write!(href, "{mark}{name}={}", encoded(value));
        }
        href
    }
}

/// Where the pages before and behind are.
#[derive(Debug, Clone, Default)]
pub(super) struct Pager {
    pub(super) first: Option<String>,
    pub(super) next: Option<String>,
}

impl Pager {
    pub(super) fn new(address: &Address, cursor: Option<&str>, next: Option<&str>) -> Self {
        Self {
            first: cursor.map(|_| address.href()),
            next: next.map(|next| address.clone().with("cursor", Some(next)).href()),
        }
    }
}

/// Which page is asked for: never more rows than fit on one.
pub(super) fn page_request(cursor: Option<&str>, limit: Option<&str>) -> Result<PageRequest, Problem> {
    let limit: Option<usize> = given("limit", limit)?;
    Ok(PageRequest {
        cursor: cursor.filter(|cursor| !cursor.is_empty()).map(str::to_owned),
        limit: Some(limit.unwrap_or(ROW_COUNT).clamp(1, MAX_ROW_COUNT)),
    })
}

/// What a field of a form says, if it says something.
pub(super) fn given<T: std::str::FromStr>(name: &str, text: Option<&str>) -> Result<Option<T>, Problem> {
    text.map(str::trim)
        .filter(|text| !text.is_empty())
        .map(|text| {
            text.parse()
                .map_err(|_| Problem::bad_request(format!("{name} cannot be that")))
        })
        .transpose()
}

/// The same for a word of a list, as the API spells it.
pub(super) fn given_word<T: serde::de::DeserializeOwned>(
    name: &str,
    text: Option<&str>,
) -> Result<Option<T>, Problem> {
    text.filter(|text| !text.is_empty())
        .map(|text| {
            serde_json::from_value(text.into())
                .map_err(|_| Problem::bad_request(format!("{name} cannot be that")))
        })
        .transpose()
}

/// A text as a part of a query.
pub(super) fn encoded(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, PLAIN)
}

/// The page of a guest. Its id may hold what a path cannot.
pub(super) fn guest(uuid: &str) -> String {
    Address::new("/guest").with("uuid", Some(uuid)).href()
}

/// A build that a row names.
pub(super) struct BuildLink {
    pub(super) href: String,
    pub(super) short: String,
}

impl BuildLink {
    pub(super) fn to(build: &Digest) -> Self {
        Self {
            href: format!("/builds/{build}"),
            short: short(build),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_leaves_its_place_in_an_address() {
        let address = Address::new("/guests").with("name", Some("a&b=#\"<é/../\n"));
        assert_eq!(
            address.with("layout", Some("")).with("state", None).href(),
            "/guests?name=a%26b%3D%23%22%3C%C3%A9%2F..%2F%0A"
        );
    }

    #[test]
    fn a_page_is_never_larger_than_it_may_be() {
        for (asked, rows) in [(None, 100), (Some("0"), 1), (Some("7"), 7), (Some("100000"), 200)] {
            assert_eq!(page_request(None, asked).unwrap().limit, Some(rows));
        }
        assert!(page_request(None, Some("x")).is_err());
    }
}
