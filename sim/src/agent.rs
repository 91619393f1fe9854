//! The agent beside a simulated node: what it has is a function of the time, from the plan. It answers in the bytes of
//! the real one, so that the node's reader is part of the run.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use peat_node::watcher::{AgentSource, Answers, CallError};
use peat_scenarios::SimTime;
use peat_scenarios::plan::{Action, NodeIndex, Plan};
use serde_json::{Value, json};

use crate::journal::Journal;

/// An agent that outlives the lives of its node.
#[derive(Clone)]
pub(crate) struct SimAgent {
    /// What happens to its packages, in order of time: name and version, or gone.
    changes: Arc<[(SimTime, String, Option<Value>)]>,
    away: Arc<[(SimTime, SimTime)]>,
    journal: Journal,
}

impl SimAgent {
    /// The agent of a node, if the scenario gives it one.
    pub(crate) fn of(plan: &Plan, node: NodeIndex, journal: Journal) -> Option<Self> {
        let away = plan.agents.get(&node)?.as_slice().into();
        let changes = plan.operations.iter().filter(|planned| planned.node == node).filter_map(|planned| {
            let Action::Report { key, json } = &planned.action else { return None };
            let (_, name) = key.id.split_once(':')?;
            let package = json.as_deref().and_then(|json| serde_json::from_str(json).ok());
            Some((planned.at, name.to_owned(), package))
        });
        Some(Self { changes: changes.collect(), away, journal })
    }

    fn answers(&self, now: SimTime) -> Answers {
        if self.away.iter().any(|(from, to)| (*from..*to).contains(&now)) {
            return Answers::none(CallError::Unreachable("the agent is away".into()));
        }
        let mut packages: BTreeMap<&str, &Value> = BTreeMap::new();
        for (_, name, package) in self.changes.iter().take_while(|(at, ..)| *at <= now) {
            match package {
                Some(package) => packages.insert(name, package),
                None => packages.remove(name.as_str()),
            };
        }
        let status = json!({
            "version": "1.0.0", "architecture": "amd64", "k8sNodeStatus": "Ready", "systemTime": now.to_string(),
        });
        let listed: Vec<Value> = packages
            .values()
            .map(|package| {
                let credentials = json!({ "password": "never to be seen" });
                json!({ "name": package["name"], "version": package["version"], "status": package["status"],
                    "credentials": credentials, "annotations": { "registry-password": "never to be seen" } })
            })
            .collect();
        Answers {
            status: Ok(status.to_string().into_bytes()),
            packages: Ok(json!({ "packages": listed }).to_string().into_bytes()),
            pulled_packages: Ok(b"{}".to_vec()),
        }
    }
}

impl AgentSource for SimAgent {
    fn address(&self) -> String {
        "sim".into()
    }

    fn poll(&mut self, _within: Duration) -> impl Future<Output = Answers> + Send {
        std::future::ready(self.answers(self.journal.now()))
    }
}
