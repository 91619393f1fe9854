//! Clusters, groups and links.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use serde_spanned::Spanned;

use super::super::raw::{Field, RawGroup, RawScenario};
use super::super::units::format_duration;
use super::super::{Class, Cluster, Discovery, Group, KeptHistory, LinkShape, LinkSpec, Peering, Scenario, Selector};
use super::Lower;
use crate::limits;
use crate::profiles::Profile;

pub(super) const PEERINGS: [Peering; 4] = [Peering::Full, Peering::Gateway, Peering::Ring, Peering::None];

impl Lower<'_> {
    pub(super) fn clusters(&mut self, raw: &RawScenario, scenario: &mut Scenario) {
        let mut groups_seen = BTreeSet::new();
        let mut clusters_seen = BTreeSet::new();
        let mut nodes: u64 = 0;
        for (c, cluster) in raw.cluster.iter().enumerate() {
            let span = cluster.span();
            let cluster = cluster.get_ref();
            let path = format!("cluster[{c}]");
            let name = self.name(&cluster.name, &format!("{path}.name"));
            if !clusters_seen.insert(name.clone()) {
                let message = format!("there are two clusters called `{name}`");
                self.error(cluster.name.span(), format!("{path}.name"), message, "cluster names are unique");
            }
            if cluster.group.is_empty() {
                let help = "add [[cluster.group]] with `name` and `count`";
                self.error(span, path.clone(), format!("cluster `{name}` has no nodes"), help);
            }
            let mut groups = Vec::new();
            for (g, group) in cluster.group.iter().enumerate() {
                let path = format!("{path}.group[{g}]");
                let lowered = self.group(group, &path, scenario);
                if !groups_seen.insert(lowered.name.clone()) {
                    let message = format!("there are two groups called `{}`", lowered.name);
                    let help = "group names are unique over all clusters";
                    self.error(group.name.span(), format!("{path}.name"), message, help);
                }
                nodes += u64::from(lowered.count);
                groups.push(lowered);
            }
            scenario.clusters.push(Cluster { name, groups });
        }
        if raw.cluster.is_empty() {
            let help = "add [[cluster]] with a `name` and a [[cluster.group]]";
            self.error(0..0, "cluster", "the scenario has no nodes", help);
        } else if nodes > u64::from(limits::NODES) {
            let help = format!("at most {}", limits::NODES);
            self.error(0..0, "cluster", format!("the scenario has {nodes} nodes"), help);
        }
    }

    fn group(&mut self, raw: &RawGroup, path: &str, scenario: &Scenario) -> Group {
        let name = self.name(&raw.name, &format!("{path}.name"));
        let count = match u32::try_from(*raw.count.get_ref()) {
            Ok(count) if (1..=limits::NODES).contains(&count) => count,
            _ => {
                let message = format!("a group of {} nodes is out of bounds", raw.count.get_ref());
                let help = format!("1 to {}", limits::NODES);
                self.error(raw.count.span(), format!("{path}.count"), message, help);
                1
            }
        };
        let joins_at = self.optional(&raw.joins_at, &format!("{path}.joins_at"));
        if let (Some(joins_at), Some(raw)) = (joins_at, &raw.joins_at)
            && joins_at >= scenario.duration
        {
            let message = format!("the group joins at {}, when the run is over", raw.get_ref());
            let help = format!("the run ends at {}", format_duration(scenario.duration));
            self.error(raw.span(), format!("{path}.joins_at"), message, help);
        }
        let interest = self.interest(&raw.interest, &format!("{path}.interest"));
        let discovery = self.discovery(&raw.discovery, &format!("{path}.discovery"));
        let classes = self.classes(&raw.classes, &format!("{path}.classes"));
        let history = self.history(&raw.history, &format!("{path}.history"));
        let formation = raw.formation.as_ref().map(|name| self.name(name, &format!("{path}.formation")));
        Group { name, count, joins_at, interest, formation, discovery, classes, history }
    }

    fn interest(&mut self, raw: &Field<Vec<Spanned<String>>>, path: &str) -> Vec<Selector> {
        let Some(raw) = raw else { return Vec::new() };
        let wanted = raw.get_ref();
        if wanted.is_empty() || wanted.len() > limits::INTERESTS {
            let message = format!("an interest in {} parts is out of bounds", wanted.len());
            let help = format!("1 to {}; a group that wants everything has no `interest`", limits::INTERESTS);
            self.error(raw.span(), path, message, help);
        }
        let mut selectors = Vec::new();
        for text in wanted {
            match Selector::parse(text.get_ref()) {
                Some(selector) => selectors.push(selector),
                None => {
                    let message = format!("`{}` selects nothing", text.get_ref());
                    let help =
                        "a collection, or a collection and the beginning of ids: \"tracks\", \"commands/ship-7\"";
                    self.error(text.span(), path, message, help);
                }
            }
        }
        selectors
    }

    fn discovery(&mut self, raw: &Field<String>, path: &str) -> Discovery {
        let Some(raw) = raw else { return Discovery::None };
        let found = Discovery::ALL.into_iter().find(|kind| kind.name() == raw.get_ref());
        found.unwrap_or_else(|| {
            self.unknown(raw.span(), path, "discovery", raw.get_ref(), Discovery::ALL.map(Discovery::name));
            Discovery::None
        })
    }

    fn history(&mut self, raw: &BTreeMap<String, Spanned<String>>, path: &str) -> BTreeMap<String, KeptHistory> {
        let mut history = BTreeMap::new();
        for (collection, kept) in raw {
            let path = format!("{path}.{collection}");
            match KeptHistory::parse(kept.get_ref()) {
                Some(known) => drop(history.insert(collection.clone(), known)),
                None => self.unknown(kept.span(), &path, "history class", kept.get_ref(), KeptHistory::SPELLINGS),
            }
        }
        history
    }

    fn classes(&mut self, raw: &BTreeMap<String, Spanned<String>>, path: &str) -> BTreeMap<String, Class> {
        let mut classes = BTreeMap::new();
        for (collection, class) in raw {
            let path = format!("{path}.{collection}");
            match Class::ALL.into_iter().find(|known| known.name() == class.get_ref()) {
                Some(known) => drop(classes.insert(collection.clone(), known)),
                None => self.unknown(class.span(), &path, "class", class.get_ref(), Class::ALL.map(Class::name)),
            }
        }
        classes
    }

    pub(super) fn links(&mut self, raw: &RawScenario, scenario: &mut Scenario) {
        let mut seen = BTreeSet::new();
        for (l, link) in raw.link.iter().enumerate() {
            let path = format!("link[{l}]");
            let span = link.span();
            let link = link.get_ref();
            let Some(between) = self.pair(&link.between, &path, span.clone(), scenario) else {
                continue;
            };
            let (a, b) = &between;
            if !seen.insert((a.min(b).clone(), a.max(b).clone())) {
                let message = format!("there are two links between `{a}` and `{b}`");
                let help = "one link per pair of groups; [link.forward] and [link.back] tell its directions apart";
                self.error(
                    link.between.as_ref().map_or(span.clone(), Spanned::span),
                    format!("{path}.between"),
                    message,
                    help,
                );
            }
            let shape = self.shape(&link.shape(), &path);
            let forward = self.direction(&link.forward, &format!("{path}.forward"));
            let back = self.direction(&link.back, &format!("{path}.back"));
            let told = |shape: &LinkShape| shape.profile.is_some() || shape.latency.is_some();
            let each_told = [&forward, &back].iter().all(|shape| shape.as_deref().is_some_and(told));
            if link.profile.is_none() && link.latency.is_none() && !each_told {
                let help = format!("give a `profile` ({}) or a `latency`", Profile::ALL.map(Profile::name).join(", "));
                self.error(span.clone(), path.clone(), "nothing says what the link is like", help);
            }
            if between.0 == between.1 && (forward.is_some() || back.is_some()) {
                let help = "no node of a group is before another; say it in the link itself, for both directions";
                self.error(span, path.clone(), "a link inside a group is the same in both directions", help);
            }
            let peering = self.peering(&link.peering, &path);
            scenario.links.push(LinkSpec { between, shape, forward, back, peering });
        }
    }

    fn peering(&mut self, raw: &Field<String>, path: &str) -> Peering {
        let Some(raw) = raw else { return Peering::Full };
        let found = PEERINGS.into_iter().find(|peering| peering.name() == raw.get_ref());
        found.unwrap_or_else(|| {
            let known = PEERINGS.map(Peering::name);
            self.unknown(raw.span(), &format!("{path}.peering"), "peering", raw.get_ref(), known);
            Peering::Full
        })
    }

    /// Two known groups.
    pub(super) fn pair(
        &mut self,
        raw: &Field<Vec<Spanned<String>>>,
        path: &str,
        whole: Range<usize>,
        scenario: &Scenario,
    ) -> Option<(String, String)> {
        let path = format!("{path}.between");
        let help = "between = [\"one-group\", \"other-group\"]";
        let Some(raw) = raw else {
            self.error(whole, path, "nothing says between which groups", help);
            return None;
        };
        let [a, b] = raw.get_ref().as_slice() else {
            let message = format!("a link has two ends, not {}", raw.get_ref().len());
            self.error(raw.span(), path, message, help);
            return None;
        };
        let known_a = self.known_group(a.get_ref(), a.span(), &path, scenario);
        let known_b = self.known_group(b.get_ref(), b.span(), &path, scenario);
        (known_a && known_b).then(|| (a.get_ref().clone(), b.get_ref().clone()))
    }

    pub(super) fn known_group(&mut self, name: &str, span: Range<usize>, path: &str, scenario: &Scenario) -> bool {
        let known = scenario.groups().any(|(_, group)| group.name == name);
        if !known {
            let groups = scenario.groups().map(|(_, group)| group.name.as_str());
            self.unknown(span, path, "group", name, groups);
        }
        known
    }
}
