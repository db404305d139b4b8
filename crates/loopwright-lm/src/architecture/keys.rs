//! A JSON object read key by key: what is asked for is checked, and what nobody asked for is refused in the end.

use crate::error::{Error, Kind, Result};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// Largest size that we take from a file: far above any model's, and products of two of them still fit.
const SIZE_MAX: usize = 1 << 24;

/// The keys of one object. `null` counts as absent.
pub(crate) struct Keys<'a> {
    /// What the object is, for messages: `model configuration`.
    what: String,
    object: &'a Map<String, Value>,
    unread: BTreeSet<&'a str>,
}

impl<'a> Keys<'a> {
    pub(crate) fn new(what: &str, value: &'a Value) -> Result<Self> {
        let Some(object) = value.as_object() else {
            return Err(Error::new(Kind::BadConfig, format!("{what}: expected an object, got {value}")));
        };
        Ok(Self { what: what.into(), object, unread: object.keys().map(String::as_str).collect() })
    }

    /// An error about this object.
    pub(crate) fn refuse<T>(&self, message: impl std::fmt::Display) -> Result<T> {
        Err(Error::new(Kind::BadConfig, format!("{}: {message}", self.what)))
    }

    /// `key` must be such and such, got this.
    fn wrong<T>(&self, key: &str, expected: &str, got: &Value) -> Result<T> {
        self.refuse(format!("`{key}` must be {expected}, got {got}"))
    }

    /// The value of a key, if there is one.
    pub(crate) fn value(&mut self, key: &str) -> Option<&'a Value> {
        self.unread.remove(key);
        self.object.get(key).filter(|value| !value.is_null())
    }

    /// The same, not yet counted as read.
    pub(crate) fn peek(&self, key: &str) -> Option<&'a Value> {
        self.object.get(key).filter(|value| !value.is_null())
    }

    /// Whether the key stands there, be it with null.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.object.contains_key(key)
    }

    fn present<T>(&self, key: &str, value: Option<T>) -> Result<T> {
        match value {
            Some(value) => Ok(value),
            None => self.refuse(format!("missing field `{key}`")),
        }
    }

    /// A positive whole number.
    pub(crate) fn size_if(&mut self, key: &str) -> Result<Option<usize>> {
        let Some(value) = self.value(key) else { return Ok(None) };
        match value.as_u64().and_then(|size| usize::try_from(size).ok()) {
            Some(0) | None => self.wrong(key, "positive", value),
            Some(size) if size > SIZE_MAX => self.wrong(key, &format!("at most {SIZE_MAX}"), value),
            size => Ok(size),
        }
    }

    pub(crate) fn size(&mut self, key: &str) -> Result<usize> {
        let size = self.size_if(key)?;
        self.present(key, size)
    }

    /// A finite number.
    pub(crate) fn number_if(&mut self, key: &str) -> Result<Option<f64>> {
        let Some(value) = self.value(key) else { return Ok(None) };
        match value.as_f64().filter(|number| number.is_finite()) {
            None => self.wrong(key, "a number", value),
            number => Ok(number),
        }
    }

    pub(crate) fn number(&mut self, key: &str) -> Result<f64> {
        let number = self.number_if(key)?;
        self.present(key, number)
    }

    /// A number above 0.
    pub(crate) fn positive_if(&mut self, key: &str) -> Result<Option<f64>> {
        match self.number_if(key)? {
            Some(number) if number <= 0.0 => self.wrong(key, "positive", &number.into()),
            number => Ok(number),
        }
    }

    pub(crate) fn flag(&mut self, key: &str) -> Result<bool> {
        let Some(value) = self.value(key) else { return Ok(false) };
        value.as_bool().map_or_else(|| self.wrong(key, "true or false", value), Ok)
    }

    pub(crate) fn text(&mut self, key: &str) -> Result<Option<&'a str>> {
        let Some(value) = self.value(key) else { return Ok(None) };
        value.as_str().map_or_else(|| self.wrong(key, "a text", value), |text| Ok(Some(text)))
    }

    /// A list of texts.
    pub(crate) fn texts(&mut self, key: &str) -> Result<Option<Vec<&'a str>>> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let texts = value.as_array().and_then(|list| list.iter().map(Value::as_str).collect::<Option<Vec<_>>>());
        texts.map_or_else(|| self.wrong(key, "a list of texts", value), |texts| Ok(Some(texts)))
    }

    /// A token, a list of tokens, or nothing.
    pub(crate) fn tokens(&mut self, key: &str) -> Result<Vec<u32>> {
        let Some(value) = self.value(key) else { return Ok(Vec::new()) };
        let one = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
        let tokens = match value.as_array() {
            Some(list) => list.iter().map(one).collect::<Option<Vec<u32>>>(),
            None => one(value).map(|id| vec![id]),
        };
        tokens.map_or_else(|| self.wrong(key, "a token's number", value), Ok)
    }

    /// Refuses any value but the given one; absent is as good.
    pub(crate) fn only(&mut self, key: &str, expected: impl Into<Value>) -> Result<()> {
        let expected = expected.into();
        match self.value(key) {
            Some(value) if *value != expected => self.wrong(key, &expected.to_string(), value),
            _ => Ok(()),
        }
    }

    /// Passes over keys that do not change what a model computes.
    pub(crate) fn ignore(&mut self, keys: &[&str]) {
        self.unread.retain(|key| !keys.contains(key));
    }

    /// Passes over keys that are switched off, and refuses what is left by its name: it may change what the model
    /// computes.
    pub(crate) fn finish(self) -> Result<()> {
        let off = |value: &Value| match value {
            Value::Null | Value::Bool(false) => true,
            Value::Array(list) => list.is_empty(),
            Value::Object(object) => object.is_empty(),
            _ => false,
        };
        let left = self.unread.iter().map(|key| (key, &self.object[*key])).find(|(_, value)| !off(value));
        match left {
            None => Ok(()),
            Some((key, value)) => {
                let hint = "if it does not change what the model computes, remove the key";
                self.refuse(format!("`{key}` is not supported, got {value}\nhint: {hint}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_checked_and_leftovers_refused() {
        let value = json!({"a": 3, "b": 0, "c": null, "d": [1, 2], "e": false, "f": "x", "g": 1.5});
        let mut keys = Keys::new("thing", &value).unwrap();
        assert_eq!(keys.size("a").unwrap(), 3);
        assert!(keys.size("b").unwrap_err().to_string().contains("thing: `b` must be positive, got 0"));
        let huge = json!({"a": 1u64 << 60});
        assert!(Keys::new("thing", &huge).unwrap().size("a").unwrap_err().to_string().contains("at most 16777216"));
        assert!(keys.size("c").unwrap_err().to_string().contains("missing field `c`"));
        assert_eq!(keys.tokens("d").unwrap(), [1, 2]);
        assert!(keys.only("f", "y").unwrap_err().to_string().contains("`f` must be \"y\", got \"x\""));
        assert!(keys.flag("g").is_err());
        assert!(keys.finish().is_ok(), "`e` is off");
        let mut keys = Keys::new("thing", &value).unwrap();
        keys.ignore(&["a", "b", "d", "f"]);
        assert!(keys.finish().unwrap_err().to_string().contains("`g` is not supported, got 1.5"));
    }
}
