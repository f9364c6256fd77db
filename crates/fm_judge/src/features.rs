//! A set of firmware features, small enough to compare millions of times.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use fm_formats::image::Feature;

/// What a firmware can do.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Features(u32);

const _: () = assert!(Feature::ALL.len() <= 32, "one bit a feature");

impl Features {
    /// Whether `feature` is in the set.
    #[must_use]
    pub const fn has(self, feature: Feature) -> bool {
        self.0 & bit(feature) != 0
    }

    /// The set with `feature` in it.
    #[must_use]
    pub const fn with(self, feature: Feature) -> Self {
        Self(self.0 | bit(feature))
    }

    /// What is in this set and not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// What is in both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether nothing is in it.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The features in it, in the order of documents.
    pub fn iter(self) -> impl Iterator<Item = Feature> {
        Feature::ALL.into_iter().filter(move |&feature| self.has(feature))
    }
}

const fn bit(feature: Feature) -> u32 {
    1u32.wrapping_shl(feature as u32)
}

impl FromIterator<Feature> for Features {
    fn from_iter<I: IntoIterator<Item = Feature>>(features: I) -> Self {
        features.into_iter().fold(Self::default(), Self::with)
    }
}

impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.pad("none");
        }
        let names: Vec<String> = self.iter().map(|feature| feature.to_string()).collect();
        f.pad(&names.join(", "))
    }
}

impl fmt::Debug for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_in_and_nothing_else() {
        for feature in Feature::ALL {
            let set: Features = [feature].into_iter().collect();
            assert!(
                Feature::ALL
                    .into_iter()
                    .all(|other| set.has(other) == (other == feature))
            );
            assert_eq!(set.to_string(), feature.name());
        }
    }
}
