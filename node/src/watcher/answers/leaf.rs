//! Single fields of an answer, read without trust in their type.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::limits;

/// A field of an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Leaf<T> {
    /// Not given, or `null`: proto3 JSON leaves out what has its default.
    #[default]
    Absent,
    /// Given, and of the right type.
    Is(T),
    /// Of another type, or beyond its limit.
    Unreadable,
}

impl<T> Leaf<T> {
    /// The value, if there is one.
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Is(value) => Some(value),
            Self::Absent | Self::Unreadable => None,
        }
    }

    pub(super) fn is_unreadable(&self) -> bool {
        matches!(self, Self::Unreadable)
    }
}

/// A record that is an object: by itself serde takes an array for the fields in their order, too.
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Map<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Map<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Object<T>, M::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }
        from.deserialize_map(Map(PhantomData))
    }
}

/// What a leaf takes from each JSON type; everything else makes it unreadable.
pub trait LeafType: Sized {
    fn from_text(_: &str) -> Leaf<Self> {
        Leaf::Unreadable
    }

    fn from_integer(_: i64) -> Leaf<Self> {
        Leaf::Unreadable
    }

    fn from_map<'de, M: MapAccess<'de>>(mut map: M) -> Result<Leaf<Self>, M::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Leaf::Unreadable)
    }
}

impl LeafType for String {
    fn from_text(text: &str) -> Leaf<Self> {
        if text.len() <= limits::MAX_AGENT_TEXT_BYTES { Leaf::Is(text.into()) } else { Leaf::Unreadable }
    }
}

impl LeafType for i64 {
    /// proto3 JSON writes 64-bit integers as strings.
    fn from_text(text: &str) -> Leaf<Self> {
        text.parse().map_or(Leaf::Unreadable, Leaf::Is)
    }

    fn from_integer(number: i64) -> Leaf<Self> {
        Leaf::Is(number)
    }
}

impl<'de, T: LeafType> Deserialize<'de> for Leaf<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Any<T>(PhantomData<T>);
        impl<'de, T: LeafType> Visitor<'de> for Any<T> {
            type Value = Leaf<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }

            fn visit_unit<E: Error>(self) -> Result<Leaf<T>, E> {
                Ok(Leaf::Absent)
            }

            fn visit_bool<E: Error>(self, _: bool) -> Result<Leaf<T>, E> {
                Ok(Leaf::Unreadable)
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Leaf<T>, E> {
                Ok(T::from_integer(number))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Leaf<T>, E> {
                Ok(i64::try_from(number).map_or(Leaf::Unreadable, T::from_integer))
            }

            /// JSON has one kind of number: `3.0` is three.
            fn visit_f64<E: Error>(self, number: f64) -> Result<Leaf<T>, E> {
                /// Above this, doubles skip integers.
                const EXACT: f64 = 9_007_199_254_740_992.0;
                let whole = number.fract() == 0.0 && number.abs() <= EXACT;
                Ok(if whole { T::from_integer(number as i64) } else { Leaf::Unreadable })
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Leaf<T>, E> {
                Ok(T::from_text(text))
            }

            fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Leaf<T>, S::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Leaf::Unreadable)
            }

            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Leaf<T>, M::Error> {
                T::from_map(map)
            }
        }
        from.deserialize_any(Any(PhantomData))
    }
}
