//! The field `schema` of a document: kind and version, written and checked by the type that it stands in.

use std::borrow::Cow;
use std::marker::PhantomData;
use std::{fmt, hash};

use schemars::{JsonSchema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A document that others script against.
pub trait Document {
    /// Kind and version, such as `flashmoor/offer/1`.
    const SCHEMA: &'static str;
}

/// The field `schema` of the document `D`. It is written as [`Document::SCHEMA`], and nothing else is read.
pub struct Schema<D>(PhantomData<fn() -> D>);

/// Says of a type that it is a document, and of which kind and version.
macro_rules! document {
    ($document:ty = $schema:literal) => {
        impl $crate::Document for $document {
            const SCHEMA: &'static str = $schema;
        }
    };
}
pub(crate) use document;

impl<D> Default for Schema<D> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<D> Clone for Schema<D> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<D> Copy for Schema<D> {}

impl<D> PartialEq for Schema<D> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl<D> Eq for Schema<D> {}

impl<D> hash::Hash for Schema<D> {
    fn hash<H: hash::Hasher>(&self, _: &mut H) {}
}

impl<D: Document> fmt::Display for Schema<D> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.pad(D::SCHEMA)
    }
}

impl<D: Document> fmt::Debug for Schema<D> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(D::SCHEMA, to)
    }
}

impl<D: Document> Serialize for Schema<D> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(D::SCHEMA)
    }
}

impl<'de, D: Document> Deserialize<'de> for Schema<D> {
    fn deserialize<R: Deserializer<'de>>(reader: R) -> Result<Self, R::Error> {
        let found = Cow::<'de, str>::deserialize(reader)?;
        match found == D::SCHEMA {
            true => Ok(Self::default()),
            false => Err(de::Error::invalid_value(de::Unexpected::Str(&found), &D::SCHEMA)),
        }
    }
}

impl<D: Document> JsonSchema for Schema<D> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        D::SCHEMA.into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> schemars::Schema {
        json_schema!({ "type": "string", "const": D::SCHEMA })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    struct Letter {
        schema: Schema<Letter>,
        text: String,
    }

    document!(Letter = "flashmoor/letter/2");

    #[test]
    fn a_document_says_what_it_is_and_one_of_another_kind_or_version_is_refused() {
        let letter = Letter {
            schema: Schema::default(),
            text: "a".into(),
        };
        let json = r#"{"schema":"flashmoor/letter/2","text":"a"}"#;
        assert_eq!(serde_json::to_string(&letter).unwrap(), json);
        assert_eq!(serde_json::from_str::<Letter>(json).unwrap(), letter);
        for other in [
            r#"{"schema":"flashmoor/letter/1","text":"a"}"#,
            r#"{"schema":"flashmoor/offer/2","text":"a"}"#,
            r#"{"text":"a"}"#,
        ] {
            assert!(serde_json::from_str::<Letter>(other).is_err(), "{other}");
        }
    }
}
