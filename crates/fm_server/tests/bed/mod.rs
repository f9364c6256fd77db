//! A server on this machine, on the engines that a test wants, and those who ask it.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fm_api::v1::enrolment::{NewToken, Role, TokenRequest};
use fm_api::v1::fleet::{HostReport, ReportAnswer, Rest};
use fm_client::{Client, Error, Identity, JoinPlan, JoinToken, Precondition};
use fm_server::{PkiFiles, ServeOptions, ServerEvent, Serving, pin_of, start};

/// What a server stands on, as its user names it.
#[derive(Debug, Clone)]
pub(crate) struct Engines {
    pub(crate) records: Option<String>,
    pub(crate) blobs: Option<String>,
    /// How long what nobody needs is kept.
    pub(crate) grace: Duration,
    /// What engines want to see of the server, by the names of files in its folder.
    pub(crate) secrets: Vec<(&'static str, String)>,
}

impl Default for Engines {
    fn default() -> Self {
        Self {
            records: None,
            blobs: None,
            grace: Duration::from_secs(3600),
            secrets: Vec::new(),
        }
    }
}

/// A server on this machine, and its administrator.
pub(crate) struct Bed {
    folder: tempfile::TempDir,
    serving: Option<Serving>,
    pub(crate) url: String,
    told: Arc<Mutex<Vec<ServerEvent>>>,
}

impl Bed {
    /// On a database and a layout of its own.
    pub(crate) fn start() -> Self {
        Self::start_on(&Engines::default())
    }

    /// On these engines.
    pub(crate) fn start_on(engines: &Engines) -> Self {
        Self::start_with(engines, None)
    }

    /// Another server of the same fleet, on the same engines.
    pub(crate) fn beside(&self, engines: &Engines) -> Self {
        let pki = PkiFiles::in_folder(&self.folder.path().join("server"));
        Self::start_with(engines, Some(pki))
    }

    fn start_with(engines: &Engines, pki: Option<PkiFiles>) -> Self {
        Self::try_start_with(engines, pki).unwrap()
    }

    /// On engines that may not want it.
    pub(crate) fn try_start_on(engines: &Engines) -> fm_server::Result<Self> {
        Self::try_start_with(engines, None)
    }

    fn try_start_with(engines: &Engines, pki: Option<PkiFiles>) -> fm_server::Result<Self> {
        let folder = tempfile::tempdir().unwrap();
        let told = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&told);
        for (name, text) in &engines.secrets {
            let path = folder.path().join("server").join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let serving = start(
            &ServeOptions {
                listen: "127.0.0.1:0".parse().unwrap(),
                folder: folder.path().join("server"),
                records: engines.records.as_deref().map(|text| text.parse().unwrap()),
                blobs: engines.blobs.as_deref().map(|text| text.parse().unwrap()),
                pki,
                name: folder.path().display().to_string(),
                grace: engines.grace,
                health: fm_server::HealthOptions::default(),
            },
            Box::new(move |event| log.lock().unwrap().push(event.clone())),
        )?;
        Ok(Self {
            folder,
            url: format!("https://{}", serving.address),
            serving: Some(serving),
            told,
        })
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join("server").join(name)
    }

    pub(crate) fn administrator(&self) -> Identity {
        let mut identity = Identity::load(&self.file("administrator")).unwrap();
        identity.urls = vec![self.url.clone()];
        identity
    }

    pub(crate) fn client(&self, identity: &Identity) -> Client {
        Client::new(identity, Duration::from_secs(30)).unwrap()
    }

    pub(crate) fn token(&self, role: Role, name: Option<&str>) -> JoinToken {
        let made: NewToken = self
            .client(&self.administrator())
            .write(
                "POST",
                "/api/v1/tokens",
                &TokenRequest {
                    role,
                    name: name.map(str::to_owned),
                    lifetime_s: 60,
                    bearer: false,
                },
                Precondition::None,
            )
            .unwrap();
        JoinToken {
            secret: made.secret,
            ca: pin_of(&self.file("pki/ca.crt")).unwrap(),
            url: self.url.clone(),
        }
    }

    pub(crate) fn join(&self, role: Role, name: &str) -> Identity {
        join(&self.token(role, None), name).unwrap()
    }

    pub(crate) fn told(&self, wanted: &str) -> usize {
        let told = self.told.lock().unwrap();
        told.iter()
            .filter(|event| matches!(event, ServerEvent::Refused { kind, .. } if *kind == wanted))
            .count()
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.stop();
        }
    }
}

pub(crate) fn join(token: &JoinToken, name: &str) -> fm_client::Result<Identity> {
    fm_client::join(&JoinPlan {
        token,
        urls: &[],
        name,
    })
}

/// The status and kind of a refusal.
pub(crate) fn refused<T: std::fmt::Debug>(result: fm_client::Result<T>) -> (u16, String) {
    match result {
        Err(Error::Refused { problem }) => (problem.status, problem.kind),
        other => panic!("not refused: {other:?}"),
    }
}

/// Looks that a server answered, and that it could not do anything at this moment: with 503, after which a client tries
/// the next one.
pub(crate) fn unavailable<T: std::fmt::Debug>(result: fm_client::Result<T>) {
    match result {
        Err(Error::NoAnswer { tried }) => {
            assert!(
                tried.iter().all(|why| why.contains("cannot be used now")),
                "{tried:?}"
            );
        }
        other => panic!("not refused: {other:?}"),
    }
}

pub(crate) fn report(host: &str) -> HostReport {
    HostReport {
        schema: fm_api::Schema::default(),
        host: host.parse().unwrap(),
        instance: "i".into(),
        boot_id: "b".into(),
        sequence: 1,
        recorded: None,
        acknowledged: None,
        name: None,
        agent_version: String::new(),
        labels: Default::default(),
        rollouts: Vec::new(),
        guests: Vec::new(),
        builds: Vec::new(),
        landings: Vec::new(),
        pins: Vec::new(),
        uses: Vec::new(),
        rest: Rest::new(),
    }
}

pub(crate) fn send(client: &Client, address: &str, report: &HostReport) -> fm_client::Result<ReportAnswer> {
    let path = format!("/api/v1/hosts/{address}/report");
    client.write("PUT", &path, report, Precondition::None)
}
