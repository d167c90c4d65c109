//! Times as engines write them: RFC 3339 with nanoseconds, and the list's words such as `Up 5 minutes`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Reads an RFC 3339 time. `None` if it is none, and for Go's zero time (`0001-01-01T00:00:00Z`) and any other
/// before 1970: no container ran then.
pub(crate) fn rfc3339(text: &str) -> Option<SystemTime> {
    let bytes = text.as_bytes();
    if bytes.len() < 20 || !text.is_ascii() {
        return None;
    }
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = &bytes[from..to];
        digits.iter().try_fold(0i64, |n, b| b.is_ascii_digit().then(|| n * 10 + i64::from(b - b'0')))
    };
    let punctuated = bytes[4] == b'-'
        && bytes[7] == b'-'
        && matches!(bytes[10], b'T' | b't' | b' ')
        && bytes[13] == b':'
        && bytes[16] == b':';
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let valid = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour <= 23
        && minute <= 59
        // A leap second counts as the one after it.
        && second <= 60;
    if !punctuated || !valid {
        return None;
    }
    let (nanos, zone) = fraction(&text[19..])?;
    let offset = offset_seconds(zone)?;
    let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - offset;
    let seconds = u64::try_from(seconds).ok()?;
    Some(UNIX_EPOCH + Duration::new(seconds, nanos))
}

/// Splits `.123456789Z` into nanoseconds and zone. Digits past the ninth are below our resolution.
fn fraction(rest: &str) -> Option<(u32, &str)> {
    let Some(digits) = rest.strip_prefix('.') else { return Some((0, rest)) };
    let end = digits.find(|c: char| !c.is_ascii_digit())?;
    if end == 0 {
        return None;
    }
    let mut nanos = 0;
    for place in 0..9 {
        let digit = if place < end { digits.as_bytes()[place] - b'0' } else { 0 };
        nanos = nanos * 10 + u32::from(digit);
    }
    Some((nanos, &digits[end..]))
}

/// `Z` or `±hh:mm`, in seconds east of Greenwich.
fn offset_seconds(zone: &str) -> Option<i64> {
    if matches!(zone, "Z" | "z") {
        return Some(0);
    }
    let sign = match zone.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = zone[1..].split_once(':')?;
    if hours.len() != 2 || minutes.len() != 2 {
        return None;
    }
    let (hours, minutes): (u8, u8) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours <= 23 && minutes <= 59).then(|| sign * (i64::from(hours) * 3_600 + i64::from(minutes) * 60))
}

/// Days from 1970-01-01 in the proleptic Gregorian calendar. Years are counted from March, so that the leap day
/// is the last of its year.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Unix seconds; zero and negative are Go's zero time.
pub(crate) fn unix_seconds(seconds: i64) -> Option<SystemTime> {
    unix(u64::try_from(seconds).ok()?, 0)
}

/// Unix nanoseconds, as events carry them.
pub(crate) fn unix_nanos(nanos: i64) -> Option<SystemTime> {
    let nanos = u64::try_from(nanos).ok()?;
    unix(nanos / 1_000_000_000, (nanos % 1_000_000_000) as u32)
}

fn unix(seconds: u64, nanos: u32) -> Option<SystemTime> {
    if seconds == 0 && nanos == 0 {
        return None;
    }
    UNIX_EPOCH.checked_add(Duration::new(seconds, nanos))
}

/// The age that the list's `Status` words stay below: `Up 5 seconds` is less than six seconds. The engine
/// rounds, so a unit and a half is allowed. `None` where the words give no age.
pub(crate) fn age_below(status: &str) -> Option<Duration> {
    let rest = match status.strip_prefix("Up ") {
        Some(rest) => rest,
        None => status.strip_prefix("Exited (")?.split_once(") ")?.1,
    };
    let mut words = rest.split_whitespace();
    let (count, unit) = match words.next()? {
        "Less" => return Some(Duration::from_secs(1)),
        "About" => {
            words.next()?;
            (1, words.next()?)
        }
        count => (count.parse::<u64>().ok()?, words.next()?),
    };
    let unit = match unit.trim_end_matches('s') {
        "second" => 1,
        "minute" => 60,
        "hour" => 3_600,
        "day" => 86_400,
        "week" => 7 * 86_400,
        "month" => 31 * 86_400,
        "year" => 366 * 86_400,
        _ => return None,
    };
    let seconds = count.checked_mul(unit)?.checked_add(unit + unit / 2)?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn nanos(text: &str) -> Option<u128> {
        rfc3339(text).map(|time| time.duration_since(UNIX_EPOCH).unwrap().as_nanos())
    }

    #[test]
    fn times() {
        // Expected values by `date -u -d … +%s`.
        let table: &[(&str, Option<u128>)] = &[
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2026-11-21T10:05:29.447585236Z", Some(1_795_255_529_447_585_236)),
            ("2026-11-21T10:05:29.96042225Z", Some(1_795_255_529_960_422_250)),
            ("2024-02-29T23:59:59Z", Some(1_709_251_199_000_000_000)),
            ("2000-03-01T00:00:00+01:30", Some(951_863_400_000_000_000)),
            ("2026-11-21T05:05:29.5-05:00", Some(1_795_255_529_500_000_000)),
            ("2026-11-21T10:05:29.1234567891234Z", Some(1_795_255_529_123_456_789)),
            ("0001-01-01T00:00:00Z", None),
            ("1969-12-31T23:59:59Z", None),
            ("", None),
            ("yesterday, about noon", None),
            ("2026-13-21T10:05:29Z", None),
            ("2026-11-21T25:05:29Z", None),
            ("2026-11-21T10:05:29", None),
            ("2026-11-21T10:05:29.Z", None),
            ("2026-11-21T10:05:29.5", None),
            ("2026-11-21T10:05:29+1:00", None),
            ("2026-11-21T10:05:29+é:00", None),
            ("+026-11-21T10:05:29Z", None),
        ];
        for (text, expect) in table {
            assert_eq!(nanos(text), *expect, "{text}");
        }
    }

    #[test]
    fn ages() {
        let table: &[(&str, Option<u64>)] = &[
            ("Up Less than a second", Some(1)),
            ("Up 1 second", Some(2)),
            ("Up 5 seconds (healthy)", Some(6)),
            ("Up About a minute", Some(150)),
            ("Up 3 minutes (Paused)", Some(270)),
            ("Up About an hour", Some(9_000)),
            ("Up 2 hours", Some(12_600)),
            ("Exited (137) 4 seconds ago", Some(5)),
            ("Exited (0) About a minute ago", Some(150)),
            ("Created", None),
            ("Restarting (1) 2 seconds ago", None),
            ("Up", None),
            ("Up many moons", None),
            ("Up 18446744073709551615 years", None),
        ];
        for (text, expect) in table {
            assert_eq!(age_below(text).map(|age| age.as_secs()), *expect, "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn nothing_panics(text in ".{0,40}", mut near in "[0-9TZ:.+ -]{18,36}") {
            let _ = rfc3339(&text);
            let _ = age_below(&text);
            near.push('Z');
            let _ = rfc3339(&near);
        }

        #[test]
        fn days_follow_one_another(year in 1970i64..9999, month in 1i64..13, day in 1i64..28) {
            prop_assert_eq!(days_from_civil(year, month, day) + 1, days_from_civil(year, month, day + 1));
            let first_of_next = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
            let length = days_from_civil(first_of_next.0, first_of_next.1, 1) - days_from_civil(year, month, 1);
            prop_assert!((28..=31).contains(&length));
        }
    }
}
