//! A JSON scalar and its Automerge register.

use automerge::{ScalarValue, ScalarValueRef};

/// A JSON scalar. `1` and `1.0` are different values.
#[derive(Debug, Clone)]
pub(super) enum Scalar {
    Null,
    Bool(bool),
    Int(i64),
    /// Only values above `i64::MAX`: every number has one representation.
    Uint(u64),
    /// Finite.
    F64(f64),
    Str(String),
}

impl PartialEq for Scalar {
    /// Doubles by their bits: `0.0` and `-0.0` are written differently.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Uint(a), Self::Uint(b)) => a == b,
            (Self::F64(a), Self::F64(b)) => a.to_bits() == b.to_bits(),
            (Self::Str(a), Self::Str(b)) => a == b,
            _ => false,
        }
    }
}

impl Scalar {
    /// What to call it in a message.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Int(_) | Self::Uint(_) | Self::F64(_) => "a number",
            Self::Str(_) => "a string",
        }
    }

    /// The register that holds it.
    pub(super) fn to_register(&self) -> ScalarValue {
        match self {
            Self::Null => ScalarValue::Null,
            Self::Bool(value) => ScalarValue::Boolean(*value),
            Self::Int(value) => ScalarValue::Int(*value),
            Self::Uint(value) => ScalarValue::Uint(*value),
            Self::F64(value) => ScalarValue::F64(*value),
            Self::Str(value) => ScalarValue::Str(value.as_str().into()),
        }
    }

    /// Reads a register. Kinds that this layer never writes (another Automerge program may) become
    /// the nearest JSON: counters and timestamps their integer, bytes lower-case hexadecimal, what
    /// JSON cannot say null.
    pub(super) fn from_register(value: &ScalarValueRef<'_>) -> Self {
        match value {
            ScalarValueRef::Null | ScalarValueRef::Unknown { .. } => Self::Null,
            ScalarValueRef::Boolean(value) => Self::Bool(*value),
            ScalarValueRef::Int(value) | ScalarValueRef::Counter(value) | ScalarValueRef::Timestamp(value) => {
                Self::Int(*value)
            }
            ScalarValueRef::Uint(value) => i64::try_from(*value).map_or(Self::Uint(*value), Self::Int),
            ScalarValueRef::F64(value) if value.is_finite() => Self::F64(*value),
            ScalarValueRef::F64(_) => Self::Null,
            ScalarValueRef::Str(value) => Self::Str(value.to_string()),
            ScalarValueRef::Bytes(bytes) => Self::Str(bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
        }
    }

    /// Appends compact JSON.
    pub(super) fn render(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(true) => out.push_str("true"),
            Self::Bool(false) => out.push_str("false"),
            Self::Int(value) => out.push_str(&value.to_string()),
            Self::Uint(value) => out.push_str(&value.to_string()),
            // serde_json prints the shortest digits that read back as the same double.
            Self::F64(value) => out.push_str(&serde_json::Value::from(*value).to_string()),
            Self::Str(value) => render_string(value, out),
        }
    }
}

/// Appends `text` as a JSON string.
pub(super) fn render_string(text: &str, out: &mut String) {
    if text.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        out.push_str(&serde_json::Value::from(text).to_string());
    }
}
