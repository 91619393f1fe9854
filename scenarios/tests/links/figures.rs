//! What the plots show.

use std::collections::BTreeMap;
use std::time::Duration;

use peat_scenarios::SimTime;
use peat_scenarios::model::{Direction, Trace};
use peat_scenarios::model::{LinkSchedule, LinkShape};
use peat_scenarios::physics::{Bursts, CoDel, Discipline, Fate, Link, LinkParams, Red};
use peat_scenarios::profiles::Profile;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::plot::{Axis, Plot};

pub fn all() -> Vec<(&'static str, Plot)> {
    vec![
        ("delay", delay()),
        ("batch", batch()),
        ("bufferbloat", bufferbloat()),
        ("bursts", bursts()),
        ("schedules", schedules()),
    ]
}

fn rng() -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(23)
}

/// One-way delay of a full datagram on an idle link, as a distribution.
fn delay() -> Plot {
    let series = Profile::ALL.into_iter().map(|profile| {
        let params = LinkParams { schedule: None, reorder: true, ..profile.params() };
        let (mut rng, mut now, mut delays) = (rng(), SimTime::ZERO, Vec::new());
        let mut link = Link::new(params);
        for _ in 0..4_000 {
            // Far enough apart never to wait for one another.
            now += Duration::from_secs(20);
            delays
                .extend(link.offer(now, 1_200, &mut rng).deliveries().map(|copy| (copy.at - now).as_secs_f64() * 1e3));
        }
        delays.sort_by(f64::total_cmp);
        let quantile = |percent: usize| (delays[(delays.len() - 1) * percent / 100], percent as f64);
        (profile.to_string(), (0..=100).step_by(2).chain([99]).map(quantile).collect::<Vec<_>>())
    });
    let sorted = series.map(|(name, mut points)| {
        points.sort_by(|a, b| a.1.total_cmp(&b.1));
        (name, points)
    });
    Plot {
        title: "One-way delay of a datagram of 1,200 bytes on an idle link, up",
        x: Axis {
            label: "delay, milliseconds",
            log: true,
            ticks: vec![
                (0.1, "0.1"),
                (1.0, "1"),
                (10.0, "10"),
                (100.0, "100"),
                (1_000.0, "1,000"),
                (10_000.0, "10,000"),
            ],
        },
        y: percent("datagrams that have arrived, %"),
        series: sorted.collect(),
    }
}

fn percent(label: &'static str) -> Axis {
    let ticks = vec![(0.0, "0"), (25.0, "25"), (50.0, "50"), (75.0, "75"), (100.0, "100")];
    Axis { label, log: false, ticks }
}

/// Time until a batch is over, if nothing is lost and the sender fills the link.
fn batch() -> Plot {
    let sizes = || (0..=40).map(|step| libm::pow(10.0, 3.0 + f64::from(step) / 10.0));
    let series = Profile::ALL.into_iter().map(|profile| {
        let params = profile.params();
        let datagram = params.serialisation(1_200).as_secs_f64();
        let time = |bytes: f64| (bytes / 1_200.0).ceil() * datagram + params.latency.as_secs_f64();
        (profile.to_string(), sizes().map(|bytes| (bytes, time(bytes))).collect())
    });
    Plot {
        title: "Least time for a batch, up, in contact and without losses",
        x: Axis {
            label: "bytes",
            log: true,
            ticks: vec![(1e3, "1 kB"), (1e4, "10 kB"), (1e5, "100 kB"), (1e6, "1 MB"), (1e7, "10 MB")],
        },
        y: Axis {
            label: "seconds",
            log: true,
            ticks: vec![
                (1e-4, "0.0001"),
                (1e-3, "0.001"),
                (0.01, "0.01"),
                (0.1, "0.1"),
                (1.0, "1"),
                (10.0, "10"),
                (100.0, "100"),
                (1_000.0, "1,000"),
                (10_000.0, "10,000"),
            ],
        },
        series: series.collect(),
    }
}

/// A sender that does what TCP does: twice as much a round trip until the first loss, then one datagram more, and half as
/// much after each further loss. Its waits, in
/// milliseconds, by the second in which a datagram was sent.
fn greedy(discipline: Discipline) -> Vec<(f64, f64)> {
    const SIZE: usize = 1_200;
    let back = Duration::from_millis(40);
    let params = LinkParams {
        latency: Duration::from_millis(40),
        bandwidth_bps: Some(2_000_000),
        queue_bytes: 256 * 1024,
        discipline,
        ..LinkParams::PERFECT
    };
    let service = params.serialisation(SIZE).as_secs_f64() * 1e3;
    let (mut link, mut rng) = (Link::new(params), rng());
    let (mut window, mut in_flight, mut waits) = (10.0, 0u32, Vec::new());
    let (mut deaf_until, mut starting) = (SimTime::ZERO, true);
    // What comes back to the sender, and when: an acknowledgement, or that something is missing.
    let mut news: BTreeMap<(SimTime, u64), bool> = BTreeMap::new();
    let (mut now, mut sequence) = (SimTime::ZERO, 0);
    while now < SimTime::from_secs(40) {
        while f64::from(in_flight) < window {
            sequence += 1;
            in_flight += 1;
            match link.offer(now, SIZE, &mut rng) {
                Fate::Deliver(copies) => {
                    let wait = (copies.first.at - now).as_secs_f64() * 1e3 - 40.0 - service;
                    waits.push((now.as_secs_f64(), wait));
                    news.insert((copies.first.at + back, sequence), true);
                }
                Fate::Drop(_) => drop(news.insert((now + Duration::from_millis(200), sequence), false)),
            }
        }
        let Some(((at, _), arrived)) = news.pop_first() else { break };
        now = at;
        in_flight -= 1;
        if arrived {
            window += if starting { 1.0 } else { 1.0 / window };
        } else if now >= deaf_until {
            starting = false;
            window = (window / 2.0f64).max(2.0);
            // What else is missing was sent before.
            deaf_until = now + Duration::from_millis(1_300);
        }
    }
    // One point a quarter of a second: the longest wait in it.
    let mut points: BTreeMap<u64, f64> = BTreeMap::new();
    for (at, wait) in waits {
        let longest = points.entry((at * 4.0) as u64).or_default();
        *longest = longest.max(wait);
    }
    points.into_iter().map(|(quarter, wait)| (quarter as f64 / 4.0, wait)).collect()
}

fn bufferbloat() -> Plot {
    let red = Red { min_bytes: 8 * 1024, max_bytes: 32 * 1024, drop: 0.1 };
    let series = [
        ("drop-tail", Discipline::DropTail),
        ("CoDel, 5 ms", Discipline::CoDel(CoDel::DEFAULT)),
        ("RED, 8 to 32 KiB", Discipline::Red(red)),
    ];
    Plot {
        title: "Wait in a queue of 256 KiB before 2 Mbit/s, with one greedy sender",
        x: Axis {
            label: "seconds",
            log: false,
            ticks: vec![(0.0, "0"), (10.0, "10"), (20.0, "20"), (30.0, "30"), (40.0, "40")],
        },
        y: Axis {
            label: "longest wait, milliseconds",
            log: false,
            ticks: vec![
                (0.0, "0"),
                (250.0, "250"),
                (500.0, "500"),
                (750.0, "750"),
                (1_000.0, "1,000"),
                (1_250.0, "1,250"),
            ],
        },
        series: series.into_iter().map(|(name, discipline)| (name.to_owned(), greedy(discipline))).collect(),
    }
}

/// How long losses last: the share of runs of losses that are at least so long.
fn bursts() -> Plot {
    let lost = |params: LinkParams| {
        let (mut link, mut rng) = (Link::new(params), rng());
        let (mut runs, mut run) = (Vec::new(), 0u32);
        for _ in 0..400_000 {
            match link.offer(SimTime::ZERO, 1_200, &mut rng) {
                Fate::Drop(_) => run += 1,
                Fate::Deliver(_) if run > 0 => runs.push(std::mem::take(&mut run)),
                Fate::Deliver(_) => {}
            }
        }
        let share = |least: u32| runs.iter().filter(|run| **run >= least).count() as f64 / runs.len() as f64;
        (1..=40).map(|least| (f64::from(least), share(least))).filter(|(_, share)| *share >= 1e-4).collect()
    };
    let chain = |length: f64| {
        let leave = 1.0 / length;
        let enter = 0.05 * leave / 0.95;
        LinkParams { bursts: Some(Bursts { enter, leave, loss: 1.0 }), ..LinkParams::PERFECT }
    };
    Plot {
        title: "Runs of losses on links that lose 5 % of all datagrams",
        x: Axis {
            label: "datagrams lost in a row, at least",
            log: false,
            ticks: vec![(1.0, "1"), (10.0, "10"), (20.0, "20"), (30.0, "30"), (40.0, "40")],
        },
        y: Axis {
            label: "share of runs",
            log: true,
            ticks: vec![(1e-4, "0.0001"), (1e-3, "0.001"), (0.01, "0.01"), (0.1, "0.1"), (1.0, "1")],
        },
        series: vec![
            ("independent".to_owned(), lost(LinkParams { loss: 0.05, ..LinkParams::PERFECT })),
            ("bursts of 3".to_owned(), lost(chain(3.0))),
            ("bursts of 10".to_owned(), lost(chain(10.0))),
        ],
    }
}

/// What arrives of a steady 100 kbit/s over an hour.
fn schedules() -> Plot {
    let pass = "time_s,rate_bps,delay_ms,loss\n0,down,,\n600,9600,40,0.2\n720,128000,20,\n1080,9600,40,0.2\n1200,down,,\n2400,,,\n";
    let trace = Trace::parse("pass.csv", true, pass).unwrap();
    let passes = LinkShape { schedule: Some(LinkSchedule::Trace(trace)), ..LinkShape::profile(Profile::TacticalRadio) };
    let links = [
        ("wan", Profile::Wan.params()),
        ("iridium-like", Profile::IridiumLike.params()),
        ("mule", Profile::Mule.params()),
        ("a CSV trace", passes.params_of(Direction::Forward, &LinkParams::PERFECT)),
    ];
    let series = links.map(|(name, params)| {
        let (mut link, mut rng) = (Link::new(params), rng());
        let mut arrived: BTreeMap<u64, f64> = BTreeMap::new();
        // 1,250 bytes on the wire, ten times a second.
        for tenth in 0..36_000 {
            let now = SimTime::from_millis(tenth * 100);
            for copy in link.offer(now, 1_222, &mut rng).deliveries() {
                *arrived.entry(copy.at.as_nanos() / 30_000_000_000).or_default() += 1.25e-3;
            }
        }
        let mut sum = 0.0;
        let points = (0..=120).map(|slice| {
            let point = (slice as f64 / 2.0, sum);
            sum += arrived.get(&slice).copied().unwrap_or_default();
            point
        });
        (name.to_owned(), points.collect())
    });
    Plot {
        title: "What has arrived of a steady 100 kbit/s, nothing being sent again",
        x: Axis {
            label: "minutes",
            log: false,
            ticks: vec![(0.0, "0"), (15.0, "15"), (30.0, "30"), (45.0, "45"), (60.0, "60")],
        },
        y: Axis {
            label: "megabytes",
            log: false,
            ticks: vec![(0.0, "0"), (10.0, "10"), (20.0, "20"), (30.0, "30"), (40.0, "40"), (50.0, "50")],
        },
        series: series.into(),
    }
}
