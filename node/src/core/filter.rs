//! Conditions on the content of documents.
//!
//! A filter is evaluated on the rendered text, which is parsed for it: about 2 µs for 200 bytes, in proportion to the
//! text, whatever the filter asks. **Rejected**: evaluating on the CRDT, which would tie what clients may ask to how a
//! document is kept, and saves little, as the text is needed for whatever matches.

mod path;
#[cfg(test)]
mod tests;
mod value;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use path::Path;
pub use value::Scalar;

use crate::limits;

/// A condition on the content of a document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Filter {
    /// The value at the path relates so to a value.
    Compare(Path, Comparison, Scalar),
    /// There is a value at the path.
    Exists(Path),
    /// All match.
    And(Vec<Filter>),
    /// Any matches.
    Or(Vec<Filter>),
    /// It does not match.
    Not(Box<Filter>),
}

/// How a value relates to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Comparison {
    /// The same.
    Equal,
    /// Another, or none.
    NotEqual,
    /// Both numbers or both strings, and less.
    Less,
    /// The same, or equal.
    LessOrEqual,
    /// Both numbers or both strings, and greater.
    Greater,
    /// The same, or equal.
    GreaterOrEqual,
}

/// Why a filter is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// Nested too deeply.
    #[error("filter is nested {actual} levels deep; the limit is {limit}: AND and OR take many filters side by side")]
    TooDeep {
        /// Levels that there are.
        actual: usize,
        /// The limit.
        limit: usize,
    },
    /// Too many conditions.
    #[error("filter has more than {limit} conditions; ask for less and look at what comes")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// No operator, or one that this program does not know.
    #[error("filter.op is {given}; give one of FILTER_OP_EQUAL to FILTER_OP_NOT")]
    Operator {
        /// The number that was given.
        given: i32,
    },
    /// Another number of operands than the operator takes.
    #[error("filter.filters has {actual} filters under {op}; give it {wanted}")]
    Operands {
        /// Which operator.
        op: &'static str,
        /// How many it takes.
        wanted: &'static str,
        /// How many there are.
        actual: usize,
    },
    /// Not a path.
    #[error("filter.path {given:?}: {detail}")]
    Path {
        /// What was given, cut to a printable length.
        given: String,
        /// What is wrong with it.
        detail: String,
    },
    /// Not a value to compare with.
    #[error("filter.value_json {given:?} is not null, true, false, a number or a string as JSON text: {detail}")]
    Value {
        /// What was given, cut to a printable length.
        given: String,
        /// What is wrong with it.
        detail: String,
    },
}

impl Filter {
    /// Checks depth and size, which bound what an evaluation costs.
    pub fn validate(&self) -> Result<(), FilterError> {
        let (depth, nodes) = self.extent();
        if depth > limits::MAX_FILTER_DEPTH {
            return Err(FilterError::TooDeep { actual: depth, limit: limits::MAX_FILTER_DEPTH });
        }
        if nodes > limits::MAX_FILTER_CONDITIONS {
            return Err(FilterError::TooMany { limit: limits::MAX_FILTER_CONDITIONS });
        }
        Ok(())
    }

    /// Whether a document with this text matches. Text that is no JSON matches nothing.
    pub fn matches(&self, text: &str) -> bool {
        serde_json::from_str(text).is_ok_and(|document| self.holds(&document))
    }

    fn holds(&self, document: &Value) -> bool {
        match self {
            Self::Compare(path, comparison, with) => {
                let found = path.find(document);
                let order = found.and_then(|found| with.order_of(found));
                match comparison {
                    Comparison::Equal => found.is_some_and(|found| with.equals(found)),
                    Comparison::NotEqual => !found.is_some_and(|found| with.equals(found)),
                    Comparison::Less => order.is_some_and(|order| order.is_lt()),
                    Comparison::LessOrEqual => order.is_some_and(|order| order.is_le()),
                    Comparison::Greater => order.is_some_and(|order| order.is_gt()),
                    Comparison::GreaterOrEqual => order.is_some_and(|order| order.is_ge()),
                }
            }
            Self::Exists(path) => path.find(document).is_some(),
            Self::And(all) => all.iter().all(|filter| filter.holds(document)),
            Self::Or(any) => any.iter().any(|filter| filter.holds(document)),
            Self::Not(filter) => !filter.holds(document),
        }
    }

    /// Levels and conditions.
    fn extent(&self) -> (usize, usize) {
        let below: &[Filter] = match self {
            Self::Compare(..) | Self::Exists(_) => return (1, 1),
            Self::And(filters) | Self::Or(filters) => filters,
            Self::Not(filter) => std::slice::from_ref(filter),
        };
        let (depth, nodes) = below.iter().map(Self::extent).fold((0, 0), |(a, b), (c, d)| (a.max(c), b + d));
        (depth + 1, nodes + 1)
    }
}

/// What a client asked for, cut to a printable length for a message.
fn shown(given: &str) -> String {
    given.chars().take(80).collect()
}
