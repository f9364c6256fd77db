//! `flashmoor fleet certificates`.

use clap::Args;
use fm_api::v1::fleet::GuestView;
use fm_api::v1::trust::{GuestTrust, TrustPage};

use super::super::{Context, Result, Status};
use super::access::Access;
use super::guests::GuestFilter;
use super::pages::{Portion, all};
use fm_render::fleet as render;

/// Show which generations of Microsoft's certificates each guest trusts, and who can change that
#[derive(Debug, Args)]
pub(crate) struct Certificates {
    /// Print comma-separated values
    #[arg(long)]
    csv: bool,
    #[command(flatten)]
    filter: GuestFilter,
    #[command(flatten)]
    portion: Portion,
    #[command(flatten)]
    access: Access,
}

impl Certificates {
    pub(crate) fn run(&self, context: &Context) -> Result {
        let client = self.access.client(context)?;
        let words = || self.filter.words();
        let (guests, next, revision) = all::<GuestView>(&client, "/api/v1/guests", words, &self.portion)?;
        let document = TrustPage {
            schema: fm_api::Schema::default(),
            guests: guests.iter().map(GuestTrust::of).collect(),
            next,
            revision,
        };
        if self.csv {
            render::certificates_csv(&context.output, &document);
        } else {
            context.output.document(&document, render::certificates);
        }
        Ok(Status::Done)
    }
}
