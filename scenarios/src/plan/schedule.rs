//! Running a timeline: which step is due when.

use super::{Step, TimedStep, Trigger};
use crate::record::RunRecord;
use crate::time::SimTime;

/// The state of a timeline in a run. The world asks [`Schedule::next_at`], waits until then, takes
/// what is due, applies it, and reports convergence while [`Schedule::wants_convergence`].
///
/// ```text
/// loop {
///     sleep until min(schedule.next_at(), …)
///     while let Some(step) = schedule.take_due(now) { apply(step) }
///     if schedule.wants_convergence() && all nodes hold the same documents { schedule.converged(now) }
///     if schedule.wants_events() { schedule.notice(now, &record) }
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Schedule {
    steps: Vec<Pending>,
    /// The step that waits for a session, and how many session events there had been when it began to wait.
    listening: Option<(usize, usize)>,
}

#[derive(Debug, Clone)]
struct Pending {
    trigger: Trigger,
    step: Step,
    /// Known once the trigger is a moment; `None` while it waits for an event.
    due: Option<SimTime>,
    done: bool,
}

impl Schedule {
    /// A timeline that has not begun.
    pub fn new(timeline: &[TimedStep]) -> Self {
        let steps = timeline
            .iter()
            .map(|timed| Pending {
                trigger: timed.trigger,
                step: timed.step.clone(),
                due: match timed.trigger {
                    Trigger::At(at) => Some(at),
                    Trigger::Converged { .. }
                    | Trigger::Writes { .. }
                    | Trigger::Session { .. }
                    | Trigger::AfterFault { .. } => None,
                },
                done: false,
            })
            .collect();
        Schedule { steps, listening: None }
    }

    /// When the next step is due, as far as is known now.
    pub fn next_at(&self) -> Option<SimTime> {
        self.steps.iter().filter(|step| !step.done).filter_map(|step| step.due).min()
    }

    /// The next step that is due at or before `now`, in order of time, then of declaration. The
    /// caller applies it before asking again.
    pub fn take_due(&mut self, now: SimTime) -> Option<Step> {
        let position = self
            .steps
            .iter()
            .enumerate()
            .filter(|(_, step)| !step.done)
            .filter_map(|(position, step)| Some((step.due?, position)))
            .filter(|(due, _)| *due <= now)
            .min()?
            .1;
        self.steps[position].done = true;
        let step = self.steps[position].step.clone();
        if step.begins() {
            for pending in &mut self.steps {
                if let Trigger::AfterFault { fault, after } = pending.trigger
                    && fault == step.fault()
                {
                    pending.due = Some(now + after);
                }
            }
        }
        Some(step)
    }

    /// True while a step waits for convergence and every step declared before it is done.
    pub fn wants_convergence(&self) -> bool {
        self.armed().is_some_and(|position| matches!(self.steps[position].trigger, Trigger::Converged { .. }))
    }

    /// All running nodes hold the same documents at `now`. Does nothing unless
    /// [`Schedule::wants_convergence`].
    pub fn converged(&mut self, now: SimTime) {
        if let Some(position) = self.armed()
            && let Trigger::Converged { after } = self.steps[position].trigger
        {
            self.steps[position].due = Some(now + after);
        }
    }

    /// True while a step waits for writes or for a session: the world calls [`Schedule::notice`] whenever an
    /// operation ends or a session comes up, and once after each step.
    pub fn wants_events(&self) -> bool {
        let for_writes =
            |step: &Pending| !step.done && step.due.is_none() && matches!(step.trigger, Trigger::Writes { .. });
        let session = |position: usize| matches!(self.steps[position].trigger, Trigger::Session { .. });
        self.steps.iter().any(for_writes) || self.armed().is_some_and(session)
    }

    /// Looks at what has happened up to `now`.
    pub fn notice(&mut self, now: SimTime, record: &RunRecord) {
        for step in self.steps.iter_mut().filter(|step| !step.done && step.due.is_none()) {
            if let Trigger::Writes { count, of, after } = step.trigger
                && record.acknowledged(of) >= count
            {
                step.due = Some(now + after);
            }
        }
        let Some(position) = self.armed() else { return };
        let Trigger::Session { of, after } = self.steps[position].trigger else { return };
        let since = match self.listening {
            Some((waiting, since)) if waiting == position => since,
            _ => {
                self.listening = Some((position, record.sessions.len()));
                return;
            }
        };
        let group = |node| record.topology.node(node).group;
        let fits = |a: u32, b: u32| match of {
            [None, None] => true,
            [Some(one), None] | [None, Some(one)] => a == one || b == one,
            [Some(one), Some(other)] => (a == one && b == other) || (a == other && b == one),
        };
        let mut came = record.sessions[since.min(record.sessions.len())..].iter().filter(|session| session.up);
        if came.any(|session| fits(group(session.node), group(session.peer))) {
            self.steps[position].due = Some(now + after);
        }
    }

    /// True when every step was taken.
    pub fn is_done(&self) -> bool {
        self.steps.iter().all(|step| step.done)
    }

    /// Steps that were never taken: a run that ends with some did not test what it was asked to.
    pub fn remaining(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(|step| !step.done).map(|step| &step.step)
    }

    /// The first step that is not done, if it waits for an event.
    fn armed(&self) -> Option<usize> {
        let position = self.steps.iter().position(|step| !step.done)?;
        let step = &self.steps[position];
        let waits = matches!(step.trigger, Trigger::Converged { .. } | Trigger::Session { .. }) && step.due.is_none();
        waits.then_some(position)
    }
}
