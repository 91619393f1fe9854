//! Faults that are several.

use std::ops::Range;
use std::time::Duration;

use serde_spanned::Spanned;

use super::super::super::raw::{Field, RawFault};
use super::super::super::units::format_duration;
use super::super::super::{Composite, End, Scenario};
use super::super::Lower;
use crate::limits;

impl Lower<'_> {
    pub(super) fn composite(&mut self, raw: &RawFault, path: &str, end: End, scenario: &Scenario) -> Option<Composite> {
        let lasts = self.whole_span(raw, path, end);
        Some(match raw.kind.get_ref().as_str() {
            "churn" => {
                let group = self.one_group(&raw.group, path, "group", raw, scenario)?;
                self.required(&raw.every, path, "every", raw)?;
                self.required(&raw.down, path, "down", raw)?;
                let every = self.positive(&raw.every, &format!("{path}.every"))?;
                let down = self.positive(&raw.down, &format!("{path}.down"))?;
                let lasts = lasts?;
                let span = super::span_of(&raw.every, &raw.kind);
                if down >= lasts {
                    let message = format!("a node is down for {} of {}", format_duration(down), format_duration(lasts));
                    let at = super::span_of(&raw.down, &raw.kind);
                    self.error(at, format!("{path}.down"), message, "`for` must be longer than `down`");
                } else if lasts.as_nanos() / every.as_nanos() > u128::from(limits::CHURN) {
                    let message = "the nodes would crash too often";
                    let help = format!("at most {} times on average; raise `every`", limits::CHURN);
                    self.error(span, format!("{path}.every"), message, help);
                }
                Composite::Churn { group, every, down }
            }
            "rolling-outage" => {
                let groups = self.named_groups(&raw.groups, "groups", 2, raw, path, scenario)?;
                Composite::RollingOutage { groups }
            }
            "swizzle" => {
                let groups = self.named_groups(&raw.groups, "groups", 1, raw, path, scenario)?;
                let share = raw.share.as_ref().map_or(limits::SWIZZLE_SHARE, |share| *share.get_ref());
                if !(share > 0.0 && share <= 1.0) {
                    let span = raw.share.as_ref().map_or(raw.kind.span(), Spanned::span);
                    let help = "above 0, at most 1 (all nodes); half of them is 0.5";
                    self.error(span, format!("{path}.share"), format!("{share} is not a share"), help);
                }
                let members = scenario.groups().filter(|(_, group)| groups.contains(&group.name));
                if members.map(|(_, group)| group.count).sum::<u32>() < 2 {
                    let message = "one node cannot be healed in another order";
                    self.error(raw.kind.span(), format!("{path}.groups"), message, "name groups of two nodes or more");
                }
                Composite::Swizzle { groups, share }
            }
            "reconnect-storm" => {
                Composite::ReconnectStorm { group: self.one_group(&raw.group, path, "group", raw, scenario)? }
            }
            "data-mule" => self.mule(raw, path, lasts, scenario)?,
            _ => self.islands(raw, path, scenario)?,
        })
    }

    /// A composite fault is timed by its `for`.
    pub(super) fn whole_span(&mut self, raw: &RawFault, path: &str, end: End) -> Option<Duration> {
        if end.after().is_none() {
            let message = format!("a `{}` needs `for`", raw.kind.get_ref());
            let help = "add `for = \"…\"`: its parts are spread over that time, and all end within it";
            self.error(super::span_of(&raw.lasts, &raw.kind), format!("{path}.for"), message, help);
        }
        end.after()
    }

    fn mule(&mut self, raw: &RawFault, path: &str, lasts: Option<Duration>, scenario: &Scenario) -> Option<Composite> {
        let mule = self.one_group(&raw.mule, path, "mule", raw, scenario)?;
        let stops = self.named_groups(&raw.stops, "stops", 2, raw, path, scenario)?;
        for stop in &stops {
            self.routed(raw, path, scenario, &(mule.clone(), stop.clone()));
        }
        self.required(&raw.stay, path, "stay", raw)?;
        let stay = self.positive(&raw.stay, &format!("{path}.stay"))?;
        let travel = self.optional(&raw.travel, &format!("{path}.travel")).unwrap_or_default();
        let round = (stay + travel).saturating_mul(u32::try_from(stops.len()).unwrap_or(u32::MAX));
        let span = super::span_of(&raw.stay, &raw.kind);
        if lasts? < round {
            let message = format!("it does not get round: that takes {}", format_duration(round));
            self.error(span, format!("{path}.stay"), message, "`for` must hold a stay at every stop");
        } else if lasts?.as_nanos() / (stay + travel).as_nanos() > u128::from(limits::REPEAT) {
            let help = format!("at most {} in one fault", limits::REPEAT);
            self.error(span, format!("{path}.stay"), "the mule travels too often", help);
        }
        Some(Composite::DataMule { mule, stops, stay, travel })
    }

    fn islands(&mut self, raw: &RawFault, path: &str, scenario: &Scenario) -> Option<Composite> {
        let at = format!("{path}.islands");
        let help = "islands = [[\"one-group\"], [\"other-group\", \"third-group\"]]";
        let Some(islands) = &raw.islands else {
            self.error(raw.kind.span(), at, "an `island-merge` needs `islands`", help);
            return None;
        };
        if islands.get_ref().len() < 2 || islands.get_ref().iter().any(Vec::is_empty) {
            self.error(islands.span(), at, "there is nothing to merge", help);
            return None;
        }
        let names: Vec<&Spanned<String>> = islands.get_ref().iter().flatten().collect();
        self.distinct(names.iter().map(|name| (name.get_ref(), name.span())), &at, scenario)?;
        let plain = |island: &Vec<Spanned<String>>| island.iter().map(|name| name.get_ref().clone()).collect();
        Some(Composite::IslandMerge { islands: islands.get_ref().iter().map(plain).collect() })
    }

    /// A list of groups.
    fn named_groups(
        &mut self,
        field: &Field<Vec<Spanned<String>>>,
        name: &str,
        least: usize,
        raw: &RawFault,
        path: &str,
        scenario: &Scenario,
    ) -> Option<Vec<String>> {
        let at = format!("{path}.{name}");
        let help = format!("{name} = [\"one-group\", \"other-group\"]");
        let Some(given) = field else {
            self.error(raw.kind.span(), at, format!("a `{}` needs `{name}`", raw.kind.get_ref()), help);
            return None;
        };
        if given.get_ref().len() < least {
            let message = format!("a `{}` needs at least {least} groups in `{name}`", raw.kind.get_ref());
            self.error(given.span(), at, message, help);
            return None;
        }
        self.distinct(given.get_ref().iter().map(|name| (name.get_ref(), name.span())), &at, scenario)?;
        Some(given.get_ref().iter().map(|name| name.get_ref().clone()).collect())
    }

    /// All of them are there, and none twice.
    fn distinct<'n>(
        &mut self,
        names: impl Iterator<Item = (&'n String, Range<usize>)>,
        path: &str,
        scenario: &Scenario,
    ) -> Option<()> {
        let mut seen: Vec<&String> = Vec::new();
        let mut good = true;
        for (name, span) in names {
            good &= self.known_group(name, span.clone(), path, scenario);
            if seen.contains(&name) {
                good = false;
                self.error(span, path, format!("group `{name}` is named twice"), "name each group once");
            }
            seen.push(name);
        }
        good.then_some(())
    }
}
