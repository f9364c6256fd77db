//! A time of the day in which something may be done.

use std::fmt;
use std::str::FromStr;

/// A time of the day in UTC, over midnight where its end comes before its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    from_minute: u32,
    to_minute: u32,
}

impl Window {
    /// Whether a minute of the day is in it.
    #[must_use]
    pub const fn contains(self, minute: u32) -> bool {
        match self.from_minute <= self.to_minute {
            true => minute >= self.from_minute && minute < self.to_minute,
            false => minute >= self.from_minute || minute < self.to_minute,
        }
    }
}

impl FromStr for Window {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "a window has the form HH:MM-HH:MM";
        let minute = |text: &str| {
            let (hours, minutes) = text.split_once(':')?;
            let number = |text: &str| -> Option<u32> {
                let is_two_digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
                is_two_digits.then(|| text.parse().ok())?
            };
            let (hours, minutes) = (number(hours)?, number(minutes)?);
            (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)
        };
        let (from, to) = text.split_once('-').ok_or(FORM)?;
        match (minute(from), minute(to)) {
            (Some(from_minute), Some(to_minute)) if from_minute != to_minute => Ok(Self {
                from_minute,
                to_minute,
            }),
            _ => Err(FORM),
        }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [from, to] = [self.from_minute, self.to_minute];
        write!(
            f,
            "{:02}:{:02}-{:02}:{:02}",
            from / 60,
            from % 60,
            to / 60,
            to % 60
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_open_from_its_start_to_before_its_end_also_over_midnight() {
        let window = |text: &str| text.parse::<Window>().unwrap();
        let day = window("09:30-17:00");
        assert!(day.contains(9 * 60 + 30) && day.contains(16 * 60 + 59));
        assert!(!day.contains(9 * 60 + 29) && !day.contains(17 * 60));
        let night = window("22:00-04:00");
        assert!(night.contains(22 * 60) && night.contains(0) && night.contains(4 * 60 - 1));
        assert!(!night.contains(4 * 60) && !night.contains(12 * 60));
        assert_eq!(night.to_string(), "22:00-04:00");
        for nonsense in [
            "",
            "22:00",
            "24:00-01:00",
            "01:60-02:00",
            "02:00-02:00",
            "a:b-c:d",
            "1:05-2:06",
            "+1:05-02:06",
        ] {
            assert!(nonsense.parse::<Window>().is_err(), "{nonsense}");
        }
    }
}
