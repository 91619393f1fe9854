//! URLs of relays: what an operator may write, and the one form in which they are kept and told.

use iroh::RelayUrl;

use crate::limits;

/// Why a text is no URL of a relay.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RelayUrlError {
    /// Longer than [`limits::MAX_ADDRESS_BYTES`].
    #[error("it has {actual} bytes; the limit is {limit}", limit = limits::MAX_ADDRESS_BYTES)]
    TooLong {
        /// How many.
        actual: usize,
    },
    /// Not a URL.
    #[error("it is no URL: {0}")]
    NoUrl(String),
    /// Neither `http` nor `https`.
    #[error("it does not begin with https:// or http://")]
    Scheme,
    /// No host, or port 0.
    #[error("nobody can be reached there")]
    Nowhere,
    /// A user, a path, a query or a fragment: iroh would leave them out, or send them to wherever the URL is told.
    #[error("it has more than a host and a port")]
    More,
}

/// Takes what an operator wrote. Host names are lowered, a default port is left out: two texts for one relay become one.
pub fn parse(text: &str) -> Result<RelayUrl, RelayUrlError> {
    if text.len() > limits::MAX_ADDRESS_BYTES {
        return Err(RelayUrlError::TooLong { actual: text.len() });
    }
    let begins = |scheme: &str| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    if !begins("https://") && !begins("http://") {
        return Err(RelayUrlError::Scheme);
    }
    let url: RelayUrl = text.parse().map_err(|e| RelayUrlError::NoUrl(format!("{e:#}")))?;
    if url.host_str().is_none_or(str::is_empty) || url.port() == Some(0) {
        return Err(RelayUrlError::Nowhere);
    }
    let bare = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    if !bare || url.fragment().is_some() || url.path() != "/" {
        return Err(RelayUrlError::More);
    }
    // Escapes may have made it longer.
    let actual = url.as_str().len();
    if actual > limits::MAX_ADDRESS_BYTES { Err(RelayUrlError::TooLong { actual }) } else { Ok(url) }
}

/// Whether a text is the URL of a relay in the form that nodes tell each other.
pub fn is_relay_url(text: &str) -> bool {
    parse(text).is_ok_and(|url| url.as_str() == text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::wire::members::is_address;

    #[test]
    fn one_relay_has_one_url() {
        for (written, told) in [
            ("https://relay.example", "https://relay.example/"),
            ("HTTPS://Relay.Example:443/", "https://relay.example/"),
            ("http://10.0.0.7:3340", "http://10.0.0.7:3340/"),
            ("http://[fd00::7]:80", "http://[fd00::7]/"),
            ("https://relay.example.:8443", "https://relay.example.:8443/"),
        ] {
            assert_eq!(parse(written).map(|url| url.to_string()), Ok(told.into()), "{written}");
            assert!(is_relay_url(told));
            assert!(!is_address(told), "nobody takes it for host:port");
        }
        assert!(!is_relay_url("https://relay.example"));
    }

    #[test]
    fn what_is_no_relay_is_refused_with_the_reason() {
        let refused = |text: &str| parse(text).expect_err(text).to_string();
        assert_eq!(refused("relay.example:443"), "it does not begin with https:// or http://");
        assert_eq!(refused("ftp://relay.example"), "it does not begin with https:// or http://");
        assert_eq!(refused("https://relay.example:0"), "nobody can be reached there");
        for more in ["https://a@relay.example", "https://relay.example/x", "https://r/?token=x", "https://r/#x"] {
            assert_eq!(refused(more), "it has more than a host and a port", "{more}");
        }
        assert!(refused("https://").starts_with("it is no URL: "));
        assert!(refused("https://a b").starts_with("it is no URL: "));
        assert_eq!(refused(&format!("https://{}", "a".repeat(300))), "it has 308 bytes; the limit is 259");
    }
}
