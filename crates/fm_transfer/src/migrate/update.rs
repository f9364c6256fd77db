//! Whether the stream of a migration is one in which CODE can be exchanged, told before it begins.

use fm_host::monitor::Description;
use fm_host::qmp::Client;
use fm_host::qmp::commands::QueryMigrateCapabilities;

use super::drive::Options;
use super::relay::Target;
use crate::error::migrate::Error;
use crate::error::unfit::Unfit;

/// Capabilities that send pages in another form, by another way, or not at all; and those that are not known to a relay
/// because they came after it.
const UNFIT_CAPABILITIES: [&str; 12] = [
    "xbzrle",
    "compress",
    "multifd",
    "postcopy-ram",
    "postcopy-preempt",
    "mapped-ram",
    "background-snapshot",
    "x-ignore-shared",
    "x-colo",
    "rdma-pin-all",
    "block",
    "zero-copy-send",
];

/// What is known of a migration that is to exchange CODE.
#[derive(Debug, Clone, Default)]
pub(super) struct Plan<'a> {
    pub(super) capabilities: &'a [String],
    pub(super) tls: bool,
    pub(super) multifd: bool,
    pub(super) postcopy: bool,
    pub(super) uri: Option<&'a str>,
    pub(super) guest_bytes: Option<u64>,
    pub(super) build_bytes: u64,
}

/// The first reason against it.
pub(super) fn unfit(plan: &Plan<'_>) -> Option<Unfit> {
    let Some(guest_bytes) = plan.guest_bytes else {
        return Some(Unfit::NoCode);
    };
    if guest_bytes != plan.build_bytes {
        return Some(Unfit::Size {
            guest_bytes,
            build_bytes: plan.build_bytes,
        });
    }
    if plan.multifd {
        return Some(Unfit::Multifd);
    }
    if plan.postcopy {
        return Some(Unfit::Postcopy);
    }
    if let Some(name) = UNFIT_CAPABILITIES
        .iter()
        .find(|name| plan.capabilities.iter().any(|on| on == *name))
    {
        return Some(Unfit::Capability((*name).to_owned()));
    }
    if plan.tls {
        return Some(Unfit::Tls);
    }
    plan.uri
        .filter(|uri| Target::parse(uri).is_none())
        .map(|uri| Unfit::Address(uri.to_owned()))
}

/// Asks both ends, and refuses what would not work.
pub(super) fn expect_fit(
    source: &mut Client,
    destination: &mut Client,
    from: &Description,
    options: &Options,
    uri: Option<&str>,
    code: &[u8],
) -> Result<(), Error> {
    let mut capabilities = Vec::new();
    let mut tls = false;
    for client in [source, destination] {
        let on = client.ask(&QueryMigrateCapabilities)?;
        capabilities.extend(on.into_iter().filter(|one| one.state).map(|one| one.capability));
        let parameters = client.execute("query-migrate-parameters", None)?;
        tls |= parameters
            .get("tls-creds")
            .and_then(serde_json::Value::as_str)
            .is_some_and(|creds| !creds.is_empty());
    }
    let plan = Plan {
        capabilities: &capabilities,
        tls,
        multifd: options.multifd_channels.is_some() || options.multifd_compression.is_some(),
        postcopy: options.postcopy,
        uri,
        guest_bytes: from.flash_block(0).map(|block| block.used_bytes),
        build_bytes: code.len() as u64,
    };
    unfit(&plan).map_or(Ok(()), |unfit| Err(Error::Unfit(unfit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_of_sending_that_hides_code_is_refused_with_its_reason() {
        let fit = Plan {
            guest_bytes: Some(7),
            build_bytes: 7,
            ..Plan::default()
        };
        assert_eq!(unfit(&fit), None);
        let harmless = ["events", "pause-before-switchover", "auto-converge"].map(str::to_owned);
        assert_eq!(
            unfit(&Plan {
                capabilities: &harmless,
                uri: Some("unix:/a"),
                ..fit.clone()
            }),
            None
        );
        for name in UNFIT_CAPABILITIES {
            let on = [harmless[0].clone(), name.to_owned()];
            let plan = Plan {
                capabilities: &on,
                ..fit.clone()
            };
            assert_eq!(unfit(&plan), Some(Unfit::Capability(name.into())), "{name}");
        }
        for (plan, expected) in [
            (
                Plan {
                    multifd: true,
                    ..fit.clone()
                },
                Unfit::Multifd,
            ),
            (
                Plan {
                    postcopy: true,
                    ..fit.clone()
                },
                Unfit::Postcopy,
            ),
            (
                Plan {
                    tls: true,
                    ..fit.clone()
                },
                Unfit::Tls,
            ),
            (
                Plan {
                    uri: Some("exec:cat"),
                    ..fit.clone()
                },
                Unfit::Address("exec:cat".into()),
            ),
            (
                Plan {
                    build_bytes: 8,
                    ..fit.clone()
                },
                Unfit::Size {
                    guest_bytes: 7,
                    build_bytes: 8,
                },
            ),
            (
                Plan {
                    guest_bytes: None,
                    ..fit.clone()
                },
                Unfit::NoCode,
            ),
        ] {
            assert_eq!(unfit(&plan), Some(expected));
        }
    }
}
