//! The wall's time: for what certificates and tokens say, and for display.

/// Seconds since 1970.
pub fn now_s() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// In RFC 3339, in UTC with whole seconds.
pub fn display(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds)
        .unwrap_or_default()
        .to_string()
}
