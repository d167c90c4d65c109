//! The numbers of an alert's condition that can be set, and durations as Prometheus writes them.

use std::time::Duration;

/// A number of a condition that can be set, such as its threshold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Setting {
    /// What it is called in `alert.NAME.SETTING`.
    pub name: &'static str,
    /// The default.
    pub value: f64,
    /// What it is, with its unit.
    pub meaning: &'static str,
}

impl Setting {
    /// What the condition compares with.
    pub const THRESHOLD: &'static str = "threshold";

    /// The number that the condition compares with.
    #[must_use]
    pub const fn threshold(value: f64, meaning: &'static str) -> Self {
        Self { name: Self::THRESHOLD, value, meaning }
    }

    /// Another number.
    #[must_use]
    pub const fn new(name: &'static str, value: f64, meaning: &'static str) -> Self {
        Self { name, value, meaning }
    }
}

/// What was chosen for one alert, as its condition asks for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Chosen {
    numbers: Vec<(&'static str, f64)>,
    job: String,
}

impl Chosen {
    pub(crate) fn of(settings: &[Setting], job: &str) -> Self {
        let numbers = settings.iter().map(|setting| (setting.name, setting.value)).collect();
        Self { numbers, job: job.to_owned() }
    }

    /// The threshold.
    ///
    /// # Panics
    ///
    /// As [`number`](Self::number).
    #[must_use]
    pub fn threshold(&self) -> f64 {
        self.number(Setting::THRESHOLD)
    }

    /// One of the alert's settings.
    ///
    /// # Panics
    ///
    /// Where the alert has no such setting: its condition asks for what its own definition lacks.
    #[must_use]
    pub fn number(&self, name: &str) -> f64 {
        let found = self.numbers.iter().find(|(of, _)| *of == name);
        found
            .unwrap_or_else(|| panic!("the condition asks for the setting {name:?}, which its alert lacks"))
            .1
    }

    /// The job of the targets that it is about; empty where the alert is about none by its job.
    #[must_use]
    pub fn job(&self) -> &str {
        &self.job
    }
}

/// A duration as Prometheus writes it.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = if text == "0" { "0s" } else { text };
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        let unit = rest[digits..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |end| digits + end);
        let seconds = match &rest[digits..unit] {
            "ms" => {
                total = total.checked_add(Duration::from_millis(number))?;
                0
            }
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            "w" => 604_800,
            _ => return None,
        };
        total = total.checked_add(Duration::from_secs(number.checked_mul(seconds)?))?;
        rest = &rest[unit..];
    }
    (!text.is_empty()).then_some(total)
}

/// As Prometheus writes it: `1h30m`, `15m`, `0s`.
#[must_use]
pub fn duration(time: Duration) -> String {
    let millis = time.subsec_millis();
    let seconds = time.as_secs();
    let parts = [
        (u128::from(seconds / 3600), "h"),
        (u128::from(seconds % 3600 / 60), "m"),
        (u128::from(seconds % 60), "s"),
        (u128::from(millis), "ms"),
    ];
    let text: String = parts
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, unit)| format!("{number}{unit}"))
        .collect();
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_prometheus() {
        for (text, seconds) in
            [("0s", 0.0), ("90s", 90.0), ("15m", 900.0), ("1h30m", 5400.0), ("250ms", 0.25), ("0", 0.0)]
        {
            assert_eq!(parse_duration(text).map(|time| time.as_secs_f64()), Some(seconds), "{text}");
        }
        for text in ["0s", "15m", "1h30m", "1m30s", "250ms"] {
            assert_eq!(parse_duration(text).map(duration).as_deref(), Some(text));
        }
        for text in ["", "5", "m", "5 m", "-5m", "5y", "99999999999999999999s", "18446744073709551615d"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}
