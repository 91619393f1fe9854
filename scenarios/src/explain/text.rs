//! What a person reads.

use super::{Explained, Explanation, Part};
use crate::report::{Paint, WIDTH, count, line, plural, push, span, table, wrap};

impl Explanation<'_> {
    /// For a terminal, with the slowest of the operations.
    pub fn text(&self, slowest: usize, paint: Paint) -> String {
        let (mut out, meta) = (String::new(), &self.record.meta);
        line(&mut out, &paint.bold(&meta.scenario));
        wrap(&meta.purpose, WIDTH).iter().for_each(|row| line(&mut out, &paint.dim(row)));
        let world = format!("world {}/{}", meta.world, meta.engine);
        line(&mut out, &format!("seed {} · {world} · {}", meta.seed, plural(self.arrivals.len() as u64, "arrival")));
        line(
            &mut out,
            &format!("\n{}", paint.bold("Achieved against possible: how late, and of 5 ms or more as a multiple")),
        );
        self.bounds(&mut out);
        line(&mut out, &format!("\n{}", paint.bold("Where the time went")));
        self.totals(&mut out);
        let slowest = self.slowest(slowest);
        line(&mut out, &format!("\n{}", paint.bold(&format!("The {} slowest operations", slowest.len()))));
        for (number, arrival) in slowest.into_iter().enumerate() {
            self.one(&mut out, paint, number + 1, arrival);
        }
        out
    }

    fn bounds(&self, out: &mut String) {
        let mut table = table(["arrivals", "all", "late p50", "p99", "max", "5 ms+", "p50", "p90", "p99", "max"], 9);
        for (name, connected) in [("connected", true), ("outage-spanning", false)] {
            let against = self.against(connected);
            let (ratio, late) = (against.ratio, against.late);
            let mut row = vec![name.to_owned(), count(late.count)];
            row.extend([late.p50, late.p99, late.max].map(|value| match late.count {
                0 => "-".to_owned(),
                _ => span(value),
            }));
            row.push(count(ratio.count));
            row.extend([ratio.p50, ratio.p90, ratio.p99, ratio.max].map(|value| match ratio.count {
                0 => "-".to_owned(),
                _ => format!("{value:.2} x"),
            }));
            table.add_row(row);
        }
        push(out, &table);
    }

    fn totals(&self, out: &mut String) {
        let mut table = table(["mean per arrival", "connected", "share", "outage-spanning", "share"], 4);
        let kinds = [true, false].map(|connected| {
            let arrivals = self.arrivals.iter().filter(|arrival| arrival.connected == connected).count();
            (self.spent(connected), u32::try_from(arrivals).unwrap_or(u32::MAX))
        });
        for part in Part::ALL {
            let mut row = vec![part.name().to_owned()];
            for (spent, arrivals) in &kinds {
                let (time, total) = (spent.of(part), spent.total());
                match time.is_zero() {
                    true => row.extend(["-".to_owned(), String::new()]),
                    false => row.extend([
                        span(time / (*arrivals).max(1)),
                        format!("{:.1} %", 100.0 * time.as_secs_f64() / total.as_secs_f64()),
                    ]),
                }
            }
            table.add_row(row);
        }
        push(out, &table);
    }

    fn one(&self, out: &mut String, paint: Paint, number: usize, arrival: &Explained) {
        let topology = &self.record.topology;
        let key = &self.record.operations[arrival.position].key;
        let path = arrival.hops.iter().map(|hop| hop.from).chain([arrival.replica]);
        let path: Vec<&str> = path.map(|node| topology.name(node)).collect();
        let head = format!("{} {key}  {}", self.verb(arrival), path.join(" > "));
        let mut rows = wrap(&head, WIDTH - 6).into_iter();
        line(out, &format!("  {number:>2}. {}", paint.bold(&rows.next().unwrap_or_default())));
        rows.for_each(|row| line(out, &format!("      {row}")));
        let possible = match (arrival.possible, arrival.ratio()) {
            (Some(at), Some(ratio)) => format!("possible {at}: {ratio:.2} x, {} late", span(arrival.late())),
            (Some(at), None) => format!("possible {at}, {} late", span(arrival.late())),
            (None, _) => "never possible".to_owned(),
        };
        line(out, &format!("      acknowledged {}, visible {}, {possible}", arrival.acknowledged, arrival.visible));
        let parts: Vec<String> =
            arrival.parts.spent().map(|(part, time)| format!("{} {}", part.name(), span(time))).collect();
        let sum = format!("{} = {}", span(arrival.latency()), parts.join(" + "));
        wrap(&sum, WIDTH - 6).iter().for_each(|row| line(out, &format!("      {row}")));
    }
}
