//! The flags that say what clients may ask.

use std::ops::RangeInclusive;

use super::parse::{shown, wrong};
use super::{BadFlag, Flags};
use crate::config::ClientLimits;
use crate::limits;

/// What clients may ask. A request must be able to hold a document.
pub(super) fn client_limits(flags: &Flags) -> Result<ClientLimits, Vec<BadFlag>> {
    let mut bad = Vec::new();
    let mut number = |flag, given: &str, bounds| within(flag, given, bounds).map_err(|flag| bad.push(flag)).ok();
    let document_bytes = number("--max-document-bytes", &flags.max_document_bytes, limits::DOCUMENT_BYTES);
    let document_depth = number("--max-document-depth", &flags.max_document_depth, limits::JSON_DEPTHS);
    let request_bytes = number("--max-request-bytes", &flags.max_request_bytes, limits::REQUEST_BYTES);
    let put_documents = number("--max-put-documents", &flags.max_put_documents, 1..=limits::MAX_PUT_DOCUMENTS);
    if let (Some(document), Some(request)) = (document_bytes, request_bytes)
        && request < document
    {
        let problem = format!("{request} bytes do not hold a document of {document} (--max-document-bytes)");
        bad.push(wrong(
            "--max-request-bytes",
            problem,
            "give it at least twice as much, for characters that are escaped",
        ));
    }
    match (document_bytes, document_depth, request_bytes, put_documents) {
        (Some(document_bytes), Some(document_depth), Some(request_bytes), Some(put_documents)) if bad.is_empty() => {
            Ok(ClientLimits { document_bytes, document_depth, request_bytes, put_documents })
        }
        _ => Err(bad),
    }
}

fn within(flag: &'static str, given: &str, bounds: RangeInclusive<usize>) -> Result<usize, BadFlag> {
    given.parse().ok().filter(|number| bounds.contains(number)).ok_or_else(|| {
        let problem = format!("{} is not a number from {} to {}", shown(given), bounds.start(), bounds.end());
        wrong(flag, problem, format!("write for example: {flag} {}", bounds.end()))
    })
}
