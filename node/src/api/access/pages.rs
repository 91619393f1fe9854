//! Pages of other origins. A browser asks before it lets a page of one origin call another (CORS); unless the operator
//! named the origin of the page, the answer is no.
//!
//! It is no lock: whoever is no browser does not ask. It keeps pages that the user of this machine happens to open from
//! using a node that trusts everything on this machine.

use std::convert::Infallible;
use std::pin::Pin;
use std::str::FromStr;
use std::task::{Context, Poll};

use bytes::Bytes;
use connectrpc::ConnectRpcBody;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method, Uri};
use hyper::body::{Body, Frame, SizeHint};
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::limits;

/// What a page may send, beside what every page may.
const REQUEST_HEADERS: [HeaderName; 7] = [
    CONTENT_TYPE,
    AUTHORIZATION,
    HeaderName::from_static("connect-protocol-version"),
    HeaderName::from_static("connect-timeout-ms"),
    HeaderName::from_static("grpc-timeout"),
    HeaderName::from_static("x-grpc-web"),
    HeaderName::from_static("x-user-agent"),
];
/// What it may read of an answer: where gRPC-Web has the outcome if there is no body.
const ANSWER_HEADERS: [HeaderName; 3] = [
    HeaderName::from_static("grpc-status"),
    HeaderName::from_static("grpc-message"),
    HeaderName::from_static("grpc-status-details-bin"),
];

/// Whose pages may call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    /// Everybody's: for ports that ask for tokens.
    All,
    /// Those of these origins.
    Listed(Vec<HeaderValue>),
}

/// Why a text is no list of origins.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OriginsError {
    /// One of them.
    #[error("{0:?} is not an origin: scheme://host or scheme://host:port in lower case, with nothing after it")]
    Origin(String),
    /// Too many.
    #[error("there are {actual} origins; the limit is {}", limits::MAX_ORIGINS)]
    TooMany {
        /// How many there are.
        actual: usize,
    },
}

impl FromStr for Origins {
    type Err = OriginsError;

    fn from_str(text: &str) -> Result<Self, OriginsError> {
        if text.trim() == "*" {
            return Ok(Self::All);
        }
        let actual = text.split(',').count();
        if actual > limits::MAX_ORIGINS {
            return Err(OriginsError::TooMany { actual });
        }
        text.split(',').map(|origin| parse(origin.trim())).collect::<Result<_, _>>().map(Self::Listed)
    }
}

/// Compared byte by byte with what browsers send, so there is one spelling.
fn parse(origin: &str) -> Result<HeaderValue, OriginsError> {
    let wrong = || OriginsError::Origin(origin.chars().take(100).collect());
    let uri: Uri = origin.parse().map_err(|_| wrong())?;
    let (Some("http" | "https"), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return Err(wrong()) };
    let spelling = format!("{}://{authority}", uri.scheme_str().unwrap_or_default());
    let is_plain = !authority.as_str().contains('@') && !authority.host().is_empty() && uri.query().is_none();
    if spelling != origin || !is_plain || origin.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(wrong());
    }
    HeaderValue::from_str(origin).map_err(|_| wrong())
}

impl Origins {
    /// Answers the questions of browsers.
    pub(in crate::api) fn layer(&self) -> CorsLayer {
        let origins = match self {
            Self::All => AllowOrigin::any(),
            Self::Listed(origins) => AllowOrigin::list(origins.clone()),
        };
        CorsLayer::new()
            .allow_origin(origins)
            .allow_methods([Method::POST])
            .allow_headers(REQUEST_HEADERS)
            .expose_headers(ANSWER_HEADERS)
            .max_age(limits::PREFLIGHT_AGE)
    }
}

/// The body of an answer; none for a question of a browser.
#[derive(Default)]
pub(in crate::api) struct Answer(Option<ConnectRpcBody>);

impl From<ConnectRpcBody> for Answer {
    fn from(body: ConnectRpcBody) -> Self {
        Self(Some(body))
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut self.0 {
            None => Poll::Ready(None),
            Some(body) => Pin::new(body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_origin_has_one_spelling() {
        for good in ["https://console.fleet.example", "http://localhost:3000", "http://[::1]:8080"] {
            assert_eq!(good.parse(), Ok(Origins::Listed(vec![HeaderValue::from_static(good)])));
        }
        for bad in [
            "",
            "console.fleet.example",
            "https://console.fleet.example/",
            "https://console.fleet.example/app",
            "https://console.fleet.example?x",
            "https://Console.fleet.example",
            "https://user@console.fleet.example",
            "ftp://console.fleet.example",
            "https://",
            "https://*.fleet.example/",
            "null",
            "https://a.example,,https://b.example",
            "https://a.example,*",
        ] {
            assert!(bad.parse::<Origins>().is_err(), "{bad}");
        }
        assert_eq!("*".parse(), Ok(Origins::All));
        let many = vec!["http://a"; limits::MAX_ORIGINS + 1].join(",");
        assert_eq!(many.parse::<Origins>(), Err(OriginsError::TooMany { actual: limits::MAX_ORIGINS + 1 }));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,200}") {
            if let Ok(Origins::Listed(origins)) = text.parse() {
                let spelled: Vec<&str> = origins.iter().map(|origin| origin.to_str().expect("text")).collect();
                prop_assert_eq!(spelled.join(","), text.split(',').map(str::trim).collect::<Vec<_>>().join(","));
            }
        }
    }
}
