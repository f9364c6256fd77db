//! Which wave a guest has its turn in: a matter of the rollout and the guest alone, so that it is the same wherever it is
//! computed.

use fm_formats::Sha256;

/// Where a guest stands among all guests of a rollout: spread evenly over all numbers.
#[must_use]
pub fn position(rollout: &str, guest: &str) -> u64 {
    let digest = Sha256::of(format!("{rollout}\n{guest}").as_bytes()).to_bytes();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    u64::from_be_bytes(first)
}

/// The wave of a position, counted from 1: 0 is for those that go first, whatever their position.
#[must_use]
pub fn wave_of(position: u64, percents: &[u32]) -> u32 {
    let percent = (u128::from(position) * 100) >> 64;
    let before = percents
        .iter()
        .take_while(|until| u128::from(**until) <= percent)
        .count();
    u32::try_from(before).unwrap_or(u32::MAX).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAVES: [u32; 4] = [1, 10, 50, 100];

    #[test]
    fn every_position_has_a_wave_and_the_bounds_are_where_they_are_said_to_be() {
        assert_eq!(wave_of(0, &WAVES), 1);
        assert_eq!(wave_of(u64::MAX, &WAVES), 4);
        let at = |percent: u64| u64::MAX / 100 * percent;
        assert_eq!(wave_of(at(1) - 1000, &WAVES), 1);
        assert_eq!(wave_of(at(1) + 1000, &WAVES), 2);
        assert_eq!(wave_of(at(10) + 1000, &WAVES), 3);
        assert_eq!(wave_of(at(50) + 1000, &WAVES), 4);
    }

    #[test]
    fn guests_spread_over_the_waves_as_their_percents_say() {
        let mut counts = [0_u32; 4];
        for guest in 0..20_000 {
            let wave = wave_of(position("a rollout", &format!("guest-{guest}")), &WAVES);
            counts[wave as usize - 1] += 1;
        }
        for (count, wanted) in counts.into_iter().zip([200, 1800, 8000, 10_000]) {
            assert!(count.abs_diff(wanted) < wanted / 5, "{counts:?}");
        }
    }

    #[test]
    fn another_rollout_begins_with_other_guests() {
        let first = |rollout: &str| {
            let mut guests: Vec<String> = (0..1000).map(|guest| format!("g{guest}")).collect();
            guests.sort_by_key(|guest| position(rollout, guest));
            guests.into_iter().take(10).collect::<Vec<_>>()
        };
        assert_eq!(first("a"), first("a"));
        assert_ne!(first("a"), first("b"));
    }
}
