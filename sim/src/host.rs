//! One simulated machine: a disk, a calendar and an address that stay, and lives that come and go.

mod trouble;

use std::sync::Arc;

use peat_node::NodeHandle;
use peat_node::node::{Pause, Plants};
use peat_scenarios::plan::{NodeIndex, NodeSpec};
use peat_scenarios::record::Life;

use crate::Configure;
use crate::agent::SimAgent;
use crate::calendar::Calendar;
use crate::clock::SimClock;
use crate::disk::Disk;
use crate::journal::Journal;
use crate::life::{Boot, Ready};
use crate::net::Net;
use crate::observer::{Directory, LifeObserver};
use crate::trace::Kind;
use peat_scenarios::drive::{Agenda, Bookmark, Client};

/// What all hosts of a run share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) seed: u64,
    pub(crate) plants: Plants,
    pub(crate) configure: Configure,
    pub(crate) clock: SimClock,
    pub(crate) net: Net,
    pub(crate) journal: Journal,
    pub(crate) directory: Directory,
    /// Every collection that the plan writes to.
    pub(crate) collections: Arc<[String]>,
}

/// Who runs the tasks of the hosts.
///
/// A host is dark at first. While it is dark, its application skips what it would have done
/// ([`peat_scenarios::drive::drive`] without a client): that is the engine's to run, too.
pub(crate) trait Engine {
    /// A host lives from now on.
    fn begin(&mut self, boot: Boot);

    /// The life of a host is over: when this returns, nothing of it runs any more, or will.
    fn end(&mut self, node: NodeIndex, agenda: &Agenda);
}

/// A machine.
pub(crate) struct Host {
    shared: Shared,
    spec: NodeSpec,
    disk: Disk,
    calendar: Calendar,
    agenda: Agenda,
    agent: Option<SimAgent>,
    bookmark: Bookmark,
    /// Lives that the plan foresees.
    planned: u32,
    /// Counts from one with the first start.
    lives: u32,
    /// The life that goes on.
    alive: Option<Alive>,
}

/// What the world keeps of a life, to look at it and to end it.
struct Alive {
    observer: Arc<LifeObserver>,
    pause: Pause,
    ready: Ready,
}

impl Host {
    /// A machine that is dark, and has so many lives before it.
    pub(crate) fn new(
        shared: Shared,
        spec: NodeSpec,
        disk: Disk,
        agenda: Agenda,
        agent: Option<SimAgent>,
        planned: u32,
    ) -> Self {
        let bookmark = Bookmark::default();
        let calendar = Calendar::new(shared.clock.clone());
        Self { shared, spec, disk, calendar, agenda, agent, bookmark, planned, lives: 0, alive: None }
    }

    pub(crate) fn spec(&self) -> &NodeSpec {
        &self.spec
    }

    pub(crate) fn agenda(&self) -> &Agenda {
        &self.agenda
    }

    /// True before the first start.
    pub(crate) fn is_new(&self) -> bool {
        self.lives == 0
    }

    /// True from a start to the next crash, ready or not.
    pub(crate) fn is_running(&self) -> bool {
        self.alive.is_some()
    }

    /// The node and a client, if it runs and serves.
    pub(crate) fn ready(&self) -> Option<(NodeHandle, Client)> {
        self.alive.as_ref().and_then(|alive| alive.ready.get())
    }

    /// Begins a life. Does nothing while one goes on.
    pub(crate) fn start(&mut self, engine: &mut impl Engine) {
        if self.is_running() {
            return;
        }
        if self.lives == self.planned {
            let problem = format!("{} has no endpoint left for another life", self.spec.name);
            self.shared.journal.lock().record.infra_errors.push(problem);
            return;
        }
        let life = self.lives;
        self.lives += 1;
        let event = if life == 0 { Life::Started } else { Life::Restarted };
        self.life_event(event);
        self.shared.net.activate(self.spec.index, life);
        let observer = LifeObserver::new(self.spec.index, self.shared.journal.clone(), self.shared.directory.clone());
        let (ready, pause) = (Ready::default(), Pause::default());
        engine.begin(Boot {
            shared: self.shared.clone(),
            spec: self.spec.clone(),
            disk: self.disk.clone(),
            calendar: self.calendar.clone(),
            pause: pause.clone(),
            agenda: self.agenda.clone(),
            agent: self.agent.clone(),
            bookmark: self.bookmark.clone(),
            observer: observer.clone(),
            ready: ready.clone(),
            life,
        });
        self.alive = Some(Alive { observer, pause, ready });
    }

    /// The power fails: everything is gone at this instant but what the disk has synced. False if it was dark already.
    pub(crate) fn crash(&mut self, engine: &mut impl Engine) -> bool {
        let Some(alive) = self.alive.take() else { return false };
        // First the disk and the network, so that no destructor can reach either.
        self.disk.crash();
        self.shared.net.deactivate(self.spec.index);
        alive.observer.silence();
        engine.end(self.spec.index, &self.agenda);
        self.life_event(Life::Crashed);
        true
    }

    /// What the node says from now on is not written down.
    pub(crate) fn silence(&self) {
        if let Some(alive) = &self.alive {
            alive.observer.silence();
        }
    }

    fn life_event(&self, event: Life) {
        let mut journal = self.shared.journal.lock();
        let now = journal.now();
        journal.record.life(now, self.spec.index, event);
        journal.note(now, Kind::Life, self.spec.index, &format!("{event:?}").to_lowercase());
    }
}
