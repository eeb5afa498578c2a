//! Moments for people: Unix milliseconds as a date of the proleptic Gregorian calendar, in UTC.

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// `2026-02-28 09:05:07`.
pub(super) fn utc(ms: u64) -> String {
    let (year, month, day) = date(ms / DAY_MS);
    let seconds = ms % DAY_MS / 1000;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

/// The same for a file's name: `20260228T090507Z`.
pub(super) fn stamp(ms: u64) -> String {
    let text: String = utc(ms).chars().filter(|letter| letter.is_ascii_digit()).collect();
    format!("{}T{}Z", &text[..text.len() - 6], &text[text.len() - 6..])
}

/// Year, month and day, so many days after 1970-01-01. Counted from March, leap days come last
/// (Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468; // Since 0000-03-01.
    let era = days / 146_097; // Of 400 years.
    let day = days % 146_097;
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153; // 0 is March.
    let day_of_month = day - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + carry, month, day_of_month)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (ms, expected) in [
            (0, "1970-01-01 00:00:00"),
            (951_782_399_999, "2000-02-28 23:59:59"),
            (951_782_400_000, "2000-02-29 00:00:00"),
            (951_868_800_000, "2000-03-01 00:00:00"),
            (1_772_269_507_000, "2026-02-28 09:05:07"),
            (1_772_323_200_000, "2026-03-01 00:00:00"),
            (4_107_542_399_000, "2100-02-28 23:59:59"),
            (4_107_542_400_000, "2100-03-01 00:00:00"),
        ] {
            assert_eq!(utc(ms), expected);
        }
        assert_eq!(stamp(1_772_269_507_000), "20260228T090507Z");
    }
}
