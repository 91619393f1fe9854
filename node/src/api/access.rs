//! Who may use the API: the mode of a Unix socket, TLS and mutual TLS, tokens. `docs/access.md` is the specification.
//!
//! - [`AccessSettings`] is what an operator asks for; [`Guard`] is that, with its files read, around a
//!   [`Server`](super::Server).
//! - `scope` is the table of what each method needs, `tokens` the file of tokens, `gate` decides, `layer` puts the gate
//!   around the service.
//!
//! None of it is on a connection that a simulator makes.

mod counts;
mod exposure;
pub mod file;
mod gate;
mod layer;
pub mod pages;
mod quiet;
pub mod scope;
pub mod tls;
pub mod tokens;

use std::convert::Infallible;
use std::sync::Arc;

pub use counts::{AccessCounts, AccessFigures};
use file::{FileError, Files, Named};
pub(in crate::api) use gate::Gate;
pub(super) use layer::Gated;
use pages::Origins;
pub use scope::Scope;
use tls::{Tls, TlsFiles};

use super::Listen;
use crate::limits;

/// Milliseconds since 1970: tokens expire by the clock of the wall.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// What an operator asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccessSettings {
    /// Mode of a Unix socket; `None`: the default.
    pub socket_mode: Option<u32>,
    /// TLS.
    pub tls: Option<TlsFiles>,
    /// File of tokens.
    pub tokens: Option<Named>,
    /// Whose pages may call from a browser; `None`: nobody's.
    pub origins: Option<Origins>,
}

/// The locks of a port, as they are now.
#[derive(Default)]
pub struct Guard {
    tls: Option<Tls>,
    gate: Option<Arc<Gate>>,
    origins: Option<Origins>,
    counts: Arc<AccessCounts>,
    /// For [`Guard::follow`].
    tls_files: Option<Files>,
    token_files: Option<(Files, Named)>,
}

impl Guard {
    /// Reads the files. The error names the flag, the file and, in it, the line.
    pub fn open(settings: &AccessSettings, clock: Clock) -> Result<Self, FileError> {
        let counts = Arc::<AccessCounts>::default();
        let tls = settings.tls.as_ref().map(|files| Tls::open(files, counts.clone())).transpose()?;
        let (tls, tls_files) = tls.unzip();
        let opened = settings.tokens.as_ref().map(|file| {
            let (files, contents) = Files::open(vec![file.clone()], limits::MAX_API_TOKENS_BYTES)?;
            let list = gate::parse(file, &contents)?;
            gate::announce(&list, file);
            Ok::<_, FileError>((Arc::new(Gate::new(list, clock, counts.clone())), (files, file.clone())))
        });
        let (gate, token_files) = opened.transpose()?.unzip();
        Ok(Self { tls, gate, origins: settings.origins.clone(), counts, tls_files, token_files })
    }

    /// What happens at the port, for metrics.
    pub fn counts(&self) -> Arc<AccessCounts> {
        self.counts.clone()
    }

    /// What an operator should know before somebody else finds out.
    pub fn warnings(&self, address: &Listen) -> Vec<String> {
        let mutual = self.tls.as_ref().is_some_and(Tls::asks_for_certificates);
        exposure::warnings(address, self.tls.is_some(), mutual, self.gate.is_some())
    }

    /// What [`Guard::follow`] needs, taken out: it has one owner, the rest many.
    pub(super) fn followed(&mut self) -> Followed {
        Followed { tls: self.tls_files.take(), tokens: self.token_files.take() }
    }

    /// Takes up changes of the files, for ever.
    pub(super) async fn follow(&self, mut followed: Followed) -> Infallible {
        if self.tls.is_none() && self.gate.is_none() {
            return std::future::pending().await;
        }
        loop {
            tokio::time::sleep(limits::API_FILES_INTERVAL).await;
            // Small files, mostly in memory: reading them is shorter than a hand-over to another thread.
            if let (Some(tls), Some(files)) = (&self.tls, &mut followed.tls) {
                tls.look(files);
            }
            if let (Some(gate), Some((files, file))) = (&self.gate, &mut followed.tokens) {
                gate.look(files, file);
                gate.tick();
            }
        }
    }

    pub(super) fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }

    pub(super) fn origins(&self) -> Option<&Origins> {
        self.origins.as_ref()
    }

    pub(super) fn gate(&self) -> Option<Arc<Gate>> {
        self.gate.clone()
    }
}

/// The files that are looked at.
pub(super) struct Followed {
    tls: Option<Files>,
    tokens: Option<(Files, Named)>,
}
