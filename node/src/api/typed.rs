//! Typed records (platforms, cells, tracks, commands) as documents.
//!
//! A record is the document `{collection}/{id}`: one JSON object with snake_case keys, enums as their
//! numbers, 64-bit integers as JSON numbers, absent optional fields absent. Fields that are not optional
//! are always written, zero or not, so that a typed put is fully visible to GetDocument.
//!
//! - A typed **put** writes over the document that is there: keys that are no field of the record stay,
//!   so an application may keep fields of its own beside ours. The read and the write are one step
//!   ([`NodeHandle::modify`](crate::node::NodeHandle::modify)): nothing written between them is lost.
//! - A typed **get** is lenient, since any JSON may have been put as a document: a missing field has its
//!   default, a field of the wrong JSON type counts as missing, keys that are no field are ignored. The
//!   document's id is the record's id, whatever its `id` key says.

use buffa::{EnumValue, Enumeration};
use peat_proto::server::{Cell, Command, Platform, Track};
use serde_json::{Map, Number, Value};

use crate::core::key::{DocKey, KeyError};

/// The content of a document.
pub(super) type Fields = Map<String, Value>;

/// Why a typed record cannot be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum RecordError {
    #[error("{record} is missing; send the record to write")]
    Missing { record: &'static str },
    #[error("{record}.id is empty; give it the id that the document is to have")]
    NoId { record: &'static str },
    #[error("{record}.id is no document id: {source}")]
    Id { record: &'static str, source: KeyError },
    #[error("{record}.{field} is {given}, which JSON cannot express; send a finite number")]
    NotFinite { record: &'static str, field: &'static str, given: f64 },
}

/// A message that is kept as a document.
pub(super) trait Record: Sized {
    /// What a client calls it in a request.
    const NAME: &'static str;
    /// Where its documents are.
    const COLLECTION: &'static str;
    /// Its JSON keys, `id` first.
    #[cfg_attr(not(test), expect(dead_code, reason = "checked against the contract"))]
    const FIELDS: &'static [&'static str];

    /// Its id.
    fn id(&self) -> &str;
    /// Writes every field over `into`.
    fn write(&self, into: &mut Fields) -> Result<(), RecordError>;
    /// Reads what can be read.
    fn read(id: String, from: &Fields) -> Self;
}

/// Checks what can be checked before the document is read.
pub(super) fn check<R: Record>(record: &R) -> Result<(), RecordError> {
    if record.id().is_empty() {
        return Err(RecordError::NoId { record: R::NAME });
    }
    match DocKey::new(R::COLLECTION, record.id()) {
        Ok(_) => Ok(()),
        Err(source) => Err(RecordError::Id { record: R::NAME, source }),
    }
}

/// The text to put: `record` over the text that is there, if any.
pub(super) fn to_document<R: Record>(record: &R, current: Option<&str>) -> Result<String, RecordError> {
    let mut fields = current.map(parse).unwrap_or_default();
    record.write(&mut fields)?;
    Ok(Value::Object(fields).to_string())
}

/// The record that a document holds.
pub(super) fn from_document<R: Record>(id: String, text: &str) -> R {
    R::read(id, &parse(text))
}

/// The store holds objects only; anything else reads as an empty one rather than hiding the others.
fn parse(text: &str) -> Fields {
    serde_json::from_str(text).unwrap_or_default()
}

/// A field of a record, in both directions.
trait Field: Sized + Default {
    /// The JSON value; `None`: leave the key out. The error is the number that JSON lacks.
    fn to_json(&self) -> Result<Option<Value>, f64>;
    /// `None`: the value has another type.
    fn from_json(value: &Value) -> Option<Self>;
}

impl Field for String {
    fn to_json(&self) -> Result<Option<Value>, f64> {
        Ok(Some(Value::from(self.as_str())))
    }

    fn from_json(value: &Value) -> Option<Self> {
        value.as_str().map(Into::into)
    }
}

impl Field for Vec<String> {
    fn to_json(&self) -> Result<Option<Value>, f64> {
        Ok(Some(Value::from(self.as_slice())))
    }

    /// Items of another type are skipped.
    fn from_json(value: &Value) -> Option<Self> {
        value.as_array().map(|items| items.iter().filter_map(String::from_json).collect())
    }
}

impl Field for f64 {
    fn to_json(&self) -> Result<Option<Value>, f64> {
        Number::from_f64(*self).map(|n| Some(Value::Number(n))).ok_or(*self)
    }

    fn from_json(value: &Value) -> Option<Self> {
        value.as_f64()
    }
}

impl Field for i64 {
    fn to_json(&self) -> Result<Option<Value>, f64> {
        Ok(Some(Value::from(*self)))
    }

    fn from_json(value: &Value) -> Option<Self> {
        integer(value)
    }
}

impl Field for u32 {
    fn to_json(&self) -> Result<Option<Value>, f64> {
        Ok(Some(Value::from(*self)))
    }

    fn from_json(value: &Value) -> Option<Self> {
        integer(value).and_then(|n| n.try_into().ok())
    }
}

impl<E: Enumeration + Default> Field for EnumValue<E> {
    fn to_json(&self) -> Result<Option<Value>, f64> {
        Ok(Some(Value::from(self.to_i32())))
    }

    /// Numbers that this version does not know are kept, for clients that do.
    fn from_json(value: &Value) -> Option<Self> {
        integer(value).and_then(|n| i32::try_from(n).ok()).map(Self::from)
    }
}

impl<F: Field> Field for Option<F> {
    fn to_json(&self) -> Result<Option<Value>, f64> {
        self.as_ref().map_or(Ok(None), F::to_json)
    }

    fn from_json(value: &Value) -> Option<Self> {
        F::from_json(value).map(Some)
    }
}

/// An integer, also when it is written as `3.0` or `3e0`: JSON has one kind of number.
fn integer(value: &Value) -> Option<i64> {
    /// Above this, doubles skip integers.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    value.as_i64().or_else(|| value.as_f64().filter(|n| n.fract() == 0.0 && n.abs() <= EXACT).map(|n| n as i64))
}

fn write_field<F: Field>(
    into: &mut Fields,
    record: &'static str,
    field: &'static str,
    value: &F,
) -> Result<(), RecordError> {
    match value.to_json() {
        Ok(Some(json)) => {
            into.insert(field.into(), json);
            Ok(())
        }
        Ok(None) => {
            into.shift_remove(field);
            Ok(())
        }
        Err(given) => Err(RecordError::NotFinite { record, field, given }),
    }
}

fn read_field<F: Field>(from: &Fields, field: &str) -> F {
    from.get(field).and_then(F::from_json).unwrap_or_default()
}

/// Implements [`Record`] for a generated message. The field names are Rust's, the contract's and JSON's.
macro_rules! record {
    ($message:ident, $name:literal in $collection:literal: $($field:ident),+ $(,)?) => {
        impl Record for $message {
            const NAME: &'static str = $name;
            const COLLECTION: &'static str = $collection;
            const FIELDS: &'static [&'static str] = &["id", $(stringify!($field)),+];

            fn id(&self) -> &str {
                &self.id
            }

            fn write(&self, into: &mut Fields) -> Result<(), RecordError> {
                write_field(into, $name, "id", &self.id)?;
                $(write_field(into, $name, stringify!($field), &self.$field)?;)+
                Ok(())
            }

            fn read(id: String, from: &Fields) -> Self {
                Self { id, $($field: read_field(from, stringify!($field)),)+ ..Default::default() }
            }
        }
    };
}

record!(Platform, "platform" in "platforms":
    platform_type, name, status, latitude, longitude, altitude_m, readiness, capabilities, unit_id, callsign);
record!(Cell, "cell" in "cells":
    name, status, platform_count, center_latitude, center_longitude, capabilities, formation_id, leader_id);
record!(Track, "track" in "tracks":
    source_platform, cell_id, formation_id, latitude, longitude, altitude_m, cep_m, heading_deg, speed_mps,
    classification, confidence, category);
record!(Command, "command" in "commands":
    target_id, command_type, status, created_at, expires_at, payload_json);

#[cfg(test)]
mod tests;
