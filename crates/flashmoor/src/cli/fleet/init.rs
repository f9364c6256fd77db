//! `flashmoor fleet init`.

use std::path::PathBuf;

use clap::Args;
use fm_api::v1::fleet_lists::FleetInit;
use fm_server::InitPlan;

use super::super::serve::server_folder;
use super::super::{Context, Result, Status};
use fm_render::fleet as render;

/// Make a fleet's CA, its server's certificate and the administrator's
///
/// The CA's key stays in the server's folder, which only its owner enters. Whoever has it lets hosts in.
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// A name or address under which the server is reached; besides this machine's own
    #[arg(long, value_name = "HOST")]
    name: Vec<String>,
    /// The port that it listens on
    #[arg(long, value_name = "PORT", default_value_t = 7117)]
    port: u16,
    /// What the administrator is called
    #[arg(long, value_name = "NAME", default_value = "administrator")]
    administrator: String,
    /// The server's folder [default: server in the store]
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
}

impl Init {
    pub(crate) fn run(&self, context: &Context) -> Result {
        let folder = server_folder(context, self.folder.as_ref())?;
        let url = |name: &String| match name.contains(':') {
            true => format!("https://[{name}]:{}", self.port),
            false => format!("https://{name}:{}", self.port),
        };
        let mut urls: Vec<String> = self.name.iter().map(url).collect();
        if urls.is_empty() {
            urls.push(format!("https://localhost:{}", self.port));
        }
        let made = fm_server::init(&InitPlan {
            folder: &folder,
            names: &self.name,
            urls: &urls,
            administrator: &self.administrator,
        })?;
        let document = FleetInit {
            schema: fm_api::Schema::default(),
            folder: folder.display().to_string(),
            administrator: made.administrator.display().to_string(),
            ca: made.ca.to_string(),
            names: made.names,
        };
        context.output.document(&document, render::made);
        Ok(Status::Done)
    }
}
