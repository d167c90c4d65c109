//! Reads JSON of strangers: a field that is missing, null, huge or of the wrong type costs that field only.
//!
//! A derived `Deserialize` gives up on the whole document at the first odd value, and on the whole list at the
//! first odd container. Here a document is split into its fields without decoding them, and each field that is
//! wanted is decoded on its own.

use std::{borrow::Cow, cell::Cell, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// Counts the values that could not be understood.
#[derive(Debug, Default)]
pub(crate) struct Faults(Cell<u32>);

impl Faults {
    /// One more.
    pub(crate) fn add(&self) {
        self.0.set(self.0.get().saturating_add(1));
    }

    /// Whether there was any.
    pub(crate) fn any(&self) -> bool {
        self.0.get() > 0
    }
}

/// The fields of one JSON object, undecoded, in their order.
#[derive(Debug, Default)]
pub(crate) struct Object<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Object<'a> {
    /// Splits a document; `None` if it is not an object.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// A field that is there and not null. Of fields of one name the last counts, as with Go's encoder.
    pub(crate) fn raw(&self, key: &str) -> Option<&'a str> {
        let (_, raw) = self.0.iter().rev().find(|(name, _)| name == key)?;
        let text = raw.get();
        (text != "null").then_some(text)
    }

    fn decode<T: Deserialize<'a>>(&self, key: &str, faults: &Faults) -> Option<T> {
        let decoded = serde_json::from_str(self.raw(key)?).ok();
        if decoded.is_none() {
            faults.add();
        }
        decoded
    }

    /// A string.
    pub(crate) fn text(&self, key: &str, faults: &Faults) -> Option<String> {
        self.decode(key, faults)
    }

    /// A string that says something.
    pub(crate) fn word(&self, key: &str, faults: &Faults) -> Option<String> {
        self.text(key, faults).filter(|word| !word.is_empty())
    }

    /// A boolean.
    pub(crate) fn flag(&self, key: &str, faults: &Faults) -> Option<bool> {
        self.decode(key, faults)
    }

    /// A whole number; one written as `1e9` or `1.0` counts.
    pub(crate) fn integer(&self, key: &str, faults: &Faults) -> Option<i64> {
        let text = self.raw(key)?;
        let number = text.parse().ok().or_else(|| {
            let float: f64 = serde_json::from_str(text).ok()?;
            // Beyond 2^53 a float is no longer a count.
            (float.fract() == 0.0 && float.abs() <= 9_007_199_254_740_992.0).then_some(float as i64)
        });
        if number.is_none() {
            faults.add();
        }
        number
    }

    /// An object.
    pub(crate) fn object(&self, key: &str, faults: &Faults) -> Option<Object<'a>> {
        self.decode(key, faults)
    }

    /// The elements of an array, undecoded.
    pub(crate) fn array(&self, key: &str, faults: &Faults) -> Option<Vec<&'a RawValue>> {
        self.decode(key, faults)
    }

    /// The names of the fields.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(key, _)| key.as_ref())
    }

    /// The fields that are strings; others are faults.
    pub(crate) fn strings(&self, faults: &Faults) -> impl Iterator<Item = (&str, String)> {
        self.0.iter().filter_map(move |(key, raw)| match serde_json::from_str(raw.get()) {
            Ok(value) => Some((key.as_ref(), value)),
            Err(_) => {
                faults.add();
                None
            }
        })
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::with_capacity(32);
                while let Some(Key(key)) = map.next_key()? {
                    fields.push((key, map.next_value()?));
                }
                Ok(Object(fields))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

/// The name of a field, borrowed unless it holds escapes (serde's own `Cow` always owns).
struct Key<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Key<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;
        impl<'de> Visitor<'de> for Name {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a field's name")
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Borrowed(name)))
            }

            fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Owned(name.to_owned())))
            }
        }
        deserializer.deserialize_str(Name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_fields_cost_only_themselves() {
        let text = r#"{"a":1e999,"b":"\ud800","c":{"x":1},"n":null,"dup":1,"dup":2,"\u0065":"esc",
            "f":1.5e2,"half":0.5,"big":18446744073709551616,"d":{"d":{"d":[[[[]]]]}},"ok":"yes"}"#;
        let object = Object::parse(text).unwrap();
        let faults = Faults::default();
        assert_eq!(object.integer("a", &faults), None);
        assert_eq!(object.text("b", &faults), None);
        assert_eq!(object.text("c", &faults), None);
        assert_eq!(object.integer("half", &faults), None);
        assert_eq!(object.integer("big", &faults), None);
        assert_eq!(faults.0.get(), 5);
        assert_eq!(object.text("n", &faults), None);
        assert_eq!(object.text("absent", &faults), None);
        assert_eq!(object.integer("dup", &faults), Some(2));
        assert_eq!(object.integer("f", &faults), Some(150));
        assert_eq!(object.text("e", &faults).as_deref(), Some("esc"));
        assert_eq!(object.text("ok", &faults).as_deref(), Some("yes"));
        assert_eq!(faults.0.get(), 5, "null and missing are no faults");
    }

    #[test]
    fn what_is_no_object_is_none() {
        for text in ["", "[]", "\"x\"", "{", "{\"a\":}", "null", "{} trailing"] {
            assert!(Object::parse(text).is_none(), "{text}");
        }
    }
}
