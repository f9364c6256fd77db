//! Which build a guest needs that this host lacks: the fleet may have it.

use super::facts::{CodeFacts, Facts, LandingFacts};
use crate::supply::Wanted;

impl Facts {
    /// The build that this guest needs and this host lacks.
    pub(super) fn lacks(&self) -> Option<Wanted> {
        let (build, code_bytes, domain) = match self {
            Self::Arrives(domain, identity, facts) => {
                let store = facts.store.as_ref().ok()?;
                let is_stored = matches!(store.build, Some((_, true)));
                let lacks = !facts.code.is_right && !is_stored;
                lacks.then_some((identity.build, Some(identity.code_bytes), domain))?
            }
            Self::Offline {
                domain,
                build,
                code,
                stored: None,
            } if !code.is_right => (*build, None, domain),
            Self::StartsOnLanding(
                domain,
                _,
                LandingFacts::Waiting {
                    build,
                    is_stored: false,
                    ..
                },
            )
            | Self::Starts {
                domain,
                code: CodeFacts::Wrong {
                    build, before: None, ..
                },
                ..
            } => (*build, None, domain),
            _ => return None,
        };
        let identity = domain.identity.as_ref();
        Some(Wanted {
            build,
            code_bytes,
            peer: identity.and_then(|identity| identity.peer.clone()),
        })
    }
}
