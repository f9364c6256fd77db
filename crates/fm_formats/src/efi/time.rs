//! `EFI_TIME`: sixteen bytes, and which of two is later.

use core::fmt;

/// `EFI_TIME` as stored with an authenticated variable: all 16 bytes, the padding too.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(pub [u8; 16]);

impl Time {
    /// A moment in UTC.
    #[must_use]
    pub const fn utc(year: u16, month: u8, day: u8, hour: u8, minute: u8, second: u8) -> Self {
        let [y0, y1] = year.to_le_bytes();
        Self([
            y0, y1, month, day, hour, minute, second, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        ])
    }

    /// Whether no time is set, as with every variable that is not authenticated by time.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.0 == [0; 16]
    }

    /// The later of two, as edk2 compares them: to the second, whatever the zone
    /// (`AuthServiceInternalCompareTimeStamp`).
    #[must_use]
    pub fn later(self, other: Self) -> Self {
        let key = |time: Self| {
            let [y0, y1, rest @ ..] = time.0;
            let [month, day, hour, minute, second, ..] = rest;
            (u16::from_le_bytes([y0, y1]), month, day, hour, minute, second)
        };
        if key(other) > key(self) { other } else { self }
    }

    /// Nanoseconds.
    #[must_use]
    pub const fn nanosecond(self) -> u32 {
        let [.., n0, n1, n2, n3, _, _, _, _] = self.0;
        u32::from_le_bytes([n0, n1, n2, n3])
    }

    /// Minutes from UTC; 2047 says local time.
    #[must_use]
    pub const fn time_zone(self) -> i16 {
        let [.., z0, z1, _, _] = self.0;
        i16::from_le_bytes([z0, z1])
    }

    /// Daylight-saving bits.
    #[must_use]
    pub const fn daylight(self) -> u8 {
        let [.., daylight, _] = self.0;
        daylight
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [y0, y1, month, day, hour, minute, second, ..] = self.0;
        let year = u16::from_le_bytes([y0, y1]);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"
        )?;
        if self.nanosecond() != 0 {
            write!(f, ".{:09}", self.nanosecond())?;
        }
        match self.time_zone() {
            0 => f.write_str("Z"),
            2047 => Ok(()),
            zone => {
                let sign = if zone < 0 { '-' } else { '+' };
                let minutes = zone.unsigned_abs();
                write!(f, "{sign}{:02}:{:02}", minutes / 60, minutes % 60)
            }
        }
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_compared_as_dates_not_as_bytes() {
        let (old, new) = (Time::utc(2011, 12, 1, 0, 0, 0), Time::utc(2304, 1, 1, 0, 0, 0));
        assert!(old.0 > new.0);
        assert_eq!((old.later(new), new.later(old)), (new, new));
        assert_eq!(Time::default().later(old), old);
    }
}
