//! The small server of a host: other hosts of its fleet pull builds from it, and nobody writes anything.
//!
//! It shows the certificate with which the host joined. What it gives is firmware, which its guests could read as well, and
//! whoever gets it checks the digest: so any host of the fleet may ask any other.

use std::fmt::Debug;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path as Part, Request, State};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Extension, Router};
use fm_api::oci::MANIFEST;
use fm_api::v1::enrolment::Role;
use fm_api::v1::fleet::Digest;
use fm_formats::Sha256;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::answer::{Answer, typed};
use crate::distribution::{BLOB, MANIFEST_OF, VERSION, digest, named, tagged_build, unknown};
use crate::listen::{Door, tls};
use crate::log::{Log, ServerEvent};
use crate::metrics::Metrics;
use crate::pieces::Pieces;
use crate::pki::PkiFiles;
use crate::serve::Serving;
use crate::{Error, Result};
use fm_access::{Problem, Refusal, Shown, now_s};

/// Builds are read whole, 64 MiB at most: so many at once.
const MAX_READING_COUNT: usize = 4;
/// How often it is looked whether the host has joined, or its certificate was renewed.
const LOOK: Duration = Duration::from_secs(5);

/// What a host gives.
pub trait PeerBuilds: Debug + Send + Sync {
    /// The manifest of a build.
    ///
    /// # Errors
    /// In one line, if it cannot be read.
    fn manifest(&self, build: &Digest) -> Result<Option<Vec<u8>>, String>;

    /// A blob that some build's manifest names.
    ///
    /// # Errors
    /// In one line, if it cannot be read.
    fn blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, String>;
}

/// How builds are given to other hosts.
#[derive(Debug)]
pub struct PeerOptions {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The folder of the host's identity. As long as it has not joined, nobody is answered.
    pub identity: PathBuf,
    /// What it gives.
    pub builds: Arc<dyn PeerBuilds>,
}

/// Starts to give builds to other hosts.
///
/// # Errors
/// If the address cannot be listened on.
pub fn serve_peers(options: PeerOptions, tell: Box<dyn Fn(&ServerEvent) + Send + Sync>) -> Result<Serving> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(MAX_READING_COUNT)
        .enable_all()
        .build()
        .map_err(|source| Error::Runtime { source })?;
    let log = Log::new(tell);
    let failed = |source| Error::Listen {
        address: options.listen,
        source,
    };
    let (address, listener) = runtime.block_on(async {
        let listener = TcpListener::bind(options.listen).await.map_err(failed)?;
        Ok::<_, Error>((listener.local_addr().map_err(failed)?, listener))
    })?;
    let (stop, stopped) = watch::channel(false);
    log.tell(&ServerEvent::Listening { address });
    let router = router(options.builds, log.clone());
    let task = runtime.spawn(serve(options.identity, listener, router, log, stopped));
    Ok(Serving {
        address,
        stop,
        tasks: vec![task],
        runtime,
    })
}

/// Waits until the host has joined, and then serves; a certificate that was renewed is shown from the next connection on.
async fn serve(
    identity: PathBuf,
    listener: TcpListener,
    router: Router,
    log: Log,
    mut stopped: watch::Receiver<bool>,
) {
    let mut known = None;
    let config = loop {
        match renewed(&identity, &mut known, &log) {
            Some(config) => break config,
            None => tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                _ = stopped.wait_for(|stop| *stop) => return,
            },
        }
    };
    let (changed, config) = watch::channel(config);
    let door = Door::new(config, router, Metrics::default(), log.clone());
    let mut serving = std::pin::pin!(door.serve(listener, stopped));
    loop {
        tokio::select! {
            () = &mut serving => return,
            () = tokio::time::sleep(LOOK) => {
                if let Some(config) = renewed(&identity, &mut known, &log) {
                    let _ = changed.send(config);
                }
            }
        }
    }
}

/// How to show the host's certificate, if it is another one than before.
fn renewed(identity: &Path, known: &mut Option<Vec<u8>>, log: &Log) -> Option<Arc<ServerConfig>> {
    let files = PkiFiles::of_host(identity);
    // A host that has not joined has none.
    let certificate = crate::pki::read(&files.certificate).ok()?;
    if known.as_ref() == Some(&certificate) {
        return None;
    }
    match tls(&files) {
        Ok(config) => {
            *known = Some(certificate);
            Some(config)
        }
        Err(error) => {
            log.failed(fm_remedy::one_line(&error));
            None
        }
    }
}

#[derive(Debug, Clone)]
struct Shelf {
    builds: Arc<dyn PeerBuilds>,
    reading: Arc<Semaphore>,
}

fn router(builds: Arc<dyn PeerBuilds>, log: Log) -> Router {
    let shelf = Shelf {
        builds,
        reading: Arc::new(Semaphore::new(MAX_READING_COUNT)),
    };
    Router::new()
        .route(VERSION, get(|| async { typed("application/json", "{}") }))
        .route(MANIFEST_OF, get(manifest))
        .route(BLOB, get(blob))
        .fallback(|| async { Problem::not_found("a host gives builds, and nothing else") })
        .method_not_allowed_fallback(|| async { Problem::method() })
        .layer(from_fn(admit))
        .layer(Extension(log))
        .with_state(shelf)
}

/// Lets hosts of the fleet in, and nobody else.
async fn admit(Extension(log): Extension<Log>, request: Request, next: Next) -> Response {
    let shown = request.extensions().get::<Shown>().cloned().unwrap_or_default();
    let from = log.origin(request.extensions());
    let response = match shown.0 {
        Some(certificate) if certificate.role == Some(Role::Host) && certificate.expires_s > now_s() => {
            next.run(request).await
        }
        Some(_) => Problem::forbidden("a host gives builds to other hosts only").into_response(),
        None => Problem::unknown_caller("no certificate was shown").into_response(),
    };
    if let Some(refusal) = response.extensions().get::<Refusal>() {
        log.refused(refusal, "GET", "/v2/", &from);
    }
    response
}

async fn manifest(State(shelf): State<Shelf>, Part(reference): Part<String>) -> Answer {
    let Some(build) = tagged_build(&reference) else {
        return Ok(unknown("MANIFEST_UNKNOWN"));
    };
    let read = shelf.read(move |builds| builds.manifest(&build)).await?;
    Ok(match read {
        Some(read) => {
            let digest = Sha256::of(&read.bytes).to_bytes().into();
            named(
                &digest,
                typed(MANIFEST, axum::body::Body::from_stream(read.pieces())),
            )
        }
        None => unknown("MANIFEST_UNKNOWN"),
    })
}

async fn blob(State(shelf): State<Shelf>, Part(reference): Part<String>) -> Answer {
    let Some(digest) = digest(&reference) else {
        return Ok(unknown("BLOB_UNKNOWN"));
    };
    let wanted = digest.clone();
    let read = shelf.read(move |builds| builds.blob(&wanted)).await?;
    Ok(match read {
        Some(read) => {
            let length = read.bytes.len();
            let mut response = typed(
                "application/octet-stream",
                axum::body::Body::from_stream(read.pieces()),
            );
            response
                .headers_mut()
                .insert(axum::http::header::CONTENT_LENGTH, length.into());
            named(&digest, response)
        }
        None => unknown("BLOB_UNKNOWN"),
    })
}

impl Shelf {
    /// Reads on a thread that may wait for the disk.
    async fn read(
        &self,
        read: impl FnOnce(&dyn PeerBuilds) -> Result<Option<Vec<u8>>, String> + Send + 'static,
    ) -> Result<Option<Read>, Problem> {
        let slot = Arc::clone(&self.reading)
            .try_acquire_owned()
            .map_err(|_| Problem::busy("other hosts are being given builds"))?;
        let builds = Arc::clone(&self.builds);
        let bytes = tokio::task::spawn_blocking(move || read(&*builds))
            .await
            .map_err(|error| Problem::internal(error.to_string()))?
            .map_err(Problem::internal)?;
        Ok(bytes.map(|bytes| Read { bytes, _slot: slot }))
    }
}

/// Bytes on their way, and the right to have them in memory.
struct Read {
    bytes: Vec<u8>,
    _slot: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Read {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Read {
    fn pieces(self) -> Pieces {
        Pieces::new(Box::pin(std::io::Cursor::new(self)))
    }
}
