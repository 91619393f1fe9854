//! What a link is like, in a `link` and in a `degrade` fault.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_spanned::Spanned;

use super::super::LinkShape;
use super::super::link::{
    Contact, DISCIPLINE_HELP, LinkSchedule, SPREAD_HELP, Trace, is_beside, parse_discipline, parse_spread,
};
use super::super::raw::{Field, RawBursts, RawContact, RawFault, RawLink, RawSchedule, RawShape};
use super::super::units::{BANDWIDTH_HELP, SIZE_HELP, format_duration, parse_bandwidth, parse_size};
use super::Lower;
use crate::limits;
use crate::physics::{Bursts, Discipline, Red};
use crate::profiles::Profile;

const PROBABILITY_HELP: &str = "0.0 (never) to 1.0 (always); 1 % is 0.01";

impl Lower<'_> {
    /// The link fields that a `link`, a `degrade` fault and each direction of them share.
    pub(super) fn shape(&mut self, raw: &RawShape, path: &str) -> LinkShape {
        let profile = raw.profile.as_ref().and_then(|name| {
            let found = Profile::find(name.get_ref());
            if found.is_none() {
                let known = Profile::ALL.map(Profile::name);
                self.unknown(name.span(), &format!("{path}.profile"), "profile", name.get_ref(), known);
            }
            found
        });
        let latency = self.delay(&raw.latency, &format!("{path}.latency"));
        let jitter = self.delay(&raw.jitter, &format!("{path}.jitter"));
        let spread = self.word(&raw.spread, &format!("{path}.spread"), "a spread of jitter", parse_spread, SPREAD_HELP);
        let loss = self.loss(&raw.loss, &format!("{path}.loss"));
        let bursts = raw.bursts.as_ref().and_then(|bursts| self.bursts(bursts, &format!("{path}.bursts")));
        let bandwidth_bps = raw.bandwidth.as_ref().and_then(|text| self.bandwidth(text, &format!("{path}.bandwidth")));
        let queue_bytes = raw.queue.as_ref().and_then(|text| {
            let path = format!("{path}.queue");
            self.amount(text, &path, "queue", parse_size, limits::QUEUE_MIN, SIZE_HELP)
        });
        let words = &raw.discipline;
        let discipline =
            self.word(words, &format!("{path}.discipline"), "a queue's discipline", parse_discipline, DISCIPLINE_HELP);
        if let (Some(Discipline::Red(Red { max_bytes, .. })), Some(queue), Some(raw)) = (discipline, queue_bytes, words)
            && max_bytes > queue
        {
            let message = "the queue is full before RED drops everything";
            let help = "its second bound must not be above `queue`";
            self.error(raw.span(), format!("{path}.discipline"), message, help);
        }
        let duplicate = self.probability(&raw.duplicate, &format!("{path}.duplicate"));
        let corrupt = self.probability(&raw.corrupt, &format!("{path}.corrupt"));
        let mtu = raw.mtu.as_ref().and_then(|text| self.mtu(text, &format!("{path}.mtu")));
        let schedule = raw.schedule.as_ref().and_then(|schedule| self.schedule(schedule, &format!("{path}.schedule")));
        LinkShape {
            profile,
            latency,
            jitter,
            spread,
            reorder: raw.reorder.as_ref().map(|reorder| *reorder.get_ref()),
            loss,
            bursts,
            bandwidth_bps,
            queue_bytes,
            discipline,
            duplicate,
            corrupt,
            mtu,
            schedule,
        }
    }

    /// What differs in one direction.
    pub(super) fn direction(&mut self, raw: &Field<RawShape>, path: &str) -> Option<Box<LinkShape>> {
        let raw = raw.as_ref()?;
        let shape = self.shape(raw.get_ref(), path);
        if shape == LinkShape::default() && raw.get_ref().is_empty() {
            let help = "give what differs in this direction, or leave it out";
            self.error(raw.span(), path, "nothing says what this direction is like", help);
        }
        Some(Box::new(shape))
    }

    fn delay(&mut self, raw: &Field<String>, path: &str) -> Option<Duration> {
        let delay = self.optional(raw, path)?;
        if delay > limits::LATENCY_MAX {
            let message = format!("{} is too long for a link", format_duration(delay));
            let help = format!("at most {}", format_duration(limits::LATENCY_MAX));
            self.error(raw.as_ref().map_or(0..0, Spanned::span), path, message, help);
        }
        Some(delay)
    }

    fn word<T>(
        &mut self,
        raw: &Field<String>,
        path: &str,
        what: &str,
        parse: fn(&str) -> Option<T>,
        help: &str,
    ) -> Option<T> {
        let raw = raw.as_ref()?;
        let parsed = parse(raw.get_ref());
        if parsed.is_none() {
            self.error(raw.span(), path, format!("`{}` is not {what}", raw.get_ref()), help);
        }
        parsed
    }

    fn loss(&mut self, raw: &Field<f64>, path: &str) -> Option<f64> {
        let loss = raw.as_ref()?;
        if !(0.0..=1.0).contains(loss.get_ref()) {
            let message = format!("a loss of {} is not a probability", loss.get_ref());
            let help = "0.0 (nothing) to 1.0 (everything); 1 % is 0.01";
            self.error(loss.span(), path, message, help);
        }
        Some(*loss.get_ref())
    }

    fn probability(&mut self, raw: &Field<f64>, path: &str) -> Option<f64> {
        let raw = raw.as_ref()?;
        if !(0.0..=1.0).contains(raw.get_ref()) {
            self.error(raw.span(), path, format!("{} is not a probability", raw.get_ref()), PROBABILITY_HELP);
        }
        Some(*raw.get_ref())
    }

    fn bursts(&mut self, raw: &Spanned<RawBursts>, path: &str) -> Option<Bursts> {
        let RawBursts { enter, leave, loss } = raw.get_ref();
        let enter = self.probability(&Some(enter.clone()), &format!("{path}.enter"))?;
        let end = self.probability(&Some(leave.clone()), &format!("{path}.leave"))?;
        let loss = self.loss(loss, &format!("{path}.loss")).unwrap_or(1.0);
        if end == 0.0 {
            let help = "a burst lasts 1/leave datagrams on average: 0.1 for ten; for a link that is down, use a fault";
            self.error(leave.span(), format!("{path}.leave"), "a burst that never ends is an outage", help);
        }
        Some(Bursts { enter, leave: end, loss })
    }

    fn bandwidth(&mut self, raw: &Spanned<String>, path: &str) -> Option<u64> {
        self.amount(raw, path, "bandwidth", parse_bandwidth, limits::BANDWIDTH_MIN, BANDWIDTH_HELP)
    }

    fn mtu(&mut self, raw: &Spanned<String>, path: &str) -> Option<u64> {
        let mtu = self.amount(raw, path, "path MTU", parse_size, limits::MTU_MIN, SIZE_HELP)?;
        if mtu > limits::MTU_MAX {
            let help = format!("at most {} bytes, IP and UDP headers included", limits::MTU_MAX);
            self.error(raw.span(), path, format!("no IP datagram has `{}`", raw.get_ref()), help);
        }
        Some(mtu)
    }

    pub(super) fn amount(
        &mut self,
        raw: &Spanned<String>,
        path: &str,
        what: &str,
        parse: fn(&str) -> Option<u64>,
        least: u64,
        help: &str,
    ) -> Option<u64> {
        let amount = parse(raw.get_ref());
        match amount {
            None => {
                let message = format!("`{}` is not a {what}", raw.get_ref());
                self.error(raw.span(), path, message, help);
            }
            Some(amount) if amount < least => {
                let message = format!("a {what} of `{}` carries no QUIC datagram", raw.get_ref());
                self.error(raw.span(), path, message, format!("at least {least}; {help}"));
            }
            Some(_) => {}
        }
        amount
    }

    fn schedule(&mut self, raw: &Spanned<RawSchedule>, path: &str) -> Option<LinkSchedule> {
        let whole = raw.span();
        let raw = raw.get_ref();
        let kinds = [
            ("contacts", raw.contacts.is_some(), &["every"][..]),
            ("up", raw.up.is_some(), &["every", "offset"]),
            ("trace", raw.trace.is_some(), &["repeat"]),
        ];
        let mut given = kinds.iter().filter(|(_, given, _)| *given);
        let help = "`contacts = [{ at = \"1m\", for = \"30s\" }]`, `up = \"10s\", every = \"1m\"`, or \
                    `trace = \"link.csv\"`";
        let (kind, takes) = match (given.next(), given.next()) {
            (Some((kind, _, takes)), None) => (*kind, *takes),
            (None, _) => {
                self.error(whole, path, "nothing says when the link is there", help);
                return None;
            }
            (Some((one, ..)), Some((other, ..))) => {
                let message = format!("`{one}` and `{other}` contradict each other");
                self.error(whole, path, message, "keep one of them");
                return None;
            }
        };
        let others = BTreeMap::from([
            ("every", raw.every.as_ref().map(Spanned::span)),
            ("offset", raw.offset.as_ref().map(Spanned::span)),
            ("repeat", raw.repeat.as_ref().map(Spanned::span)),
        ]);
        for (field, span) in others.into_iter().filter_map(|(field, span)| Some((field, span?))) {
            if !takes.contains(&field) {
                let message = format!("`{field}` means nothing in a schedule with `{kind}`");
                self.error(span, format!("{path}.{field}"), message, format!("it takes {}", takes.join(", ")));
            }
        }
        match kind {
            "contacts" => self.contacts(raw, path),
            "up" => self.duty_cycle(raw, path, whole),
            _ => self.trace(raw.trace.as_ref()?, raw.repeat.as_ref().is_some_and(|repeat| *repeat.get_ref()), path),
        }
    }

    fn period(&mut self, raw: &Field<String>, path: &str) -> Option<Duration> {
        let every = self.positive(raw, &format!("{path}.every"))?;
        if !(limits::SCHEDULE_PERIOD_MIN..=limits::DURATION_MAX).contains(&every) {
            let (least, most) = (format_duration(limits::SCHEDULE_PERIOD_MIN), format_duration(limits::DURATION_MAX));
            let message = format!("a schedule that repeats every {} is out of bounds", format_duration(every));
            let span = raw.as_ref().map_or(0..0, Spanned::span);
            self.error(span, format!("{path}.every"), message, format!("{least} to {most}"));
            return None;
        }
        Some(every)
    }

    fn contacts(&mut self, raw: &RawSchedule, path: &str) -> Option<LinkSchedule> {
        let list = raw.contacts.as_ref()?;
        let every = self.period(&raw.every, path);
        if !(1..=limits::CONTACTS).contains(&list.get_ref().len()) {
            let message = format!("a plan of {} contacts is out of bounds", list.get_ref().len());
            let help = format!("1 to {}; a plan that repeats has `every`", limits::CONTACTS);
            self.error(list.span(), format!("{path}.contacts"), message, help);
            return None;
        }
        let mut contacts: Vec<Contact> = Vec::new();
        for (position, raw) in list.get_ref().iter().enumerate() {
            let path = format!("{path}.contacts[{position}]");
            let contact = self.contact(raw.get_ref(), &path)?;
            let free = contacts.last().map_or(Duration::ZERO, |last| last.at + last.lasts);
            if contact.at < free {
                let message = format!("the contact at {} overlaps the one before", format_duration(contact.at));
                let help = format!("contacts are in order of time; that one lasts until {}", format_duration(free));
                self.error(raw.get_ref().at.span(), format!("{path}.at"), message, help);
                return None;
            }
            let end = contact.at + contact.lasts;
            if let Some(every) = every.filter(|every| end > *every) {
                let message = format!("the contact lasts until {}, beyond the repetition", format_duration(end));
                let help = format!("the plan begins again at {}", format_duration(every));
                self.error(raw.get_ref().lasts.span(), format!("{path}.for"), message, help);
                return None;
            }
            contacts.push(contact);
        }
        let always = contacts.iter().map(|contact| contact.lasts).sum::<Duration>();
        if every == Some(always) && contacts.iter().all(|contact| *contact == Contact::new(contact.at, contact.lasts)) {
            let help = "leave a gap, give contacts another rate, or leave the schedule out";
            self.error(list.span(), format!("{path}.contacts"), "the link is always there", help);
        }
        Some(LinkSchedule::Contacts { contacts, every })
    }

    fn contact(&mut self, raw: &RawContact, path: &str) -> Option<Contact> {
        let at = self.duration(&raw.at, &format!("{path}.at"))?;
        if at >= self.run_length {
            let help = format!("the run ends at {}", format_duration(self.run_length));
            let message = format!("{} is beyond the end", raw.at.get_ref());
            self.error(raw.at.span(), format!("{path}.at"), message, help);
        }
        Some(Contact {
            at,
            lasts: self.positive(&Some(raw.lasts.clone()), &format!("{path}.for"))?,
            bandwidth_bps: raw.bandwidth.as_ref().and_then(|text| self.bandwidth(text, &format!("{path}.bandwidth"))),
            latency: self.delay(&raw.latency, &format!("{path}.latency")),
            loss: self.loss(&raw.loss, &format!("{path}.loss")),
        })
    }

    fn duty_cycle(&mut self, raw: &RawSchedule, path: &str, whole: std::ops::Range<usize>) -> Option<LinkSchedule> {
        let up = self.positive(&raw.up, &format!("{path}.up"))?;
        if raw.every.is_none() {
            self.error(whole, format!("{path}.every"), "`up` needs `every`", "add `every = \"1m\"`");
            return None;
        }
        let every = self.period(&raw.every, path)?;
        let offset = self.optional(&raw.offset, &format!("{path}.offset")).unwrap_or_default();
        if up >= every {
            let message = format!("up for {} of every {} is always", format_duration(up), format_duration(every));
            let span = raw.up.as_ref().map_or(0..0, Spanned::span);
            self.error(span, format!("{path}.up"), message, "`up` must be shorter than `every`");
        }
        if offset >= every {
            let message = format!("an offset of {} is beyond the period", format_duration(offset));
            let span = raw.offset.as_ref().map_or(0..0, Spanned::span);
            self.error(span, format!("{path}.offset"), message, "`offset` must be shorter than `every`");
        }
        Some(LinkSchedule::DutyCycle { up, every, offset })
    }

    fn trace(&mut self, raw: &Spanned<String>, repeat: bool, path: &str) -> Option<LinkSchedule> {
        let path = format!("{path}.trace");
        let file = raw.get_ref();
        if !is_beside(file) {
            let help = "a path below the scenario's own folder, parts joined by `/`, without `..`";
            self.error(raw.span(), path, format!("`{file}` is not a file beside the scenario"), help);
            return None;
        }
        let text = match (self.files)(file) {
            Ok(text) => text,
            Err(why) => {
                let help = "trace files are read from the folder of the scenario's file";
                self.error(raw.span(), path, format!("cannot read the trace `{file}`: {why}"), help);
                return None;
            }
        };
        match Trace::parse(file, repeat, &text) {
            Ok(trace) => Some(LinkSchedule::Trace(trace)),
            Err(error) => {
                let help = "docs/links.md has both formats; a name that ends in `.csv` is a CSV trace";
                self.error(raw.span(), path, format!("`{file}` is not a trace: {error}"), help);
                None
            }
        }
    }
}

impl RawLink {
    pub(super) fn shape(&self) -> RawShape {
        let RawLink { profile, latency, jitter, spread, reorder, loss, bursts, bandwidth, .. } = self.clone();
        let RawLink { queue, discipline, duplicate, corrupt, mtu, schedule, .. } = self.clone();
        RawShape {
            profile,
            latency,
            jitter,
            spread,
            reorder,
            loss,
            bursts,
            bandwidth,
            queue,
            discipline,
            duplicate,
            corrupt,
            mtu,
            schedule,
        }
    }
}

impl RawFault {
    pub(super) fn shape(&self) -> RawShape {
        let RawFault { profile, latency, jitter, spread, reorder, loss, bursts, bandwidth, .. } = self.clone();
        let RawFault { queue, discipline, duplicate, corrupt, mtu, .. } = self.clone();
        RawShape {
            profile,
            latency,
            jitter,
            spread,
            reorder,
            loss,
            bursts,
            bandwidth,
            queue,
            discipline,
            duplicate,
            corrupt,
            mtu,
            schedule: None,
        }
    }
}
