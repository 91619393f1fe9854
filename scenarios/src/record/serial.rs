//! JSON objects have text keys only; maps with structured keys are written as lists of pairs.

use std::collections::BTreeMap;

/// Serialises a map as `[[key, value], …]`.
pub(crate) mod entries {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::BTreeMap;

    pub fn serialize<K: Serialize, V: Serialize, S: Serializer>(
        map: &BTreeMap<K, V>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(map)
    }

    pub fn deserialize<'de, K, V, D>(from: D) -> Result<BTreeMap<K, V>, D::Error>
    where
        K: Deserialize<'de> + Ord,
        V: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        Ok(Vec::<(K, V)>::deserialize(from)?.into_iter().collect())
    }
}
