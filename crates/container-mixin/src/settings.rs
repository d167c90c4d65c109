//! What a user may change: the profile, and numbers and durations by key.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use mixin::Profile;

use crate::error::{Error, Result};
use crate::profile;

/// What the files are made for. The default is what is checked in.
#[derive(Debug, Clone)]
pub struct Settings {
    profile: Profile,
    set: BTreeMap<String, String>,
    /// The keys that were asked for: what is set beside them is a mistake of the user.
    asked: RefCell<BTreeSet<String>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { profile: Profile::NATIVE, set: BTreeMap::new(), asked: RefCell::default() }
    }
}

impl Settings {
    /// For another profile, by its name.
    ///
    /// # Errors
    ///
    /// There is none of this name.
    pub fn with_profile(mut self, name: &str) -> Result<Self> {
        self.profile = profile::named(name).ok_or_else(|| Error::UnknownProfile(name.to_owned()))?;
        Ok(self)
    }

    /// With one more setting, written `key=value`.
    ///
    /// # Errors
    ///
    /// It is not written so.
    pub fn with_set(mut self, setting: &str) -> Result<Self> {
        let parts = setting.split_once('=').map(|(key, value)| (key.trim(), value.trim()));
        let Some((key, value)) = parts.filter(|(key, value)| !key.is_empty() && !value.is_empty()) else {
            return Err(Error::Setting(setting.to_owned()));
        };
        self.set.insert(key.to_owned(), value.to_owned());
        Ok(self)
    }

    /// Whether it is what is checked in.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.profile.is_native() && self.set.is_empty()
    }

    /// The profile.
    #[must_use]
    pub const fn profile(&self) -> Profile {
        self.profile
    }

    fn ask(&self, key: &str) -> Option<&str> {
        self.asked.borrow_mut().insert(key.to_owned());
        self.set.get(key).map(String::as_str)
    }

    /// What is set under the key, or the default.
    #[must_use]
    pub fn text(&self, key: &str, default: &str) -> String {
        self.ask(key).unwrap_or(default).to_owned()
    }

    /// The number that is set under the key, or the default.
    ///
    /// # Errors
    ///
    /// It is no finite number.
    pub fn number(&self, key: &str, default: f64) -> Result<f64> {
        let Some(value) = self.ask(key) else { return Ok(default) };
        value.parse().ok().filter(|number: &f64| number.is_finite()).ok_or_else(|| Error::SettingValue {
            key: key.to_owned(),
            value: value.to_owned(),
            wanted: "a number",
        })
    }

    /// The duration that is set under the key, as Prometheus writes it (`30s`, `5m`, `1h30m`), or the default.
    ///
    /// # Errors
    ///
    /// It is no such duration.
    pub fn duration(&self, key: &str, default: &str) -> Result<String> {
        let Some(value) = self.ask(key) else { return Ok(default.to_owned()) };
        if is_duration(value) {
            return Ok(value.to_owned());
        }
        let wanted = "a duration such as 30s or 1h30m";
        Err(Error::SettingValue { key: key.to_owned(), value: value.to_owned(), wanted })
    }

    /// Refuses what nothing asked for.
    pub(crate) fn check_all_used(&self) -> Result<()> {
        let asked = self.asked.borrow();
        let Some(key) = self.set.keys().find(|key| !asked.contains(*key)) else { return Ok(()) };
        let shared = |other: &str| {
            key.bytes().rev().zip(other.bytes().rev()).take_while(|(a, b)| a == b).count()
                + key.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count()
        };
        let similar = asked.iter().max_by_key(|other| shared(other)).cloned();
        Err(Error::UnknownSetting { key: key.clone(), similar })
    }
}

/// Whole numbers with Prometheus' units, the greatest first.
fn is_duration(text: &str) -> bool {
    const UNITS: [&str; 7] = ["y", "w", "d", "h", "m", "s", "ms"];
    if text == "0" {
        return true;
    }
    let mut rest = text;
    let mut last = None;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let letters = rest[digits..].bytes().take_while(u8::is_ascii_lowercase).count();
        let unit = UNITS.iter().position(|unit| *unit == &rest[digits..digits + letters]);
        if digits == 0 || unit.is_none() || unit <= last {
            return false;
        }
        last = unit;
        rest = &rest[digits + letters..];
    }
    last.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_by_key() {
        let settings = Settings::default()
            .with_set("alert.A.threshold=0.8")
            .and_then(|s| s.with_set("alert.A.for=1h30m"));
        let settings = settings.expect("both are settings");
        assert_eq!(settings.number("alert.A.threshold", 0.9), Ok(0.8));
        assert_eq!(settings.number("alert.B.threshold", 0.5), Ok(0.5));
        assert_eq!(settings.duration("alert.A.for", "5m"), Ok("1h30m".to_owned()));
        assert_eq!(settings.check_all_used(), Ok(()));
        assert!(!settings.is_default());
    }

    #[test]
    fn a_setting_that_nothing_asks_for_is_refused() {
        let settings = Settings::default().with_set("alert.A.treshold=0.8").expect("a setting");
        settings.number("alert.A.threshold", 0.9).expect("the default");
        settings.number("alert.B.for", 0.9).expect("the default");
        let error = settings.check_all_used().expect_err("unknown").to_string();
        assert!(error.contains("did you mean alert.A.threshold?"), "{error}");
    }

    #[test]
    fn values_are_checked() {
        for bad in ["five", "NaN", "inf"] {
            let settings = Settings::default().with_set(&format!("k={bad}")).expect("a setting");
            assert!(settings.number("k", 1.0).is_err(), "{bad}");
        }
        for (text, good) in [
            ("0", true),
            ("5m", true),
            ("1h30m", true),
            ("30m1h", false),
            ("5", false),
            ("m", false),
            ("5 m", false),
        ] {
            assert_eq!(is_duration(text), good, "{text}");
        }
        assert!(Settings::default().with_set("alone").is_err());
        assert!(Settings::default().with_profile("nagios").is_err());
    }
}
