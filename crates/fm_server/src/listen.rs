//! Connections: TLS with client certificates, so many at once, and no longer than their time.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tower_service::Service as _;

use crate::log::Log;
use crate::metrics::Metrics;
use crate::patience::Patient;
use crate::pki::{PkiFiles, read};
use crate::{Error, Result};
use fm_access::{Shown, ShownCertificate};

/// Connections at once: ten thousand hosts keep one open each.
const MAX_CONNECTION_COUNT: usize = 12_000;
/// Of these, from clients that show no certificate: who joins, and who reads with a token.
const MAX_STRANGER_COUNT: usize = 256;
/// Handshakes at once: they are what costs.
const MAX_HANDSHAKE_COUNT: usize = 256;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// So long a client whose handshake failed may take to read why.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(2);
/// The head of a request has to be here by then, and so long a connection may rest between two.
const HEAD_TIMEOUT: Duration = Duration::from_secs(90);
/// A reader that takes nothing for so long is cut off.
const WRITE_PATIENCE: Duration = Duration::from_secs(30);
const MAX_HEADER_COUNT: usize = 64;
const MAX_BUFFER_BYTES: usize = 64 << 10;

/// The server's half of TLS 1.3: its certificate, and whose clients it takes. A client without a certificate gets as far
/// as the few addresses that want none or a token.
pub(crate) fn tls(files: &PkiFiles) -> Result<Arc<ServerConfig>> {
    let certificates = |path: &Path| -> Result<Vec<CertificateDer<'static>>> {
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(path)?).collect();
        let found = found.map_err(|error| Error::bad(path, error))?;
        if found.is_empty() {
            return Err(Error::bad(path, "it holds no certificate"));
        }
        Ok(found)
    };
    let key =
        PrivateKeyDer::from_pem_slice(&read(&files.key)?).map_err(|error| Error::bad(&files.key, error))?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&files.client_ca)? {
        roots
            .add(certificate)
            .map_err(|error| Error::bad(&files.client_ca, error))?;
    }
    let failed = |error: rustls::Error| Error::Tls { source: error.into() };
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), fm_client::provider())
        .allow_unauthenticated()
        .build()
        .map_err(|error| Error::bad(&files.client_ca, error))?;
    let mut config = ServerConfig::builder_with_provider(fm_client::provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(failed)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(certificates(&files.certificate)?, key)
        .map_err(failed)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Tickets would let a client come back without showing its certificate.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    Ok(Arc::new(config))
}

/// What every connection needs.
#[derive(Clone)]
pub(crate) struct Door {
    /// How connections are encrypted, from now on: certificates are renewed.
    pub(crate) tls: watch::Receiver<Arc<ServerConfig>>,
    pub(crate) router: Router,
    pub(crate) metrics: Metrics,
    pub(crate) log: Log,
    connections: Arc<Semaphore>,
    handshakes: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
}

impl Door {
    pub(crate) fn new(
        tls: watch::Receiver<Arc<ServerConfig>>,
        router: Router,
        metrics: Metrics,
        log: Log,
    ) -> Self {
        Self {
            tls,
            router,
            metrics,
            log,
            connections: Arc::new(Semaphore::new(MAX_CONNECTION_COUNT)),
            handshakes: Arc::new(Semaphore::new(MAX_HANDSHAKE_COUNT)),
            strangers: Arc::new(Semaphore::new(MAX_STRANGER_COUNT)),
        }
    }

    /// Takes connections until it is told to stop.
    pub(crate) async fn serve(self, listener: TcpListener, mut stop: watch::Receiver<bool>) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            let (stream, from) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Such as: no file descriptors are left. There will be some when a connection ends.
                    self.log.failed(format!("no connection can be taken: {error}"));
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let Ok(slot) = Arc::clone(&self.connections).try_acquire_owned() else {
                self.log
                    .refused_connection("too-many", from, "enough connections are open".into());
                continue;
            };
            let door = self.clone();
            let stop = stop.clone();
            tokio::spawn(async move {
                door.metrics.connections.inc();
                door.connection(stream, from, stop).await;
                door.metrics.connections.dec();
                drop(slot);
            });
        }
    }

    async fn connection(&self, stream: TcpStream, from: SocketAddr, mut stop: watch::Receiver<bool>) {
        // Answers are small, and somebody waits for them.
        let _ = stream.set_nodelay(true);
        let Some((stream, shown)) = self.handshake(stream, from).await else {
            return;
        };
        let _stranger = if shown.0.is_none() {
            match Arc::clone(&self.strangers).try_acquire_owned() {
                Ok(slot) => Some(slot),
                Err(_) => {
                    let why = "enough clients without a certificate are here".into();
                    return self.log.refused_connection("too-many", from, why);
                }
            }
        } else {
            None
        };
        let router = self.router.clone();
        let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(shown.clone());
            request.extensions_mut().insert(from);
            let mut router = router.clone();
            // A router is always ready.
            async move { router.call(request).await }
        });
        let stream = TokioIo::new(Patient::new(stream, WRITE_PATIENCE));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_headers(MAX_HEADER_COUNT)
            .max_buf_size(MAX_BUFFER_BYTES)
            .serve_connection(stream, service);
        // How a connection ends is its client's affair.
        tokio::select! {
            _ = connection => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
    }

    async fn handshake(
        &self,
        stream: TcpStream,
        from: SocketAddr,
    ) -> Option<(tokio_rustls::server::TlsStream<TcpStream>, Shown)> {
        let slot = Arc::clone(&self.handshakes).acquire_owned().await.ok()?;
        let acceptor = TlsAcceptor::from(Arc::clone(&self.tls.borrow()));
        let accepted = acceptor.accept(stream).into_fallible();
        let stream = match tokio::time::timeout(HANDSHAKE_TIMEOUT, accepted).await {
            Err(_) => {
                let why = "the handshake took too long".into();
                self.log.refused_connection("too-slow", from, why);
                return None;
            }
            Ok(Err((error, stream))) => {
                self.log.refused_connection("handshake", from, error.to_string());
                drop(slot);
                let _ = tokio::time::timeout(FAREWELL_TIMEOUT, farewell(stream)).await;
                return None;
            }
            Ok(Ok(stream)) => stream,
        };
        let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let shown = certificates
            .first()
            .and_then(|certificate| ShownCertificate::read(certificate));
        if shown.is_none() && !certificates.is_empty() {
            let why = "its certificate names nobody".into();
            self.log.refused_connection("handshake", from, why);
            return None;
        }
        Some((stream, Shown(shown.map(Arc::new))))
    }
}

/// Lets a client whose handshake failed read why. By TLS 1.3 it has sent its request already by then; a connection that
/// is closed with bytes unread is reset, and the client would see a broken pipe instead of the alert.
async fn farewell(mut stream: TcpStream) {
    if stream.shutdown().await.is_ok() {
        let _ = tokio::io::copy(&mut stream.take(MAX_BUFFER_BYTES as u64), &mut tokio::io::sink()).await;
    }
}
