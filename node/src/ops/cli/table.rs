//! What is told, for people. Lines fit 100 columns where ids and addresses let them.

use anstyle::{AnsiColor, Style};
use clap::ColorChoice;
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use super::view::{Agent, Class, LagView, Peer, Peers, State, Status};

const BOLD: Style = Style::new().bold();
const GOOD: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Green)));
const MIDDLING: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Yellow)));
const BAD: Style = Style::new().bold().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Red)));

/// Characters of an endpoint id that logs show too.
const SHORT_ID: usize = 10;
const NOTHING: &str = "-";

/// Whether there are colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Paint {
    Plain,
    Colour,
}

impl Paint {
    /// `--color`, NO_COLOR, CLICOLOR_FORCE, and whether it is a terminal.
    pub fn for_stdout(choice: ColorChoice) -> Self {
        let colours = match choice {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => {
                !matches!(anstream::AutoStream::choice(&std::io::stdout()), anstream::ColorChoice::Never)
            }
        };
        if colours { Self::Colour } else { Self::Plain }
    }

    fn styled(self, style: Style, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Colour => format!("{style}{text}{style:#}"),
        }
    }
}

fn style_of(state: State) -> Style {
    match state {
        State::InSync => GOOD,
        State::Behind | State::Reconciling => MIDDLING,
        State::Away | State::NeverSeen => BAD,
    }
}

pub(super) fn status(view: &Status, paint: Paint) -> String {
    let how = match (&view.not_ready_reason, view.ready) {
        (_, true) => paint.styled(GOOD, "ready"),
        (Some(why), false) => format!("{}: {}", paint.styled(BAD, "NOT READY"), printable(why)),
        (None, false) => paint.styled(BAD, "NOT READY"),
    };
    let mut text = format!("{} is {how}\n", paint.styled(BOLD, &printable(&view.node_id)));
    let mut line = |name: &str, value: String| text.push_str(&format!("  {name:<12} {value}\n"));
    if !view.app_id.is_empty() {
        line("formation", printable(&view.app_id));
    }
    line("endpoint id", printable(&view.endpoint_id));
    if !view.version.is_empty() {
        line("running", format!("for {}, version {}", age(view.uptime_seconds), printable(&view.version)));
    }
    line("peers", peer_counts(view, paint));
    if let Some(relay) = &view.home_relay {
        let away = if view.home_relay_connected { String::new() } else { paint.styled(BAD, ", out of reach") };
        line("relay", format!("{}{away}", printable(relay)));
    }
    let store = &view.store;
    let on_disk = store.file_bytes.map_or_else(String::new, |file| format!(" in a file of {}", bytes(file)));
    let kept = format!("{}, {}", count(store.documents, "document"), count(store.tombstones, "tombstone"));
    line("store", format!("{kept}, {}{on_disk}", bytes(store.document_bytes)));
    if store.uncommitted_bytes > 0 {
        line("", format!("{} wait for the disk", bytes(store.uncommitted_bytes)));
    }
    line("traffic", traffic(view));
    line(
        "sessions",
        format!("{} since the start, {} of them reconnects", number(view.sessions), number(view.reconnects)),
    );
    if view.refused_handshakes > 0 {
        let refused = paint.styled(MIDDLING, &count(view.refused_handshakes, "handshake"));
        line("refused", format!("{refused} since the start"));
    }
    if let Some(agent) = &view.agent {
        line("agent", watched(agent, paint));
    }
    text
}

/// How the watched agent is, and what is wrong with it if something is.
fn watched(agent: &Agent, paint: Paint) -> String {
    let well = agent.state == "ok";
    let state = paint.styled(if well { GOOD } else { BAD }, &printable(&agent.state));
    let good = match agent.last_good_seconds {
        Some(ago) => format!("answered in full {} ago", age(ago)),
        None => "has not answered in full since the start".into(),
    };
    let told = format!("{} is {state}, {good}, {}", printable(&agent.address), count(agent.documents, "document"));
    match (&agent.last_error, agent.last_error_seconds) {
        (Some(what), Some(ago)) if !well || agent.last_good_seconds.is_none_or(|good| ago < good) => {
            format!("{told}\n  {:<12} {}, {} ago", "", printable(what), age(ago))
        }
        _ => told,
    }
}

/// The sums, and in the same order the classes that carried anything.
fn traffic(view: &Status) -> String {
    let used = view.classes.iter().filter(|class| class.bytes_sent + class.bytes_received > 0);
    let one = |class: &Class| format!("{} {}/{}", class.class, bytes(class.bytes_sent), bytes(class.bytes_received));
    let classes: Vec<String> = used.map(|class| printable(&one(class))).collect();
    let classes = if classes.is_empty() { String::new() } else { format!(" ({})", classes.join(", ")) };
    format!("{} sent, {} received{classes}", bytes(view.bytes_sent), bytes(view.bytes_received))
}

fn peer_counts(view: &Status, paint: Paint) -> String {
    let peers = &view.peers;
    if !view.sync_active {
        return paint.styled(BAD, "synchronisation is stopped (StartSync resumes it)");
    }
    if peers.wanted + peers.connected == 0 {
        return "none are wanted, none are connected".into();
    }
    let counted = [
        (peers.in_sync, State::InSync),
        (peers.behind, State::Behind),
        (peers.reconciling, State::Reconciling),
        (peers.away, State::Away),
        (peers.never_seen, State::NeverSeen),
    ];
    let counted = counted.into_iter().filter(|(count, _)| *count > 0);
    let counted =
        counted.map(|(count, state)| paint.styled(style_of(state), &format!("{} {}", number(count), state.words())));
    counted.collect::<Vec<_>>().join(", ")
}

pub(super) fn peers(view: &Peers, paint: Paint) -> String {
    if view.peers.is_empty() {
        return "no peer is wanted and none is connected; --peer or ConnectPeer names one\n".into();
    }
    let mut table = table(["PEER", "STATE", "FOR", "PATH", "ADDRESS", "RTT", "LAG", "SENT", "RECEIVED"]);
    for peer in &view.peers {
        let duration = peer.connected_seconds.or(peer.away_seconds).map_or_else(|| NOTHING.into(), age);
        let address = peer.path_address.as_ref().or(peer.addresses.first());
        table.add_row([
            short(&peer.endpoint_id),
            peer.state.words().into(),
            duration,
            peer.path.unwrap_or(NOTHING).into(),
            address.map_or_else(|| NOTHING.into(), |address| printable(address)),
            peer.round_trip_seconds.map_or_else(|| NOTHING.into(), age),
            lag_words(peer.lag_changes, peer.lag_seconds),
            if peer.connected { bytes(peer.bytes_sent) } else { NOTHING.into() },
            if peer.connected { bytes(peer.bytes_received) } else { NOTHING.into() },
        ]);
    }
    right(&mut table, &[2, 5, 7, 8]);
    let states: Vec<State> = view.peers.iter().map(|peer| peer.state).collect();
    let mut text = painted(&table, &states, paint);
    for peer in view.peers.iter().filter(|peer| peer.wanted && !peer.connected) {
        text.push_str(&format!("\n{} {}\n", paint.styled(BAD, &short(&peer.endpoint_id)), trouble(peer)));
    }
    text
}

/// What an operator should know of a peer that is not there.
fn trouble(peer: &Peer) -> String {
    let since = match peer.away_seconds {
        Some(away) => format!("has been away for {}", age(away)),
        None => "has not been here since this node started".into(),
    };
    let ago = peer.last_error_seconds.map_or_else(String::new, |seconds| format!(", {} ago", age(seconds)));
    let tried = match peer.attempts {
        0 => String::new(),
        attempts => format!("; {}", count(attempts.into(), "attempt")),
    };
    let last = peer.last_error.as_ref().map_or_else(String::new, |why| format!("\n  last{ago}: {}", printable(why)));
    let at = match peer.addresses.is_empty() {
        true => String::new(),
        false => format!("\n  dialled at {}", printable(&peer.addresses.join(", "))),
    };
    format!("{since}{tried}{last}{at}")
}

pub(super) fn lag(view: &LagView, paint: Paint) -> String {
    if view.peers.is_empty() {
        return "no peer is wanted and none is connected: nobody can be behind\n".into();
    }
    let mut table = table(["PEER", "STATE", "CHANGES", "OLDEST", "DOCUMENTS TO SEND", "WITHIN"]);
    for row in &view.peers {
        table.add_row([
            short(&row.endpoint_id),
            row.state.words().into(),
            row.lag_changes.map_or_else(|| "unknown".into(), number),
            row.lag_seconds.map_or_else(|| "unknown".into(), age),
            number(row.waiting_documents),
            if row.within { "yes" } else { "NO" }.into(),
        ]);
    }
    right(&mut table, &[2, 3, 4]);
    let states: Vec<State> = view.peers.iter().map(|row| row.state).collect();
    let mut text = painted(&table, &states, paint);
    let changes = view.max_changes.map_or_else(String::new, |most| format!(" and {}", count(most, "change")));
    let limit = format!("{} s{changes}", view.max_seconds);
    let all = view.peers.len() as u64;
    text.push_str(&match (view.behind, all) {
        (0, _) => format!("\n{} is within {limit}\n", paint.styled(GOOD, "every peer")),
        (1, 1) => format!("\n{} is not within {limit}\n", paint.styled(BAD, "the peer")),
        (behind, _) => {
            let which = format!("{} of {}", number(behind), count(all, "peer"));
            let are = if behind == 1 { "is" } else { "are" };
            format!("\n{} {are} not within {limit}\n", paint.styled(BAD, &which))
        }
    });
    text
}

fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    // Never wrapped: a line of a table that is cut in two cannot be searched, and a narrow terminal wraps it itself.
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header);
    if let Some(first) = table.column_mut(0) {
        first.set_padding((0, 1));
    }
    table
}

fn right(table: &mut Table, columns: &[usize]) {
    for column in columns {
        if let Some(column) = table.column_mut(*column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

/// The table with a bold header and coloured states. Coloured afterwards, since escapes would count as width.
fn painted(table: &Table, states: &[State], paint: Paint) -> String {
    let mut text = String::new();
    for (position, line) in table.to_string().lines().enumerate() {
        let line = line.trim_end();
        match position.checked_sub(1).and_then(|row| states.get(row)) {
            None => text.push_str(&paint.styled(BOLD, line)),
            Some(state) => {
                text.push_str(&line.replacen(state.words(), &paint.styled(style_of(*state), state.words()), 1))
            }
        }
        text.push('\n');
    }
    text
}

fn lag_words(changes: Option<u64>, seconds: Option<f64>) -> String {
    match (changes, seconds) {
        (None, _) => "unknown".into(),
        (Some(0), _) => "none".into(),
        (Some(changes), seconds) => format!("{}, {}", count(changes, "change"), age(seconds.unwrap_or_default())),
    }
}

fn short(id: &str) -> String {
    printable(id).chars().take(SHORT_ID).collect()
}

/// What a node sent, without anything that a terminal would obey.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// `1 document`, `1,234 documents`.
fn count(count: u64, noun: &str) -> String {
    format!("{} {noun}{}", number(count), if count == 1 { "" } else { "s" })
}

/// With commas between thousands.
fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes in decimal units with three digits.
fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1000.0;
    let mut unit = 0;
    // 999.95 would be printed as 1000.
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = if value < 9.995 {
        2
    } else if value < 99.95 {
        1
    } else {
        0
    };
    format!("{value:.digits$} {}", UNITS[unit])
}

/// A time as it is said: two units at most.
pub(super) fn age(seconds: f64) -> String {
    let whole = seconds as u64;
    match seconds {
        s if s <= 0.0 => "0 s".into(),
        s if s < 0.000_999_5 => format!("{:.0} µs", s * 1e6),
        s if s < 0.009_95 => format!("{:.1} ms", s * 1e3),
        s if s < 0.999_5 => format!("{:.0} ms", s * 1e3),
        s if s < 59.95 => format!("{s:.1} s"),
        s if s < 3600.0 => format!("{}m {:02}s", whole / 60, whole % 60),
        s if s < 86_400.0 => format!("{}h {:02}m", whole / 3600, whole % 3600 / 60),
        _ => format!("{}d {:02}h", whole / 86_400, whole % 86_400 / 3600),
    }
}
