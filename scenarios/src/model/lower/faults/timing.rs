//! When a fault happens.

use std::time::Duration;

use super::super::super::raw::{OneOrMany, RawFault};
use super::super::super::units::{format_duration, parse_duration};
use super::super::super::{End, Event, Repeat, Scenario, When};
use super::super::Lower;
use crate::limits;

/// How events are spelled.
const EVENTS: [&str; 3] = ["converged", "writes:200", "session"];

impl Lower<'_> {
    pub(super) fn when(&mut self, raw: &RawFault, path: &str, scenario: &Scenario) -> Option<When> {
        match (&raw.at, &raw.when) {
            (Some(text), None) => {
                for (name, span) in [
                    ("after", raw.after.as_ref().map(|after| after.span())),
                    ("of", raw.of.as_ref().map(|of| of.span())),
                ] {
                    if let Some(span) = span {
                        let help = format!("`{name}` belongs to an event; write the moment into `at`");
                        self.error(span, format!("{path}.{name}"), format!("`{name}` needs `when`"), help);
                    }
                }
                let moments: Vec<&str> = text.get_ref().split("..").collect();
                let parsed: Option<Vec<Duration>> = moments.iter().map(|moment| parse_duration(moment)).collect();
                let when = match parsed.as_deref() {
                    Some([at]) => When::At(*at),
                    Some([from, until]) if from < until => When::Within(*from, *until),
                    _ => {
                        let message = format!("`{}` is neither a moment nor a stretch of time", text.get_ref());
                        let help = "write `\"5m\"`, or `\"4m..6m\"` for a moment in between that the seed chooses";
                        self.error(text.span(), format!("{path}.at"), message, help);
                        return None;
                    }
                };
                let (When::At(last) | When::Within(_, last)) = when else { return None };
                if last >= scenario.duration {
                    let message = format!("{} is beyond the end", text.get_ref());
                    let help = format!("the run ends at {}", format_duration(scenario.duration));
                    self.error(text.span(), format!("{path}.at"), message, help);
                }
                Some(when)
            }
            (None, Some(_)) => {
                let event = self.event(raw, path, scenario)?;
                let after = self.optional(&raw.after, &format!("{path}.after")).unwrap_or_default();
                Some(When::On { event, after })
            }
            (Some(_), Some(event)) => {
                let help = "keep one of them";
                self.error(event.span(), format!("{path}.when"), "both `at` and `when` are given", help);
                None
            }
            (None, None) => {
                let help = "add `at = \"5m\"` or `when = \"converged\"`";
                self.error(raw.kind.span(), path, "nothing says when it happens", help);
                None
            }
        }
    }

    fn event(&mut self, raw: &RawFault, path: &str, scenario: &Scenario) -> Option<Event> {
        let word = raw.when.as_ref()?;
        let at = format!("{path}.when");
        let of: Vec<String> = match raw.of.as_ref().map(|of| of.get_ref()) {
            None => Vec::new(),
            Some(OneOrMany::One(group)) => vec![group.clone()],
            Some(OneOrMany::Many(groups)) => groups.clone(),
        };
        if let Some(span) = raw.of.as_ref().map(|of| of.span()) {
            for group in &of {
                self.known_group(group, span.clone(), &format!("{path}.of"), scenario);
            }
        }
        let most = match word.get_ref().split(':').next() {
            Some("writes") => 1,
            Some("session") => 2,
            _ => 0,
        };
        if let Some(span) = raw.of.as_ref().map(|of| of.span())
            && of.len() > most
        {
            let message = format!("`of` names {} groups, and `{}` takes {most} at most", of.len(), word.get_ref());
            self.error(span, format!("{path}.of"), message, "writes are of one group, a session between two");
        }
        match word.get_ref().split_once(':') {
            None if word.get_ref() == "converged" => {
                if let Some((_, choosy)) = scenario.groups().find(|(_, group)| !group.interest.is_empty()) {
                    let message = format!("nodes with an interest, as those of `{}`, never hold the same", choosy.name);
                    self.error(word.span(), at, message, "give it a time with `at`");
                }
                Some(Event::Converged)
            }
            None if word.get_ref() == "session" => Some(Event::Session { of }),
            Some(("writes", number)) => {
                let count = number.parse().ok().filter(|count| (1..=limits::OPERATIONS).contains(count));
                if count.is_none() {
                    let message = format!("`{number}` is not a number of writes");
                    self.error(word.span(), at, message, format!("1 to {}", limits::OPERATIONS));
                }
                Some(Event::Writes { count: count?, of: of.into_iter().next() })
            }
            _ => {
                self.unknown(word.span(), &at, "event", word.get_ref(), EVENTS);
                None
            }
        }
    }

    pub(super) fn repeat(&mut self, raw: &RawFault, path: &str, when: &When, end: End) -> Option<Repeat> {
        let (times, every) = match (&raw.repeat, &raw.every) {
            (None, None) => return None,
            (Some(times), Some(every)) => (times, every),
            (Some(times), None) => {
                self.error(times.span(), format!("{path}.repeat"), "`repeat` needs `every`", "add `every = \"1m\"`");
                return None;
            }
            (None, Some(every)) => {
                self.error(every.span(), format!("{path}.every"), "`every` needs `repeat`", "add `repeat = 5`");
                return None;
            }
        };
        let spacing = self.duration(every, &format!("{path}.every"))?;
        let count = u32::try_from(*times.get_ref()).ok().filter(|n| (1..=limits::REPEAT).contains(n));
        let Some(count) = count else {
            let message = format!("{} repetitions are out of bounds", times.get_ref());
            self.error(times.span(), format!("{path}.repeat"), message, format!("1 to {}", limits::REPEAT));
            return None;
        };
        if !matches!(when, When::At(_)) {
            let message = "only a fault at a given time can repeat";
            self.error(times.span(), format!("{path}.repeat"), message, "give it a time with `at`");
        }
        match end.after() {
            None => {
                let message = "a fault that repeats must end by itself";
                self.error(times.span(), format!("{path}.repeat"), message, "add `for`, shorter than `every`");
            }
            Some(lasts) if lasts >= spacing => {
                let message =
                    format!("it would begin again before it ends ({} of {})", format_duration(lasts), every.get_ref());
                self.error(every.span(), format!("{path}.every"), message, "`every` must be longer than `for`");
            }
            Some(_) => {}
        }
        Some(Repeat { times: count, every: spacing })
    }
}
