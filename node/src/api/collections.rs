//! Policies of collections, between the contract and the node.

use connectrpc::ConnectError as Status;
use peat_proto::server::*;

use crate::core::policy::{Deletion, History, Policy, Source, Window};

/// The policy that a request asks for.
pub(super) fn policy(
    history: HistoryClass,
    window: Window,
    deletion: DeletionPolicy,
    retention_s: u64,
) -> Result<Policy, Status> {
    let history = match history {
        HistoryClass::Window => History::Window(window),
        _ if window != Window::default() => {
            let Window { changes, age_s } = window;
            let (field, given) = if changes > 0 { ("window_changes", changes) } else { ("window_seconds", age_s) };
            return Err(Status::invalid_argument(format!(
                "{field} is {given}, but history is not HISTORY_CLASS_WINDOW, the only one that has a window; leave it \
                 out or set that class"
            )));
        }
        HistoryClass::Unspecified | HistoryClass::Full => History::Full,
        HistoryClass::Latest => History::Latest,
    };
    let deletion = match deletion {
        DeletionPolicy::Tombstone => Deletion::Tombstone { retention_s },
        _ if retention_s != 0 => {
            return Err(Status::invalid_argument(format!(
                "retention_seconds is {retention_s}, but deletion_policy is not DELETION_POLICY_TOMBSTONE, the only one \
                 that has a retention; leave it out or set that policy"
            )));
        }
        DeletionPolicy::Unspecified | DeletionPolicy::Keep => Deletion::Keep,
        DeletionPolicy::Immutable => Deletion::Immutable,
    };
    Ok(Policy { history, deletion })
}

/// A policy as it is shown.
pub(super) fn shown((collection, policy, source): (String, Policy, Source)) -> CollectionPolicy {
    let (deletion_policy, retention_seconds) = match policy.deletion {
        Deletion::Keep => (DeletionPolicy::Keep, 0),
        Deletion::Tombstone { retention_s } => (DeletionPolicy::Tombstone, retention_s),
        Deletion::Immutable => (DeletionPolicy::Immutable, 0),
    };
    let (history, window) = match policy.history {
        History::Full => (HistoryClass::Full, Window::default()),
        History::Window(window) => (HistoryClass::Window, window),
        History::Latest => (HistoryClass::Latest, Window::default()),
    };
    let source = match source {
        Source::Agreed => PolicySource::Formation,
        Source::Configured => PolicySource::Configuration,
    };
    CollectionPolicy {
        collection,
        history: history.into(),
        deletion_policy: deletion_policy.into(),
        retention_seconds,
        source: source.into(),
        window_changes: window.changes,
        window_seconds: window.age_s,
        ..Default::default()
    }
}
