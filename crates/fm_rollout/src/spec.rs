//! Whether what is asked for makes sense.

use fm_api::v1::rollout::RolloutSpec;

use crate::{Error, Result, Selector};

/// The most builds of one rollout: one for each layout there is, and some.
const MAX_BUILD_COUNT: usize = 8;
/// The most waves.
const MAX_WAVE_COUNT: usize = 16;
/// The most bytes of an expression.
const MAX_SELECT_BYTES: usize = 4096;
const MINUTES_A_DAY: u32 = 24 * 60;

/// Whether a rollout can be made of this, and the expression in it.
///
/// # Errors
/// [`Error::Spec`] or [`Error::Selector`].
pub fn check(spec: &RolloutSpec) -> Result<Selector> {
    let wrong = |member, why| Err(Error::Spec { member, why });
    if spec.builds.is_empty() || spec.builds.len() > MAX_BUILD_COUNT {
        return wrong("builds", "there have to be 1 to 8");
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
    Selector::parse(&spec.select)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_refused_with_the_member_that_it_is_in() {
        let build = "a".repeat(64).parse().unwrap();
        let good = RolloutSpec::new(vec![build], "all");
        check(&good).unwrap();
        type Change = fn(&mut RolloutSpec);
        let cases: [(&str, Change); 7] = [
            ("builds", |spec| spec.builds.clear()),
            ("waves", |spec| spec.waves = vec![10, 5, 100]),
            ("waves", |spec| spec.waves = vec![10, 50]),
            ("waves", |spec| spec.waves = vec![101]),
            ("advance_percent", |spec| spec.advance_percent = 0),
            ("health_timeout_s", |spec| spec.health_timeout_s = 0),
            ("select", |spec| spec.select = "x".repeat(5000)),
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
}
