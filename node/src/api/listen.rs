//! Where the API listens: a TCP port or a Unix socket.

use std::fmt;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use tokio::net::{TcpListener, UnixListener};

/// Who may use a Unix socket unless something else is asked for: its owner and its group.
pub(crate) const SOCKET_MODE: u32 = 0o660;

/// An address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// `host:port`; an IPv6 address stands in brackets. Port 0 lets the system choose.
    Tcp(String),
    /// An absolute path.
    Unix(PathBuf),
}

/// Why a text is no address to listen on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListenError {
    /// Neither `tcp://` nor `unix://`.
    #[error("{0:?} does not begin with tcp:// or unix://")]
    Scheme(String),
    /// Not `host:port`.
    #[error("{given:?} is not tcp://host:port ({detail})")]
    Tcp {
        /// What was given.
        given: String,
        /// What is wrong.
        detail: &'static str,
    },
    /// Not an absolute path.
    #[error("{0:?} has no absolute path; three slashes begin one, as in unix:///run/peat/peat.sock")]
    Path(String),
}

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The system refused.
    #[error("cannot listen on {at}: {source}")]
    System {
        /// The address.
        at: Listen,
        /// What the system said.
        source: io::Error,
    },
    /// The path is taken by something that is not a socket.
    #[error("cannot listen on {0}: there is something at this path that is not a socket; it is left alone")]
    NotASocket(Listen),
    /// A process answers on the socket.
    #[error("cannot listen on {0}: another process answers there; stop it or choose another path")]
    InUse(Listen),
}

impl FromStr for Listen {
    type Err = ListenError;

    fn from_str(given: &str) -> Result<Self, ListenError> {
        if let Some(address) = given.strip_prefix("tcp://") {
            check_host_port(address).map_err(|detail| ListenError::Tcp { given: given.into(), detail })?;
            return Ok(Self::Tcp(address.into()));
        }
        if let Some(path) = given.strip_prefix("unix://") {
            if !path.starts_with('/') || path.ends_with('/') {
                return Err(ListenError::Path(given.into()));
            }
            return Ok(Self::Unix(path.into()));
        }
        Err(ListenError::Scheme(given.into()))
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp://{address}"),
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

/// Checks `host:port` without looking anything up; the error says what is wrong.
pub(crate) fn check_host_port(address: &str) -> Result<(), &'static str> {
    let (host, port) = address.rsplit_once(':').ok_or("the port is missing")?;
    port.parse::<u16>().map_err(|_| "the port is not a number from 0 to 65535")?;
    match host.strip_prefix('[') {
        Some(v6) => {
            let v6 = v6.strip_suffix(']').ok_or("the bracket is not closed")?;
            v6.parse::<std::net::Ipv6Addr>().map(|_| ()).map_err(|_| "there is no IPv6 address in the brackets")
        }
        None if host.is_empty() => Err("the host is missing"),
        None if host.contains(':') => Err("an IPv6 address must stand in brackets"),
        None if host.contains(|c: char| c.is_whitespace() || c == '/' || c == '@') => {
            Err("the host has a character that no host name has")
        }
        None => Ok(()),
    }
}

/// A bound address.
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

impl Listener {
    /// `mode`: of a Unix socket.
    pub(crate) async fn bind(at: &Listen, mode: u32) -> Result<Self, BindError> {
        let failed = |source| BindError::System { at: at.clone(), source };
        match at {
            Listen::Tcp(address) => TcpListener::bind(address).await.map(Self::Tcp).map_err(failed),
            Listen::Unix(path) => {
                clear_stale(at, path)?;
                let listener = bind_privately(path, mode).map_err(failed)?;
                let file = SocketFile::of(path).map_err(failed)?;
                Ok(Self::Unix(listener, file))
            }
        }
    }

    /// The address that was really bound.
    pub(crate) fn address(&self) -> Option<Listen> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok().map(|a| Listen::Tcp(a.to_string())),
            Self::Unix(_, file) => Some(Listen::Unix(file.path.clone())),
        }
    }
}

/// Makes a socket in a directory that nobody else can enter, gives it its mode and moves it to its place: so nobody
/// can connect before it has its mode. A changed umask would do the same, for every file that other threads make meanwhile too.
fn bind_privately(path: &Path, mode: u32) -> io::Result<UnixListener> {
    use std::os::unix::fs::DirBuilderExt;
    #[expect(clippy::disallowed_methods, reason = "a name that is free, in production only")]
    let name = format!(".{:04x}", rand::random::<u16>());
    // What is too long to be bound is too long to be connected to, but could be moved to.
    std::os::unix::net::SocketAddr::from_pathname(path)?;
    let directory = path.parent().unwrap_or(Path::new("/")).join(name);
    std::fs::DirBuilder::new().mode(0o700).create(&directory)?;
    // A short name: the path of a socket may have some hundred bytes only.
    let made = directory.join("s");
    let listener = UnixListener::bind(&made).and_then(|listener| {
        std::fs::set_permissions(&made, PermissionsExt::from_mode(mode))?;
        std::fs::rename(&made, path)?;
        Ok(listener)
    });
    if listener.is_err() {
        let _ = std::fs::remove_file(&made);
    }
    let _ = std::fs::remove_dir(&directory);
    listener
}

/// Removes a socket that a process left behind when it was killed: one that nobody answers on. Anything
/// else at the path is somebody's.
fn clear_stale(at: &Listen, path: &Path) -> Result<(), BindError> {
    let failed = |source| BindError::System { at: at.clone(), source };
    match std::fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(failed(e)),
        Ok(found) if !found.file_type().is_socket() => return Err(BindError::NotASocket(at.clone())),
        Ok(_) => {}
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(BindError::InUse(at.clone())),
        Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path).map_err(failed),
        Err(e) => Err(failed(e)),
    }
}

/// The file of a Unix socket, removed with the listener if it is still the one that we made.
pub(crate) struct SocketFile {
    path: PathBuf,
    device_and_inode: (u64, u64),
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        let made = std::fs::symlink_metadata(path)?;
        Ok(Self { path: path.into(), device_and_inode: (made.dev(), made.ino()) })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = std::fs::symlink_metadata(&self.path).is_ok_and(|m| (m.dev(), m.ino()) == self.device_and_inode);
        if ours && let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove the socket");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_parse_and_print() {
        for good in ["tcp://0.0.0.0:50051", "tcp://[::1]:0", "tcp://localhost:80", "unix:///run/peat.sock"] {
            assert_eq!(good.parse::<Listen>().expect(good).to_string(), good);
        }
    }

    #[test]
    fn bad_addresses_are_explained() {
        let bad = [
            "",
            "localhost:50051",
            "http://localhost:50051",
            "tcp://",
            "tcp://localhost",
            "tcp://:50051",
            "tcp://localhost:port",
            "tcp://localhost:65536",
            "tcp://::1:50051",
            "tcp://[::1:50051",
            "tcp://[localhost]:50051",
            "tcp://a b:1",
            "unix://run/peat.sock",
            "unix://",
            "unix:///run/",
        ];
        let told: Vec<String> = bad.iter().map(|b| b.parse::<Listen>().expect_err(b).to_string()).collect();
        insta::assert_snapshot!(told.join("\n"));
    }

    #[tokio::test]
    async fn a_socket_that_nobody_answers_on_is_replaced() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("s");
        // As kill -9 leaves it: the file stays, the listener is gone.
        drop(std::os::unix::net::UnixListener::bind(&path).expect("bind"));
        let at = Listen::Unix(path.clone());
        let bound = Listener::bind(&at, SOCKET_MODE).await.expect("the stale socket is removed");
        let mode = std::fs::metadata(&path).expect("made").permissions().mode();
        assert_eq!(mode & 0o777, 0o660);
        assert!(matches!(Listener::bind(&at, SOCKET_MODE).await, Err(BindError::InUse(_))));
        drop(bound);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_socket_has_the_mode_that_was_asked_for_and_nothing_is_left_beside_it() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("s");
        for mode in [0o600, 0o660, 0o666, 0o700] {
            let bound = Listener::bind(&Listen::Unix(path.clone()), mode).await.expect("bound");
            assert_eq!(std::fs::metadata(&path).expect("made").permissions().mode() & 0o777, mode);
            tokio::net::UnixStream::connect(&path).await.expect("it answers at its place");
            assert_eq!(std::fs::read_dir(dir.path()).expect("readable").count(), 1);
            drop(bound);
        }
        let nowhere = Listen::Unix(dir.path().join("missing/s"));
        let refused = Listener::bind(&nowhere, SOCKET_MODE).await.err().expect("there is no such directory");
        assert!(refused.to_string().contains("No such file"), "{refused}");
        let long = Listen::Unix(dir.path().join("x".repeat(120)));
        Listener::bind(&long, SOCKET_MODE).await.err().expect("longer than the path of a socket may be");
        assert_eq!(std::fs::read_dir(dir.path()).expect("readable").count(), 0);
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_left_alone() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("precious");
        std::fs::write(&path, "data").expect("write");
        let refused = Listener::bind(&Listen::Unix(path.clone()), SOCKET_MODE).await;
        assert!(matches!(refused, Err(BindError::NotASocket(_))));
        assert_eq!(std::fs::read_to_string(&path).expect("still there"), "data");
    }
}
