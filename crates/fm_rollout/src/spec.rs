//! Whether what is asked for makes sense.

use fm_api::v1::fleet::CertificateSet;
use fm_api::v1::rollout::{RolloutSpec, TakesAt};

use crate::{Error, Result, Selector};

/// The most builds of one rollout: one for each layout there is, and some.
const MAX_BUILD_COUNT: usize = 8;
/// The most waves.
const MAX_WAVE_COUNT: usize = 16;
/// The most bytes of an expression.
const MAX_SELECT_BYTES: usize = 4096;
const MAX_QUERY_BYTES: usize = 4096;
const MINUTES_A_DAY: u32 = 24 * 60;

/// Whether a rollout can be made of this, and the expression in it.
///
/// # Errors
/// [`Error::Spec`] or [`Error::Selector`].
pub fn check(spec: &RolloutSpec) -> Result<Selector> {
    let wrong = |member, why| Err(Error::Spec { member, why });
    match spec.certificates {
        None if spec.builds.is_empty() || spec.builds.len() > MAX_BUILD_COUNT => {
            return wrong("builds", "there have to be 1 to 8");
        }
        None => {}
        Some(CertificateSet::Unknown) => {
            return wrong("certificates", "this version does not know them: it knows 2023");
        }
        Some(CertificateSet::Microsoft2023) if !spec.builds.is_empty() => {
            return wrong("builds", "a rollout brings builds or certificates, and not both");
        }
        Some(CertificateSet::Microsoft2023) => {}
    }
    match spec.at {
        TakesAt::Start => {}
        TakesAt::Unknown => return wrong("at", "it is start or reset"),
        TakesAt::Reset if spec.certificates.is_some() => {
            return wrong(
                "at",
                "certificates are enrolled while a guest is off, and not at a reset",
            );
        }
        TakesAt::Reset if spec.restart.is_some() => {
            return wrong("at", "a guest that is shut down does not reset itself");
        }
        TakesAt::Reset => {}
    }
    if let Some(query) = &spec.health.query
        && (query.trim().is_empty() || query.len() > MAX_QUERY_BYTES)
    {
        return wrong("health.query", "it is an expression of 1 to 4096 bytes");
    }
    let mut last = 0;
    for percent in &spec.waves {
        if *percent <= last || *percent > 100 {
            return wrong("waves", "they are percents that rise up to 100");
        }
        last = *percent;
    }
    if last != 100 || spec.waves.len() > MAX_WAVE_COUNT {
        return wrong("waves", "there are 1 to 16, and the last one is 100");
    }
    if spec.advance_percent == 0 || spec.advance_percent > 100 {
        return wrong("advance_percent", "it is 1 to 100");
    }
    if spec.health_timeout_s == 0 {
        return wrong("health_timeout_s", "a guest needs time to boot");
    }
    if let Some(window) = &spec.restart {
        if window.from_minute >= MINUTES_A_DAY || window.to_minute >= MINUTES_A_DAY {
            return wrong("restart", "a day has 1440 minutes");
        }
        if window.shutdown_timeout_s == 0 {
            return wrong("restart", "a guest needs time to shut down");
        }
    }
    if spec.select.len() > MAX_SELECT_BYTES {
        return wrong("select", "it is longer than 4096 bytes");
    }
    let selector = Selector::parse(&spec.select)?;
    if spec.certificates.is_some() && selector.is_all() {
        return wrong(
            "select",
            "whose keys are changed has to be said, and is not `all`",
        );
    }
    Ok(selector)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fm_api::v1::fleet::RestartWindow;

    #[test]
    fn what_makes_no_sense_is_refused_with_the_member_that_it_is_in() {
        let build = "a".repeat(64).parse().unwrap();
        let good = RolloutSpec::new(vec![build], "all");
        check(&good).unwrap();
        type Change = fn(&mut RolloutSpec);
        let cases: [(&str, Change); 10] = [
            ("builds", |spec| spec.builds.clear()),
            ("waves", |spec| spec.waves = vec![10, 5, 100]),
            ("waves", |spec| spec.waves = vec![10, 50]),
            ("waves", |spec| spec.waves = vec![101]),
            ("advance_percent", |spec| spec.advance_percent = 0),
            ("health_timeout_s", |spec| spec.health_timeout_s = 0),
            ("select", |spec| spec.select = "x".repeat(5000)),
            ("at", |spec| spec.at = TakesAt::Unknown),
            ("at", |spec| {
                spec.at = TakesAt::Reset;
                spec.restart = Some(RestartWindow {
                    from_minute: 0,
                    to_minute: 0,
                    shutdown_timeout_s: 1,
                });
            }),
            ("health.query", |spec| spec.health.query = Some(" ".into())),
        ];
        for (member, change) in cases {
            let mut spec = good.clone();
            change(&mut spec);
            match check(&spec) {
                Err(Error::Spec { member: found, .. }) => assert_eq!(found, member),
                other => panic!("{member}: {other:?}"),
            }
        }
    }

    #[test]
    fn certificates_are_for_guests_that_are_named_and_go_with_no_build_and_no_reset() {
        let good = RolloutSpec::of_certificates(CertificateSet::Microsoft2023, "name~web");
        check(&good).unwrap();
        type Change = fn(&mut RolloutSpec);
        let cases: [(&str, Change); 5] = [
            ("select", |spec| spec.select = " (all) ".into()),
            ("builds", |spec| {
                spec.builds = vec!["a".repeat(64).parse().unwrap()]
            }),
            ("certificates", |spec| {
                spec.certificates = Some(CertificateSet::Unknown)
            }),
            ("at", |spec| spec.at = TakesAt::Reset),
            ("builds", |spec| spec.certificates = None),
        ];
        for (member, change) in cases {
            let mut spec = good.clone();
            change(&mut spec);
            let wrong = check(&spec).unwrap_err();
            assert!(
                matches!(wrong, Error::Spec { member: found, .. } if found == member),
                "{member}: {wrong}"
            );
        }
    }

    /// For each limit: the last value that is taken, and those beyond it that are not.
    #[test]
    fn each_number_of_a_rollout_has_its_limits() {
        let build = |number: u64| format!("{number:064x}").parse().unwrap();
        let good = RolloutSpec::new(vec![build(0)], "all");
        let window = |from_minute, to_minute, shutdown_timeout_s| {
            Some(RestartWindow {
                from_minute,
                to_minute,
                shutdown_timeout_s,
            })
        };
        let rising = |count: u32| (101 - count..=100).collect::<Vec<_>>();
        type Change<'a> = &'a dyn Fn(&mut RolloutSpec);
        let cases: [(Option<&str>, Change<'_>); 30] = [
            (None, &|spec| spec.builds = (0..8).map(build).collect()),
            (Some("builds"), &|spec| spec.builds = (0..9).map(build).collect()),
            (None, &|spec| spec.waves = vec![100]),
            (None, &|spec| spec.waves = vec![1, 100]),
            (Some("waves"), &|spec| spec.waves = vec![]),
            (Some("waves"), &|spec| spec.waves = vec![0, 100]),
            (Some("waves"), &|spec| spec.waves = vec![10, 10, 100]),
            (Some("waves"), &|spec| spec.waves = vec![100, 100]),
            (Some("waves"), &|spec| spec.waves = vec![99]),
            (Some("waves"), &|spec| spec.waves = vec![50, 101]),
            (None, &|spec| spec.waves = rising(16)),
            (Some("waves"), &|spec| spec.waves = rising(17)),
            (None, &|spec| spec.advance_percent = 1),
            (None, &|spec| spec.advance_percent = 100),
            (Some("advance_percent"), &|spec| spec.advance_percent = 101),
            (None, &|spec| spec.health_timeout_s = 1),
            (None, &|spec| spec.restart = window(0, 0, 1)),
            (None, &|spec| spec.restart = window(1439, 1439, 1)),
            (Some("restart"), &|spec| spec.restart = window(1440, 0, 1)),
            (Some("restart"), &|spec| spec.restart = window(0, 1440, 1)),
            (Some("restart"), &|spec| spec.restart = window(0, 0, 0)),
            (None, &|spec| spec.select = format!("name={}", "x".repeat(4091))),
            (Some("select"), &|spec| {
                spec.select = format!("name={}", "x".repeat(4092))
            }),
            (None, &|spec| spec.health.query = Some("x".into())),
            (None, &|spec| spec.health.query = Some("x".repeat(4096))),
            (Some("health.query"), &|spec| {
                spec.health.query = Some("x".repeat(4097))
            }),
            (Some("health.query"), &|spec| {
                spec.health.query = Some(String::new())
            }),
            (None, &|spec| spec.at = TakesAt::Start),
            (None, &|spec| spec.at = TakesAt::Reset),
            (None, &|spec| spec.select = "name=web".into()),
        ];
        for (number, (member, change)) in cases.into_iter().enumerate() {
            let mut spec = good.clone();
            change(&mut spec);
            let refused = match check(&spec) {
                Ok(_) => None,
                Err(Error::Spec { member, .. }) => Some(member),
                Err(other) => panic!("{other}"),
            };
            assert_eq!(refused, member, "case {number}");
        }
    }
}
