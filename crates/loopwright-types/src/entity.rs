//! What all records have in common: a kind, an id, a state.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::fmt;

/// A record that the store keeps as a document under `(KIND, id)`.
pub trait Entity: Serialize + DeserializeOwned + Send + Sync {
    /// The kind, in snake case, part of stored keys: never change one.
    const KIND: &'static str;

    /// The id within the kind.
    fn id(&self) -> String;

    /// A short word to filter lists by (`"running"`, `"live"` …); empty where the kind has no states.
    fn state(&self) -> &str {
        ""
    }

    /// A pointer to this record.
    fn entity_ref(&self) -> EntityRef {
        EntityRef::new(Self::KIND, self.id())
    }
}

/// A pointer to a record of any kind, written `kind:id`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EntityRef {
    /// The record's kind, e.g. `model_version`.
    pub kind: String,
    /// The record's id within its kind.
    pub id: String,
}

impl EntityRef {
    /// A pointer from its two parts.
    pub fn new(kind: impl Into<String>, id: impl Into<String>) -> Self {
        Self { kind: kind.into(), id: id.into() }
    }
}

impl fmt::Display for EntityRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.id)
    }
}

/// Defines a `name@version` reference type.
macro_rules! versioned_ref {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name {
            /// The name, without `@`.
            pub name: String,
            /// Counted from 1. 0 is for what has no version here, and only behind a name with a slash.
            pub version: u32,
        }

        impl $name {
            /// A reference from its parts.
            pub fn new(name: impl Into<String>, version: u32) -> Self {
                Self { name: name.into(), version }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}@{}", self.name, self.version)
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                let wrong = || format!("expected {} as `name@version`, got `{text}`", $what);
                let (name, version) = text.rsplit_once('@').ok_or_else(wrong)?;
                let is_known = |version: &u32| *version > 0 || name.contains('/');
                let version = version.parse().ok().filter(is_known).ok_or_else(wrong)?;
                if name.is_empty() { Err(wrong()) } else { Ok(Self::new(name, version)) }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl From<&$name> for $crate::entity::EntityRef {
            fn from(it: &$name) -> Self {
                Self::new($kind, it.to_string())
            }
        }
    };
}
pub(crate) use versioned_ref;
