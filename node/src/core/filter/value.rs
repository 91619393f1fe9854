//! What a filter compares with.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};

use super::{FilterError, shown};
use crate::limits;

/// A JSON scalar to compare with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Scalar {
    /// null.
    Null,
    /// true or false.
    Bool(bool),
    /// A number without fraction or exponent.
    Integer(i128),
    /// Any other number; finite.
    Double(f64),
    /// A string.
    Text(String),
}

impl Scalar {
    /// Reads JSON text.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        let wrong = |detail: String| FilterError::Value { given: shown(text), detail };
        if text.len() > limits::MAX_FILTER_VALUE_BYTES {
            let limit = limits::MAX_FILTER_VALUE_BYTES;
            return Err(wrong(format!("it has {} bytes; the limit is {limit}: choose a shorter one", text.len())));
        }
        match serde_json::from_str(text).map_err(|error| wrong(error.to_string()))? {
            Value::Null => Ok(Self::Null),
            Value::Bool(value) => Ok(Self::Bool(value)),
            Value::Number(number) => Ok(Self::of(&number)),
            Value::String(text) => Ok(Self::Text(text)),
            Value::Array(_) | Value::Object(_) => Err(wrong("it is an array or an object".into())),
        }
    }

    /// Whether a value of a document is this one. Numbers are equal if they are the same number.
    pub fn equals(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Null, Value::Null) => true,
            (Self::Bool(a), Value::Bool(b)) => a == b,
            _ => self.order_of(value) == Some(Ordering::Equal),
        }
    }

    /// How a value of a document stands to this one, if both are numbers or both are strings. Exact: neither is rounded
    /// to the type of the other.
    pub fn order_of(&self, value: &Value) -> Option<Ordering> {
        match (value, self) {
            (Value::String(a), Self::Text(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
            (Value::Number(number), with) => match (Self::of(number), with) {
                (Self::Integer(a), Self::Integer(b)) => Some(a.cmp(b)),
                (Self::Integer(a), Self::Double(b)) => Some(integer_to_double(a, *b)),
                (Self::Double(a), Self::Integer(b)) => Some(integer_to_double(*b, a).reverse()),
                (Self::Double(a), Self::Double(b)) => a.partial_cmp(b),
                _ => None,
            },
            _ => None,
        }
    }

    fn of(number: &Number) -> Self {
        match number.as_i128() {
            Some(integer) => Self::Integer(integer),
            None => Self::Double(number.as_f64().unwrap_or_default()),
        }
    }
}

/// Compares without rounding; the integer is one of 65 bits at most, so doubles beyond 2^65 are beyond it.
fn integer_to_double(integer: i128, double: f64) -> Ordering {
    const BEYOND: f64 = (1u128 << 65) as f64;
    if double >= BEYOND {
        return Ordering::Less;
    }
    if double <= -BEYOND {
        return Ordering::Greater;
    }
    let whole = double.trunc();
    let fraction = 0.0_f64.partial_cmp(&(double - whole)).unwrap_or(Ordering::Equal);
    integer.cmp(&(whole as i128)).then(fraction)
}
