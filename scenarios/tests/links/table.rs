//! The table of profiles.

use std::fmt::Write as _;
use std::time::Duration;

use peat_scenarios::model::Direction;
use peat_scenarios::physics::{LinkParams, Schedule};
use peat_scenarios::profiles::Profile;

pub const BEGIN: &str =
    "<!-- Written by `PEAT_WRITE_DOCS=1 cargo test -p peat-scenarios --test links`; change the code, not this. -->\n";
pub const END: &str = "<!-- End of the table. -->\n";

pub fn rows() -> String {
    let mut text = String::from("| profile | latency | jitter | loss | in bursts | bandwidth | queue | besides |\n");
    text.push_str("|---|---|---|---|---|---|---|---|\n");
    for profile in Profile::ALL {
        let ways = [Direction::Forward, Direction::Back].map(|direction| profile.params_of(direction));
        let both = |figure: &dyn Fn(&LinkParams) -> String| match ways.each_ref().map(figure) {
            [up, down] if up == down => up,
            [up, down] => format!("{up} up, {down} down"),
        };
        writeln!(
            text,
            "| `{profile}` | {} | {} | {} | {} | {} | {} | {} |",
            both(&|link| span(link.latency)),
            both(&jitter),
            both(&|link| percent(link.loss)),
            both(&bursts),
            both(&|link| bandwidth(link.bandwidth_bps.unwrap())),
            both(&|link| format!("{} KiB", link.queue_bytes / 1024)),
            both(&besides),
        )
        .unwrap();
    }
    text
}

fn span(span: Duration) -> String {
    match span.as_micros() {
        0 => "0".to_owned(),
        micros @ 1..1_000 => format!("{micros} µs"),
        micros => format!("{} ms", micros as f64 / 1e3),
    }
}

fn jitter(link: &LinkParams) -> String {
    match link.jitter.is_zero() {
        true => "0".to_owned(),
        false => format!("{}, {}", span(link.jitter), link.spread),
    }
}

fn percent(share: f64) -> String {
    match share {
        0.0 => "0".to_owned(),
        share => format!("{} %", (share * 1e4).round() / 1e2),
    }
}

fn bursts(link: &LinkParams) -> String {
    let Some(bursts) = link.bursts else { return "–".to_owned() };
    format!("{} in bursts of {}", percent(bursts.mean_loss()), (1.0 / bursts.leave).round())
}

fn bandwidth(bps: u64) -> String {
    match bps {
        1_000_000_000.. => format!("{} Gbit/s", bps / 1_000_000_000),
        1_000_000.. => format!("{} Mbit/s", bps as f64 / 1e6),
        _ => format!("{} kbit/s", bps as f64 / 1e3),
    }
}

fn besides(link: &LinkParams) -> String {
    let mut words = Vec::new();
    if !link.reorder {
        words.push("keeps the order".to_owned());
    }
    if let Some(mtu) = link.mtu {
        words.push(format!("MTU {mtu}"));
    }
    if link.duplicate > 0.0 {
        words.push(format!("{} duplicated", percent(link.duplicate)));
    }
    if let Some(Schedule::Windows(windows)) = link.schedule.as_deref() {
        words.push(format!("there for {:.0} % of the time", windows.presence() * 100.0));
    }
    words.join(", ")
}
