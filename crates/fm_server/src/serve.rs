//! The server put together: records, builds, certificates, the door, and the task that collects.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fm_fleet::{Fleet, FleetOptions, HealthSource, PlannerOptions};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::engines::{BlobsAt, RecordsAt};
use crate::health::{Health, HealthOptions};
use crate::listen::{Door, tls};
use crate::log::{Log, ServerEvent};
use crate::metrics::Metrics;
use crate::pki::{InitPlan, PkiFiles, Signer, init, private_folder, read};
use crate::state::App;
use crate::uploads::Uploads;
use crate::{Error, Result, collection, routes};

/// Threads that serve; records have threads of their own.
const WORKER_COUNT: usize = 4;

/// How a server is run.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Its folder, for what it is not told a place of its own.
    pub folder: PathBuf,
    /// Its records; a database in the folder if nothing is said.
    pub records: Option<RecordsAt>,
    /// Its builds; a layout in the folder if nothing is said.
    pub blobs: Option<BlobsAt>,
    /// Its certificates; those in the folder if nothing is said.
    pub pki: Option<PkiFiles>,
    /// What this server is called where planners are told apart.
    pub name: String,
    /// How long a build that nobody needs is kept all the same.
    pub grace: Duration,
    /// Who is asked, besides hosts, whether guests of rollouts are well.
    pub health: HealthOptions,
}

/// A server that serves.
#[derive(Debug)]
pub struct Serving {
    /// Where; with the port that the system chose, if it was to.
    pub address: SocketAddr,
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) tasks: Vec<JoinHandle<()>>,
    pub(crate) runtime: Runtime,
}

/// Starts a server. A fleet that is not there yet is made, unless others than this machine could reach it: then
/// somebody has to choose the names in its certificate.
///
/// # Errors
/// If the certificates, the records or the builds cannot be used, or the address cannot be listened on.
pub fn start(options: &ServeOptions, tell: Box<dyn Fn(&ServerEvent) + Send + Sync>) -> Result<Serving> {
    let files = match &options.pki {
        Some(files) => files.clone(),
        None => own_pki(options)?,
    };
    let config = tls(&files)?;
    let ca =
        String::from_utf8(read(&files.client_ca)?).map_err(|error| Error::bad(&files.client_ca, error))?;
    let signer = match &files.ca_key {
        Some(key) => Some(Signer::load(&files.client_ca, key)?),
        None => None,
    };
    let health = Health::new(&options.health)?.map(|health| Arc::new(health) as Arc<dyn HealthSource>);
    private_folder(&options.folder)?;
    let uploads = Uploads::open(&options.folder.join("uploads"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKER_COUNT)
        .enable_all()
        .build()
        .map_err(|source| Error::Runtime { source })?;
    let log = Log::new(tell);
    let metrics = Metrics::default();
    let (stop, stopped) = watch::channel(false);
    let (address, tasks) = runtime.block_on(async {
        let records_at = options.records.clone();
        let records_at =
            records_at.unwrap_or_else(|| RecordsAt::Sqlite(options.folder.join("records.sqlite")));
        let blobs_at = options.blobs.clone();
        let blobs_at = blobs_at.unwrap_or_else(|| BlobsAt::Layout(options.folder.join("builds")));
        let fleet = Fleet::open(
            records_at.open(&options.folder).await?,
            blobs_at.open(&options.folder)?,
            None,
            FleetOptions {
                health,
                ..FleetOptions::default()
            },
        )
        .await?;
        let listen = |source| Error::Listen {
            address: options.listen,
            source,
        };
        let listener = TcpListener::bind(options.listen).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let planner = fleet.planner(
            &options.name,
            PlannerOptions {
                grace: options.grace,
                ..PlannerOptions::default()
            },
        );
        let collecting = collection::run(
            planner,
            fleet.clone(),
            metrics.clone(),
            log.clone(),
            stopped.clone(),
        );
        let located = fleet.clone();
        // If that fails, whoever asks for a guest tries again.
        tokio::spawn(async move { drop(located.locate_guests().await) });
        let app = App::new(fleet, signer, ca, metrics.clone(), uploads);
        let router = routes::router(app, log.clone());
        let door = Door::new(watch::channel(config).1, router, metrics, log.clone());
        let tasks = vec![
            tokio::spawn(collecting),
            tokio::spawn(door.serve(listener, stopped)),
        ];
        Ok::<_, Error>((address, tasks))
    })?;
    log.tell(&ServerEvent::Listening { address });
    Ok(Serving {
        address,
        stop,
        tasks,
        runtime,
    })
}

/// The certificates in the server's folder; made if there are none and nobody else can reach it.
fn own_pki(options: &ServeOptions) -> Result<PkiFiles> {
    let files = PkiFiles::in_folder(&options.folder);
    if files.exist() {
        // Whoever keeps the CA's key elsewhere has taken it away, and nobody joins here.
        let ca_key = files.ca_key.clone().filter(|key| key.exists());
        return Ok(PkiFiles { ca_key, ..files });
    }
    if !options.listen.ip().is_loopback() {
        return Err(Error::Exposed {
            address: options.listen,
        });
    }
    let urls = [format!("https://localhost:{}", options.listen.port())];
    let made = init(&InitPlan {
        folder: &options.folder,
        names: &[],
        urls: &urls,
        administrator: "administrator",
    })?;
    Ok(made.files)
}

impl Serving {
    /// Ends it: no request is taken any more, and another planner need not wait for this one's lease to run out.
    pub fn stop(self) {
        let _ = self.stop.send(true);
        let tasks = self.tasks;
        self.runtime.block_on(async {
            for task in tasks {
                // One that panicked has ended as well.
                let _ = task.await;
            }
        });
        self.runtime.shutdown_timeout(Duration::from_secs(5));
    }
}
