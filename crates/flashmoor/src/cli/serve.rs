//! `flashmoor serve`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use fm_server::{BlobsAt, HealthOptions, PkiFiles, RecordsAt, ServeOptions};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::{Context, Result, Status};
use crate::Error;
use fm_render::fleet as render;

/// Run the fleet's server: who runs which firmware, and every build where it is needed
///
/// One command is a whole server: without options its records are a database and its builds an OCI layout, both in the
/// folder `server` of the store, and it listens on this machine alone. It speaks TLS there as well; the certificates are
/// made with the first start. To be reached from other machines it needs `flashmoor fleet init --name NAME` before, or
/// certificates of your own. Guests start, migrate and come back without it.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Where to listen
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7117")]
    listen: SocketAddr,
    /// The records: a file, or etcd://HOST:PORT,HOST:PORT [default: server/records.sqlite in the store]
    #[arg(long, value_name = "URL")]
    records: Option<RecordsAt>,
    /// The builds: a folder, or oci://REGISTRY/NAME [default: server/builds in the store]
    #[arg(long, value_name = "URL")]
    blobs: Option<BlobsAt>,
    /// The server's certificate, in PEM
    #[arg(long, value_name = "FILE", requires_all = ["tls_key", "client_ca"])]
    tls_cert: Option<PathBuf>,
    /// Its key
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// The CA of the clients' certificates
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    client_ca: Option<PathBuf>,
    /// That CA's key: with it hosts can join here
    #[arg(long, value_name = "FILE", requires = "client_ca")]
    ca_key: Option<PathBuf>,
    /// The server's folder [default: server in the store]
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// How long a build is kept that nobody needs
    #[arg(long, value_name = "SECONDS", default_value_t = 24 * 3600)]
    grace: u64,
    /// A webhook that rollouts may ask whether guests are well; http:// only for this machine
    #[arg(long, value_name = "URL")]
    health_webhook: Option<String>,
    /// The Prometheus that rollouts' queries go to; http:// only for this machine
    #[arg(long, value_name = "URL")]
    health_prometheus: Option<String>,
    /// Authorities that sign the certificates of these two, in PEM [default: /etc/ssl/certs/ca-certificates.crt]
    #[arg(long, value_name = "FILE")]
    health_ca: Option<PathBuf>,
    /// What this server is called where several are told apart [default: the host's name]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

impl Serve {
    pub(crate) fn run(&self, context: &Context) -> Result {
        let pki = match (&self.tls_cert, &self.tls_key, &self.client_ca) {
            (Some(certificate), Some(key), Some(client_ca)) => Some(PkiFiles {
                certificate: certificate.clone(),
                key: key.clone(),
                client_ca: client_ca.clone(),
                ca_key: self.ca_key.clone(),
            }),
            _ => None,
        };
        let name = self
            .name
            .clone()
            .unwrap_or_else(|| fm_host::host_name().unwrap_or_default());
        let options = ServeOptions {
            listen: self.listen,
            folder: server_folder(context, self.folder.as_ref())?,
            records: self.records.clone(),
            blobs: self.blobs.clone(),
            pki,
            name: format!("{name}-{}", std::process::id()),
            grace: Duration::from_secs(self.grace),
            health: HealthOptions {
                webhook: self.health_webhook.clone(),
                prometheus: self.health_prometheus.clone(),
                ca: self.health_ca.clone(),
            },
        };
        // Before anything is started: whoever ends us early ends us all the same.
        let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(|source| Error::Signal { source })?;
        let output = context.output;
        let serving = fm_server::start(
            &options,
            Box::new(move |event| render::server_event(&output, event)),
        )?;
        signals.forever().next();
        serving.stop();
        Ok(Status::Done)
    }
}

/// Where a server of this store keeps what it is not told a place for.
pub(super) fn server_folder(context: &Context, given: Option<&PathBuf>) -> Result<PathBuf> {
    Ok(match given {
        Some(folder) => folder.clone(),
        None => context.store()?.path().join("server"),
    })
}
