//! What every file of ours begins with: the name of its format and the version of it.

use serde::Deserialize;
use thiserror::Error;

/// Characters of a stranger's name that are told.
const TOLD: usize = 40;

/// Read before the rest, which another version may have changed.
#[derive(Deserialize)]
pub(crate) struct Head {
    format: String,
    schema: u32,
}

/// Why a file is another's.
#[derive(Debug, Error)]
pub enum HeadError {
    /// Something else.
    #[error("its format is `{found}`, not `{wanted}`")]
    Format {
        /// What it calls itself.
        found: String,
        /// What it should be.
        wanted: &'static str,
    },
    /// A version that this program does not know.
    #[error("its schema is {found}; this program reads {wanted}")]
    Schema {
        /// Its version.
        found: u32,
        /// The version that is read.
        wanted: u32,
    },
}

impl Head {
    pub(crate) fn expect(self, format: &'static str, schema: u32) -> Result<(), HeadError> {
        if self.format != format {
            return Err(HeadError::Format { found: self.format.chars().take(TOLD).collect(), wanted: format });
        }
        if self.schema != schema {
            return Err(HeadError::Schema { found: self.schema, wanted: schema });
        }
        Ok(())
    }
}
