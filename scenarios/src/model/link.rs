//! What a scenario says about links.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::units::{format_duration, format_size, parse_duration, parse_size};
use crate::limits;
use crate::physics::{
    Bursts, CoDel, Conditions, Discipline, LinkParams, Red, Schedule, Spread, TraceError, Windows, parse_csv,
    parse_mahimahi,
};
use crate::profiles::Profile;

/// The link between two groups, or inside one.
#[derive(Debug, Clone, PartialEq)]
pub struct LinkSpec {
    /// The two groups; twice the same for the link inside it.
    pub between: (String, String),
    /// What it is like, in both directions.
    pub shape: LinkShape,
    /// What differs from the first group to the second.
    pub forward: Option<Box<LinkShape>>,
    /// What differs from the second group to the first.
    pub back: Option<Box<LinkShape>>,
    /// Who dials whom.
    pub peering: Peering,
}

/// A direction of a link, as its two groups are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// From the first to the second.
    Forward,
    /// From the second to the first.
    Back,
}

impl LinkSpec {
    /// What one direction of the link is like.
    pub fn params(&self, direction: Direction) -> LinkParams {
        directed(&self.shape, [&self.forward, &self.back], direction, &LinkParams::PERFECT)
    }
}

/// One direction of a link whose `base` is changed by what holds for both directions, and then by what holds for one.
pub(crate) fn directed(
    both: &LinkShape,
    [forward, back]: [&Option<Box<LinkShape>>; 2],
    direction: Direction,
    base: &LinkParams,
) -> LinkParams {
    let own = match direction {
        Direction::Forward => forward,
        Direction::Back => back,
    };
    let params = both.params_of(direction, base);
    own.as_ref().map_or(params.clone(), |own| own.params_of(direction, &params))
}

/// A profile, and what differs from it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LinkShape {
    /// The named link to start from; without one, a perfect link (or, in a `degrade` fault, the
    /// link as it is).
    pub profile: Option<Profile>,
    /// One way: the least.
    pub latency: Option<Duration>,
    /// Extra, per datagram.
    pub jitter: Option<Duration>,
    /// How the extra is distributed.
    pub spread: Option<Spread>,
    /// May a datagram overtake an earlier one?
    pub reorder: Option<bool>,
    /// Probability per datagram.
    pub loss: Option<f64>,
    /// Losses in bursts.
    pub bursts: Option<Bursts>,
    /// Bits per second.
    pub bandwidth_bps: Option<u64>,
    /// Bytes.
    pub queue_bytes: Option<u64>,
    /// What keeps the queue short.
    pub discipline: Option<Discipline>,
    /// Probability of a second copy, per datagram.
    pub duplicate: Option<f64>,
    /// Probability of flipped bits, per copy.
    pub corrupt: Option<f64>,
    /// Longest datagram, bytes with headers.
    pub mtu: Option<u64>,
    /// When the link is there. A profile's, and that of a link that a fault degrades, stay where none is given.
    pub schedule: Option<LinkSchedule>,
}

impl LinkShape {
    /// Just a profile.
    pub fn profile(profile: Profile) -> Self {
        LinkShape { profile: Some(profile), ..LinkShape::default() }
    }

    /// The parameters that result, forward; `base` stands in where no profile is named.
    pub fn params(&self, base: &LinkParams) -> LinkParams {
        self.params_of(Direction::Forward, base)
    }

    /// The same for one direction.
    pub fn params_of(&self, direction: Direction, base: &LinkParams) -> LinkParams {
        let lasting = base.schedule.clone();
        let base = self.profile.map_or_else(|| base.clone(), |profile| profile.params_of(direction));
        let own = self.schedule.as_ref().and_then(LinkSchedule::physics);
        LinkParams {
            latency: self.latency.unwrap_or(base.latency),
            jitter: self.jitter.unwrap_or(base.jitter),
            spread: self.spread.unwrap_or(base.spread),
            reorder: self.reorder.unwrap_or(base.reorder),
            loss: self.loss.unwrap_or(base.loss),
            bursts: self.bursts.or(base.bursts),
            bandwidth_bps: self.bandwidth_bps.or(base.bandwidth_bps),
            queue_bytes: self.queue_bytes.unwrap_or(base.queue_bytes),
            discipline: self.discipline.unwrap_or(base.discipline),
            duplicate: self.duplicate.unwrap_or(base.duplicate),
            corrupt: self.corrupt.unwrap_or(base.corrupt),
            mtu: self.mtu.and_then(|mtu| usize::try_from(mtu).ok()).or(base.mtu),
            schedule: own.or(base.schedule).or(lasting),
        }
    }
}

/// When a link is there, and how it changes.
#[derive(Debug, Clone, PartialEq)]
pub enum LinkSchedule {
    /// A contact plan: the link is there during the contacts only.
    Contacts {
        /// In order of time, not overlapping.
        contacts: Vec<Contact>,
        /// Everything begins again after this.
        every: Option<Duration>,
    },
    /// It flaps: there for a part of each period.
    DutyCycle {
        /// How long it is there.
        up: Duration,
        /// The period.
        every: Duration,
        /// When in the period it comes.
        offset: Duration,
    },
    /// As it was recorded.
    Trace(Trace),
}

/// A contact of a plan.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Contact {
    /// When it begins.
    pub at: Duration,
    /// How long it lasts.
    pub lasts: Duration,
    /// Bits per second, if not the link's.
    pub bandwidth_bps: Option<u64>,
    /// Latency, if not the link's.
    pub latency: Option<Duration>,
    /// Probability of loss per datagram, if not the link's.
    pub loss: Option<f64>,
}

impl Contact {
    /// A contact with the link's own rate and delay.
    pub fn new(at: Duration, lasts: Duration) -> Self {
        Contact { at, lasts, bandwidth_bps: None, latency: None, loss: None }
    }
}

/// A recorded link: what a trace file says, and its path beside the scenario.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    path: String,
    repeat: bool,
    text: Arc<str>,
    schedule: Arc<Schedule>,
}

impl Trace {
    /// Reads a trace file's text. A path that ends in `.csv` is a CSV trace, which with `repeat` begins again at its
    /// last line; every other is in mahimahi's format, which always repeats.
    pub fn parse(path: &str, repeat: bool, text: &str) -> Result<Trace, TraceError> {
        let schedule = match path.ends_with(".csv") {
            true => Schedule::Windows(parse_csv(text, repeat)?),
            false => Schedule::Opportunities(parse_mahimahi(text)?),
        };
        Ok(Trace { path: path.to_owned(), repeat, text: text.into(), schedule: Arc::new(schedule) })
    }

    /// Where it is, relative to the scenario's file.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Does a CSV trace begin again?
    pub fn repeats(&self) -> bool {
        self.repeat
    }

    /// What the file says.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// A path that leads to a file beside the scenario or below, on every system: a scenario may come from a stranger, and
/// an error would quote a line of whatever file it names.
pub(super) fn is_beside(path: &str) -> bool {
    let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    path.chars().count() <= limits::TRACE_PATH_CHARS && !path.contains(['\\', ':', '\0']) && path.split('/').all(plain)
}

impl LinkSchedule {
    /// As the physics wants it. `None` for one that the validation refuses.
    pub fn physics(&self) -> Option<Arc<Schedule>> {
        let windows = match self {
            LinkSchedule::Trace(trace) => return Some(trace.schedule.clone()),
            LinkSchedule::DutyCycle { up, every, offset } => Windows::duty_cycle(*up, *every, *offset),
            LinkSchedule::Contacts { contacts, every } => {
                let mut pieces = Vec::new();
                for (position, contact) in contacts.iter().enumerate() {
                    let Contact { bandwidth_bps, latency, loss, .. } = *contact;
                    pieces.push((contact.at, Conditions { up: true, bandwidth_bps, latency, loss }));
                    let end = contact.at + contact.lasts;
                    let next = contacts.get(position + 1).map(|next| next.at).or(*every);
                    if next != Some(end) {
                        pieces.push((end, Conditions::DOWN));
                    }
                }
                Windows::new(Conditions::DOWN, pieces, *every)
            }
        };
        windows.map(|windows| Arc::new(Schedule::Windows(windows)))
    }
}

/// Which nodes of two linked groups are given which as `--peer`. The earlier declared node dials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peering {
    /// Every node with every node.
    Full,
    /// The first node of each group with the first of the other; inside a group, the first with
    /// every other (a star).
    Gateway,
    /// Each node with the one at the same position of the other group; inside a group, each with
    /// the next, and the last with the first.
    Ring,
    /// Nobody: there is a route, but no one uses it unasked.
    None,
}

impl LinkSpec {
    /// A link with a profile, fully peered.
    pub fn new(a: &str, b: &str, profile: Profile) -> Self {
        LinkSpec::shaped(a, b, LinkShape::profile(profile))
    }

    /// A link of any shape, fully peered.
    pub fn shaped(a: &str, b: &str, shape: LinkShape) -> Self {
        let between = (a.to_owned(), b.to_owned());
        LinkSpec { between, shape, forward: None, back: None, peering: Peering::Full }
    }

    /// Who dials whom.
    pub fn peering(mut self, peering: Peering) -> Self {
        self.peering = peering;
        self
    }

    /// What differs from the first group to the second.
    pub fn forward(mut self, shape: LinkShape) -> Self {
        self.forward = Some(Box::new(shape));
        self
    }

    /// What differs from the second group to the first.
    pub fn back(mut self, shape: LinkShape) -> Self {
        self.back = Some(Box::new(shape));
        self
    }

    /// When it is there.
    pub fn schedule(mut self, schedule: LinkSchedule) -> Self {
        self.shape.schedule = Some(schedule);
        self
    }
}

/// The words for spreads, for messages.
pub(super) const SPREAD_HELP: &str = "`uniform`, `normal`, or `pareto:` and a tail index above 1, as in \"pareto:2.5\"";

/// The words for disciplines, for messages.
pub(super) const DISCIPLINE_HELP: &str = "`drop-tail`, `codel`, \"codel:<target>:<interval>\" as in \
                                          \"codel:5ms:100ms\", or \"red:<min>:<max>:<drop>\" as in \
                                          \"red:8KiB:24KiB:0.1\"";

pub(super) fn parse_spread(text: &str) -> Option<Spread> {
    match text.split_once(':') {
        None => match text {
            "uniform" => Some(Spread::Uniform),
            "normal" => Some(Spread::Normal),
            _ => None,
        },
        Some(("pareto", shape)) => {
            let (least, most) = limits::PARETO_SHAPE;
            let shape = shape.parse().ok().filter(|shape| *shape > least && *shape <= most)?;
            Some(Spread::Pareto { shape })
        }
        Some(_) => None,
    }
}

pub(super) fn parse_discipline(text: &str) -> Option<Discipline> {
    let parts: Vec<&str> = text.split(':').collect();
    match parts[..] {
        ["drop-tail"] => Some(Discipline::DropTail),
        ["codel"] => Some(Discipline::CoDel(CoDel::DEFAULT)),
        ["codel", target, interval] => {
            let (target, interval) = (parse_duration(target)?, parse_duration(interval)?);
            let sound = !target.is_zero() && target <= interval && interval <= limits::LATENCY_MAX;
            sound.then_some(Discipline::CoDel(CoDel { target, interval }))
        }
        ["red", min, max, drop] => {
            let (min_bytes, max_bytes) = (parse_size(min)?, parse_size(max)?);
            let drop = drop.parse().ok().filter(|drop| *drop > 0.0 && *drop <= 1.0)?;
            (min_bytes < max_bytes).then_some(Discipline::Red(Red { min_bytes, max_bytes, drop }))
        }
        _ => None,
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Spread::Uniform => f.pad("uniform"),
            Spread::Normal => f.pad("normal"),
            Spread::Pareto { shape } => f.pad(&format!("pareto:{shape}")),
        }
    }
}

impl fmt::Display for Discipline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Discipline::DropTail => f.pad("drop-tail"),
            Discipline::CoDel(codel) if *codel == CoDel::DEFAULT => f.pad("codel"),
            Discipline::CoDel(CoDel { target, interval }) => {
                f.pad(&format!("codel:{}:{}", format_duration(*target), format_duration(*interval)))
            }
            Discipline::Red(Red { min_bytes, max_bytes, drop }) => {
                f.pad(&format!("red:{}:{}:{drop}", format_size(*min_bytes), format_size(*max_bytes)))
            }
        }
    }
}
