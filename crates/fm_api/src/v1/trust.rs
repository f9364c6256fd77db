//! Which generations of certificates guests trust, and who can change that.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Schema, document};

use super::fleet::{Certificates, GuestView, HostId};

/// `flashmoor/fleet-certificates/1`: a page of guests with what they trust.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TrustPage {
    /// `flashmoor/fleet-certificates/1`.
    pub schema: Schema<TrustPage>,
    /// The guests.
    pub guests: Vec<GuestTrust>,
    /// Where the next page begins; nothing on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// The revision of the records that the page shows.
    pub revision: u64,
}

document!(TrustPage = "flashmoor/fleet-certificates/1");

/// What one guest trusts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GuestTrust {
    /// Its host.
    pub host: HostId,
    /// Its uuid.
    pub uuid: String,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether Secure Boot is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secure_boot: Option<bool>,
    /// The generations in its keys; nothing if they could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificates: Option<Certificates>,
    /// Who can bring the new generation in.
    pub actor: TrustActor,
}

/// Who can bring a newer generation of certificates into a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TrustActor {
    /// Nobody has to: it is there.
    Nobody,
    /// The guest itself, by an update that its KEK accepts.
    Guest,
    /// The host, while the guest is off: what is there accepts no update from inside.
    Host,
    /// Not known: the keys could not be read.
    Unknown,
}

impl GuestTrust {
    /// What a guest's row says.
    #[must_use]
    pub fn of(view: &GuestView) -> Self {
        let guest = &view.guest;
        Self {
            host: view.host.clone(),
            uuid: guest.uuid.clone(),
            name: guest.name.clone(),
            secure_boot: guest.secure_boot,
            actor: guest.certificates.as_ref().map_or(TrustActor::Unknown, actor),
            certificates: guest.certificates.clone(),
        }
    }
}

fn actor(keys: &Certificates) -> TrustActor {
    let has = |generations: &[String], wanted: &str| generations.iter().any(|held| held == wanted);
    if has(&keys.db, "2023") && has(&keys.kek, "2023") {
        TrustActor::Nobody
    } else if has(&keys.pk, "broken") {
        TrustActor::Host
    } else if !has(&keys.db, "2023") && (has(&keys.kek, "2011") || has(&keys.kek, "2023")) {
        TrustActor::Guest
    } else {
        // A new KEK needs the owner of the platform key, which under virtual machines is the host.
        TrustActor::Host
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(pk: &[&str], kek: &[&str], db: &[&str]) -> Certificates {
        let texts = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
        Certificates {
            pk: texts(pk),
            kek: texts(kek),
            db: texts(db),
            ..Certificates::default()
        }
    }

    #[test]
    fn who_can_act_follows_from_the_keys() {
        for (pk, kek, db, expected) in [
            (
                &["own"][..],
                &["2011", "2023"][..],
                &["2011", "2023"][..],
                TrustActor::Nobody,
            ),
            (&["own"], &["2011"], &["2011"], TrustActor::Guest),
            (&["own"], &["2011"], &["2011", "2023"], TrustActor::Host),
            (&["broken"], &["2011"], &["2011"], TrustActor::Host),
            (&["own"], &[], &[], TrustActor::Host),
        ] {
            assert_eq!(actor(&keys(pk, kek, db)), expected, "{pk:?} {kek:?} {db:?}");
        }
    }
}
