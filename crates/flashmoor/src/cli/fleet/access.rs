//! How a command reaches the fleet: which servers, and as whom.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use fm_client::{Client, Identity};

use super::super::{Context, Result};

const TIMEOUT: Duration = Duration::from_secs(60);

/// Options of every verb that asks the fleet.
#[derive(Debug, Args)]
pub(in crate::cli) struct Access {
    /// A server of the fleet, as https://HOST:PORT; several are tried in turn [default: the identity's]
    #[arg(long, value_name = "URL", env = "FLASHMOOR_FLEET_URL", value_delimiter = ',')]
    url: Vec<String>,
    /// The folder of the certificate to ask with [default: the administrator's in the store, else this host's]
    #[arg(long, value_name = "DIR", env = "FLASHMOOR_FLEET_IDENTITY")]
    identity: Option<PathBuf>,
}

impl Access {
    /// Who asks, and whom.
    pub(in crate::cli) fn identity(&self, context: &Context) -> Result<Identity> {
        let mut identity = match &self.identity {
            Some(folder) => Identity::load(folder)?,
            None => {
                let store = context.store()?;
                let administrator = store.path().join("server").join("administrator");
                match Identity::load(&administrator) {
                    Err(fm_client::Error::NoIdentity { .. }) => {
                        Identity::load(&fm_agent::fleet::folder(store.path()))?
                    }
                    loaded => loaded?,
                }
            }
        };
        if !self.url.is_empty() {
            identity.urls.clone_from(&self.url);
        }
        Ok(identity)
    }

    /// A client.
    pub(in crate::cli) fn client(&self, context: &Context) -> Result<Client> {
        Ok(Client::new(&self.identity(context)?, TIMEOUT)?)
    }
}
