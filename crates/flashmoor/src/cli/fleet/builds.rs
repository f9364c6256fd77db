//! `flashmoor fleet builds`, `why`, `pin` and `unpin`.

use clap::{Args, ValueEnum};
use fm_api::v1::enrolment::NewPin;
use fm_api::v1::fleet::{BuildView, Digest, Why as Proof};
use fm_api::v1::fleet_lists::FleetBuilds;
use fm_client::{Client, Precondition};
use fm_remedy::{Misuse, Remedy};

use super::super::{Context, Result, Status};
use super::access::Access;
use super::pages::{Portion, Words, all};
use super::watch::Watch;
use crate::Error;
use fm_render::fleet as render;

/// A state by its name.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum StateName {
    Missing,
    Live,
    Condemned,
    Deleting,
    Purged,
}

impl StateName {
    fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Live => "live",
            Self::Condemned => "condemned",
            Self::Deleting => "deleting",
            Self::Purged => "purged",
        }
    }
}

/// List the fleet's builds and how each stands
#[derive(Debug, Args)]
pub(crate) struct Builds {
    /// Only those that stand so
    #[arg(long, value_name = "STATE")]
    state: Option<StateName>,
    #[command(flatten)]
    portion: Portion,
    #[command(flatten)]
    watch: Watch,
    #[command(flatten)]
    access: Access,
}

impl Builds {
    pub(crate) fn run(&self, context: &Context) -> Result {
        let client = self.access.client(context)?;
        let words = || Words::default().with("state", self.state.map(StateName::name));
        self.watch.show(context, &client, || {
            let (builds, next, revision) = all::<BuildView>(&client, "/api/v1/builds", words, &self.portion)?;
            tell(context, builds, next, revision);
            Ok(())
        })
    }
}

/// Prove why a build is kept, or what still stands in the way of its removal
#[derive(Debug, Args)]
pub(crate) struct Why {
    /// The build: its digest, or the first digits of it
    build: String,
    #[command(flatten)]
    access: Access,
}

impl Why {
    pub(crate) fn run(&self, context: &Context) -> Result {
        let client = self.access.client(context)?;
        let build = find(&client, &self.build)?;
        let proof: Proof = client.get(&format!("/api/v1/builds/{build}/why"))?;
        context.output.document(&proof, render::why);
        Ok(Status::Done)
    }
}

/// Keep a build, whoever uses it
#[derive(Debug, Args)]
pub(crate) struct Pin {
    /// The build: its digest, or the first digits of it
    build: String,
    /// The name of the pin, by which it is taken away again
    #[arg(long, value_name = "NAME")]
    name: String,
    /// Why
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    #[command(flatten)]
    access: Access,
}

impl Pin {
    pub(crate) fn run(&self, context: &Context) -> Result {
        let client = self.access.client(context)?;
        let path = pin_path(&client, &self.build, &self.name)?;
        let pin = NewPin {
            reason: self.reason.clone(),
        };
        let build: BuildView = client.write("PUT", &path, &pin, Precondition::None)?;
        let revision = build.revision;
        tell(context, vec![build], None, revision);
        Ok(Status::Done)
    }
}

/// Take a pin away
#[derive(Debug, Args)]
pub(crate) struct Unpin {
    /// The build: its digest, or the first digits of it
    build: String,
    /// The name of the pin
    #[arg(long, value_name = "NAME")]
    name: String,
    #[command(flatten)]
    access: Access,
}

impl Unpin {
    pub(crate) fn run(&self, context: &Context) -> Result {
        let client = self.access.client(context)?;
        let path = pin_path(&client, &self.build, &self.name)?;
        let build: BuildView = client.write("DELETE", &path, &serde_json::json!({}), Precondition::None)?;
        let revision = build.revision;
        tell(context, vec![build], None, revision);
        Ok(Status::Done)
    }
}

fn tell(context: &Context, builds: Vec<BuildView>, next: Option<String>, revision: u64) {
    let document = FleetBuilds {
        schema: fm_api::Schema::default(),
        builds,
        next,
        revision,
    };
    context.output.document(&document, render::builds);
}

fn pin_path(client: &Client, build: &str, name: &str) -> Result<String> {
    if !fm_client::is_name(name) {
        return Err(fm_client::Error::BadName { name: name.into() }.into());
    }
    Ok(format!("/api/v1/builds/{}/pins/{name}", find(client, build)?))
}

/// The build that a digest, or the beginning of one, means.
pub(in crate::cli) fn find(client: &Client, text: &str) -> Result<Digest> {
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    if let Ok(digest) = digits.parse() {
        return Ok(digest);
    }
    let (builds, ..) = all::<BuildView>(client, "/api/v1/builds", Words::default, &Portion::ALL)?;
    let mut found = builds
        .into_iter()
        .filter(|build| !digits.is_empty() && build.build.as_str().starts_with(digits));
    match (found.next(), found.next()) {
        (Some(build), None) => Ok(build.build),
        (first, _) => Err(Error::Usage(Misuse {
            message: match first {
                None => format!("the fleet knows no build {text:?}"),
                Some(_) => format!("{text:?} means more than one build"),
            },
            remedy: Remedy::advice("see `flashmoor fleet builds`, and give more digits"),
        })),
    }
}
