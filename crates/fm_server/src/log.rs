//! What the server tells whoever runs it: a line for what is refused or fails, and not one for each time.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::Extensions;

use fm_access::{Refusal, Shown};

/// One thing that whoever runs the server should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerEvent {
    /// It serves.
    Listening {
        /// Where.
        address: SocketAddr,
    },
    /// A connection or a request was refused.
    Refused {
        /// Why, in one word.
        kind: &'static str,
        /// Who it was, as far as that is known: an address, and a certificate's name.
        from: String,
        /// What was asked, if it came that far.
        request: Option<String>,
        /// Why.
        detail: String,
    },
    /// Something of the server's own failed; it goes on.
    Failed {
        /// What and why.
        why: String,
    },
    /// It was elected as the planner, or is no longer.
    Planner {
        /// Whether it is.
        leads: bool,
    },
    /// A build was removed from the fleet.
    Purged {
        /// Which.
        build: String,
    },
}

/// The same line is told once in so long.
const QUIET: Duration = Duration::from_secs(600);
/// So many lines are remembered; strangers may not fill the memory with them.
const MAX_TOLD_COUNT: usize = 1024;

/// Cheap to clone: all clones are one.
#[derive(Clone)]
pub(crate) struct Log(Arc<Inner>);

struct Inner {
    tell: Box<dyn Fn(&ServerEvent) + Send + Sync>,
    told: Mutex<(Instant, BTreeSet<String>)>,
}

impl Log {
    pub(crate) fn new(tell: Box<dyn Fn(&ServerEvent) + Send + Sync>) -> Self {
        Self(Arc::new(Inner {
            tell,
            told: Mutex::new((Instant::now(), BTreeSet::new())),
        }))
    }

    pub(crate) fn tell(&self, event: &ServerEvent) {
        (self.0.tell)(event);
    }

    /// Tells it unless the same was told lately.
    fn tell_once(&self, key: String, event: &ServerEvent) {
        let is_new = {
            let mut told = self.0.told.lock().unwrap_or_else(PoisonError::into_inner);
            if told.0.elapsed() > QUIET || told.1.len() >= MAX_TOLD_COUNT {
                *told = (Instant::now(), BTreeSet::new());
            }
            told.1.insert(key)
        };
        if is_new {
            self.tell(event);
        }
    }

    pub(crate) fn failed(&self, why: String) {
        self.tell_once(why.clone(), &ServerEvent::Failed { why });
    }

    /// Where a request comes from.
    pub(crate) fn origin(&self, extensions: &Extensions) -> String {
        let address = extensions.get::<SocketAddr>();
        let address = address.map_or_else(|| "nowhere".to_owned(), |address| address.ip().to_string());
        match extensions.get::<Shown>().and_then(|shown| shown.0.as_ref()) {
            Some(certificate) => format!("{} at {address}", certificate.name),
            None => address,
        }
    }

    /// A request was refused.
    pub(crate) fn refused(&self, refusal: &Refusal, method: &str, route: &str, from: &str) {
        let event = if refusal.is_ours {
            ServerEvent::Failed {
                why: format!("{method} {route}: {}", refusal.detail),
            }
        } else {
            ServerEvent::Refused {
                kind: refusal.kind,
                from: from.to_owned(),
                request: Some(format!("{method} {route}")),
                detail: refusal.detail.clone(),
            }
        };
        self.tell_once(format!("{} {from} {method} {route}", refusal.kind), &event);
    }

    /// A connection was refused before it could ask.
    pub(crate) fn refused_connection(&self, kind: &'static str, from: SocketAddr, detail: String) {
        let from = from.ip().to_string();
        let key = format!("{kind} {from} {detail}");
        self.tell_once(
            key,
            &ServerEvent::Refused {
                kind,
                from,
                request: None,
                detail,
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_refusal_is_told_once_and_the_memory_of_it_is_bounded() {
        let told = Arc::new(Mutex::new(0));
        let count = Arc::clone(&told);
        let log = Log::new(Box::new(move |_| *count.lock().unwrap() += 1));
        let refusal = Refusal {
            kind: "not-yours",
            detail: "no".into(),
            is_ours: false,
        };
        for _ in 0..3 {
            log.refused(&refusal, "PUT", "/r", "a");
        }
        assert_eq!(*told.lock().unwrap(), 1);
        for stranger in 0..5000 {
            log.refused(&refusal, "PUT", "/r", &stranger.to_string());
        }
        assert!(log.0.told.lock().unwrap().1.len() <= MAX_TOLD_COUNT);
    }
}
