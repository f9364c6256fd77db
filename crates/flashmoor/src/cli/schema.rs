//! `flashmoor schema`.

use crate::Error;
use crate::documents;
use clap::Args;
use fm_remedy::Misuse;

use super::{Context, Result, Status};

/// Print the JSON schema of a document, or the names of all documents
#[derive(Debug, Args)]
pub(crate) struct Schema {
    /// The document, such as `offer`
    name: Option<String>,
}

impl Schema {
    pub(crate) fn run(&self, context: &Context) -> Result {
        let Some(name) = &self.name else {
            documents::schema_names().for_each(|name| context.output.line(name));
            return Ok(Status::Done);
        };
        let schema = documents::schema(name).ok_or_else(|| {
            Error::Usage(Misuse {
                message: format!("there is no document called {name:?}"),
                remedy: "`flashmoor schema` lists the names".into(),
            })
        })?;
        context.output.json(&schema);
        Ok(Status::Done)
    }
}
