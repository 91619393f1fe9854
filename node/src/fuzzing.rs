//! Fuzz targets: everything that decodes what a stranger or a hostile member sends. Each takes any bytes and
//! panics only if the node would have to be mended.
//!
//! `fuzz/` runs them under libFuzzer, guided by coverage; the tests below run them on any machine, with inputs that
//! are mutations of valid ones. `ci/fuzz` runs a million inputs of each and looks at memory. Compiled only for tests
//! and with the feature `fuzzing`.

use automerge::ActorId;

use crate::api::access::tokens::{TokenHash, TokenList};
use crate::core::batch::{DocumentStore, StoreReadError, Stored};
use crate::core::class::Class;
use crate::core::document::{JsonLimits, JsonObject};
use crate::core::engine::{Core, Traffic};
use crate::core::interest::Interest;
use crate::core::key::DocKey;
use crate::core::session::Now;
use crate::core::topology::Role;
use crate::core::wire::members::{Aged, FormationTag, Held, MembersFrame, Record, prefix};
use crate::core::wire::{
    Cell, Control, Cut, Data, Deframer, Form, Hello, Id, Mark, Next, Ordinal, Pair, Read, Recall, Seen, Seq, Set, Tell,
    Told, Turn, Update, frame, with_check,
};
use crate::limits;
use crate::mesh::admission::frames::{Answer, Offer, Offered, Welcome};
use crate::mesh::allow_list::AllowList;
use crate::node::Plants;

/// One decoder.
pub struct Target {
    /// As `fuzz/` and the tests name it.
    pub name: &'static str,
    /// Takes any bytes.
    pub run: fn(&[u8]),
    /// Inputs that are accepted, to start from.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "admission", run: admission, seeds: admission_seeds },
    Target { name: "deframer", run: deframer, seeds: deframer_seeds },
    Target { name: "control", run: control, seeds: control_seeds },
    Target { name: "data", run: data, seeds: data_seeds },
    Target { name: "session", run: session, seeds: session_seeds },
    Target { name: "allow_list", run: allow_list, seeds: allow_list_seeds },
    Target { name: "api_tokens", run: api_tokens, seeds: api_tokens_seeds },
];

/// What a stranger sends first, and what somebody who was dialled answers.
pub fn admission(input: &[u8]) {
    if let Ok(offer) = Offer::decode(input) {
        assert_eq!(offer.encode(), input, "an offer has one encoding");
        assert!(offer.offered.versions.len() <= limits::MAX_OFFERED_VERSIONS);
        assert!(offer.proofs.len() <= limits::MAX_FORMATION_KEYS);
    }
    if let Ok(answer) = Answer::decode(input) {
        assert_eq!(answer.encode(), input, "an answer has one encoding");
    }
}

fn admission_seeds() -> Vec<Vec<u8>> {
    let offer = |versions: &[u8], proofs: usize| Offer {
        offered: Offered { incarnation: 7, versions: versions.to_vec() },
        proofs: vec![[3; 32]; proofs],
    };
    let refusal = crate::mesh::Refusal::Formation;
    vec![
        offer(&[1], 1).encode(),
        offer(&[3, 2, 1], 2).encode(),
        Answer::Welcome(Welcome { version: 1, incarnation: 9, proof: [4; 32] }).encode(),
        Answer::Refusal(refusal).encode(),
    ]
}

/// Lengths on a stream: the first byte says into what pieces the network cuts the rest.
pub fn deframer(input: &[u8]) {
    let Some((cut, stream)) = input.split_first() else { return };
    let mut deframer = Deframer::new(limits::MAX_ADMISSION_FRAME_BYTES);
    for piece in stream.chunks(usize::from(*cut) + 1) {
        deframer.push(piece);
        loop {
            match deframer.next_payload() {
                Ok(Some(payload)) => assert!(payload.len() <= limits::MAX_ADMISSION_FRAME_BYTES),
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
}

fn deframer_seeds() -> Vec<Vec<u8>> {
    let stream: Vec<u8> = [0, 1, 127, 128, 512].iter().flat_map(|length| frame(&vec![1; *length])).collect();
    [0u8, 6, 255].iter().map(|cut| [&[*cut], stream.as_slice()].concat()).collect()
}

/// A control frame of a hostile member, who knows how to make a check.
pub fn control(input: &[u8]) {
    let Ok(frame) = Control::decode(&checked(input, &mut Ordinal::default()), &mut Ordinal::default()) else { return };
    let again = Control::decode(&frame.encode(&mut Ordinal::default()), &mut Ordinal::default());
    assert_eq!(again, Ok(frame), "what is accepted survives the way");
}

fn control_seeds() -> Vec<Vec<u8>> {
    controls().iter().map(|frame| frame.encode(&mut Ordinal::default()).split_off(4)).collect()
}

fn controls() -> Vec<Control> {
    let cut = Cut { salt: 7, bits: 0, index: 0, attempt: 0 };
    let told = |set| Turn::Tell(Tell { recalls: vec![], told: Some(Told { cut, count: 3, set }) });
    let pairs = vec![Pair { id: Id(5), tag: 6, heads: vec![Mark(7), Mark(8)] }];
    let recalls = vec![Recall::Ahead, Recall::Behind(vec![Mark(9)])];
    let only = Interest::only(["commands/ship-7.".parse().expect("a selector")]).expect("an interest");
    let seen = Seen { epoch: [2; 16], classes: 3, interest: 4, through: [5, 6, 7, 8] };
    let hello = |interest, seen| Hello { epoch: [1; 16], last: 5, classes: 9, interest, seen };
    let key = iroh::SecretKey::from_bytes(&[3; 32]);
    let record = Record::sign(&key, &FormationTag::new("fleet"), 1, Role::Peer, vec!["10.0.0.7:7777".into()]);
    let id = prefix(&record.id);
    let members = [
        MembersFrame::Digest { sum: 7 },
        MembersFrame::Buckets(vec![1; 64]),
        MembersFrame::List { buckets: 5, held: vec![Held { member: id, issue: 1 }] },
        MembersFrame::Have(vec![Held { member: id, issue: 2 }]),
        MembersFrame::Want(vec![id]),
        MembersFrame::Records { records: vec![Aged { record, age_s: 5 }], missing: vec![[1; 8]] },
        MembersFrame::Wish { wanted: true },
    ];
    let mut frames = vec![
        Control::Hello(hello(Interest::Everything, Some(seen))),
        Control::Hello(hello(only, None)),
        Control::Reconcile(told(Set::Ids(vec![Id(1), Id(2)]))),
        Control::Reconcile(told(Set::Cells(vec![Cell { deviation: -1, ids: 2, checks: 3 }; 128]))),
        Control::Reconcile(Turn::Read(Read { cut, wants: vec![Id(4)], pairs, next: Next::Ask(cut, Form::Cells(128)) })),
        Control::Reconcile(Turn::Tell(Tell { recalls, told: None })),
        Control::Receipt { received: 300, through: [1, 2, 3, 4] },
    ];
    frames.extend(members.map(Control::Members));
    frames
}

/// A data frame of a hostile member.
pub fn data(input: &[u8]) {
    let Ok(frame) = Data::decode(&checked(input, &mut Ordinal::default()), &mut Ordinal::default()) else { return };
    if let Data::Update(update) = &frame {
        assert!(update.changes.len() <= limits::MAX_FRAME_BYTES, "a few bytes may claim gigabytes");
    }
    let again = Data::decode(&frame.encode(&mut Ordinal::default()), &mut Ordinal::default());
    assert_eq!(again, Ok(frame), "what is accepted survives the way");
}

fn data_seeds() -> Vec<Vec<u8>> {
    datas().iter().map(|frame| frame.encode(&mut Ordinal::default()).split_off(4)).collect()
}

fn datas() -> Vec<Data> {
    let update = |id: &str, actor, json: &str| {
        let key = DocKey::new("c", id).expect("valid");
        Data::Update(Update { key, changes: changes(actor, json), base: None, through: 1 })
    };
    let large = format!(r#"{{"text":"{}","list":[1,2,{{"x":null}}]}}"#, "many words ".repeat(100));
    vec![
        Data::Through { through: 5 },
        update("d", 1, r#"{"a":1}"#),
        update("d", 2, r#"{"a":2,"b":{}}"#),
        update("e", 3, &large),
    ]
}

/// The changes of a new document.
fn changes(actor: u8, json: &str) -> Vec<u8> {
    let mut core = empty_core(actor);
    let json = JsonObject::parse(json, &JsonLimits::default()).expect("valid JSON");
    core.put(&DocKey::new("c", "d").expect("valid"), &json, 0).expect("nothing is read");
    let batch = core.take_batch().expect("one change");
    let rows = batch.docs.into_values();
    rows.flat_map(|rows| rows.snapshot.into_iter().chain(rows.tail.into_iter().map(|(_, row)| row))).flatten().collect()
}

/// Control frames that one frame of a peer may be answered with.
const MOST_ANSWERS: usize = 2;

/// What a hostile member says after its hello, frame after frame: `u8` (bit 0: data, else control), `u16` length, payload
/// without its check.
pub fn session(input: &[u8]) {
    let mut core = empty_core(0);
    let id = core.open_session([9; 32], false, Now::ZERO);
    let (mut control, mut data) = (Ordinal::default(), Ordinal::default());
    let hello = Hello { epoch: [3; 16], last: 9, classes: 0, interest: Interest::Everything, seen: None };
    let hello = Control::Hello(hello).encode(&mut control);
    core.on_control(id, &hello, Now::ZERO).expect("a possible hello");
    let mut rest = input;
    while let Some((head, tail)) = rest.split_first_chunk::<3>() {
        let length = usize::from(u16::from_le_bytes([head[1], head[2]])).min(tail.len());
        let (body, tail) = tail.split_at(length);
        rest = tail;
        let taken = if head[0] & 1 == 1 {
            core.on_data(id, Class::State, &checked(body, &mut data), Now::ZERO)
        } else {
            core.on_control(id, &checked(body, &mut control), Now::ZERO)
        };
        if taken.is_err() {
            break;
        }
        for answers in 0.. {
            assert!(answers <= MOST_ANSWERS, "a frame is answered with a bounded number of frames");
            match core.next_control(id) {
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => break,
            }
        }
    }
    core.close_session(id);
}

fn session_seeds() -> Vec<Vec<u8>> {
    let said = |data: u8, body: Vec<u8>| {
        let length = u16::try_from(body.len()).expect("seeds are small").to_le_bytes();
        [&[data][..], &length, &body].concat()
    };
    let control: Vec<_> = control_seeds().into_iter().skip(2).map(|body| said(0, body)).collect();
    let data: Vec<_> = data_seeds().into_iter().map(|body| said(1, body)).collect();
    let mut seeds = vec![control.concat(), data.concat(), [control.concat(), data.concat()].concat()];
    seeds.extend(control.into_iter().chain(data));
    seeds
}

/// The file of an operator, or of whoever can write where it lies.
pub fn allow_list(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    match AllowList::parse(text) {
        Ok(list) => assert!(list.len() <= text.lines().count()),
        Err(wrong) => assert!((1..=text.lines().count()).contains(&wrong.line)),
    }
}

fn allow_list_seeds() -> Vec<Vec<u8>> {
    let id = iroh::SecretKey::from_bytes(&[3; 32]).public();
    vec![format!("# the fleet\n{id} # ship-7\r\n\n{id}\n").into_bytes()]
}

/// The operator's file of tokens for the API.
pub fn api_tokens(input: &[u8]) {
    let lines = input.split(|byte| *byte == b'\n').count();
    match TokenList::parse(input) {
        Ok(list) => assert!(list.in_force(0) <= list.len() && list.len() <= lines),
        Err(wrong) => assert!((1..=lines).contains(&wrong.line)),
    }
}

fn api_tokens_seeds() -> Vec<Vec<u8>> {
    let hash = TokenHash::of("a token of sixteen");
    let rest = r#""collections":["tracks","team-a.*"],"expires":"2027-01-01T00:00:00+01:00","revoked":false"#;
    vec![format!("# a\n{{\"name\":\"a\",\"sha256\":\"{hash}\",\"scope\":\"read\",{rest}}}\r\n\n").into_bytes()]
}

fn checked(content: &[u8], ordinal: &mut Ordinal) -> Vec<u8> {
    with_check([&[0; 4], content].concat(), ordinal)
}

/// A disk with nothing on it.
struct Nothing;

impl DocumentStore for Nothing {
    fn snapshot(&self, _key: &DocKey) -> Result<Option<Vec<u8>>, StoreReadError> {
        Ok(None)
    }

    fn tail(&self, _key: &DocKey, _from: Seq) -> Result<Vec<(Seq, Vec<u8>)>, StoreReadError> {
        Ok(vec![])
    }

    fn first_in_tail(&self, _key: &DocKey, _from: Seq) -> Result<Option<Seq>, StoreReadError> {
        Ok(None)
    }
}

fn empty_core(actor: u8) -> Core {
    let stored = Stored { epoch: [1; 16], ..Stored::default() };
    Core::new(Box::new(Nothing), stored, ActorId::from([actor; 12]), [7; 32], Traffic::default(), Plants::default())
}

#[cfg(test)]
mod tests {
    use rand::{Rng, RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// Inputs of each target in an ordinary test run: a moment.
    const A_FEW: u64 = 3_000;
    /// Sets how many inputs each target gets, and has memory looked at: `ci/fuzz`.
    const INPUTS: &str = "PEAT_FUZZ_INPUTS";
    const LONGEST_BYTES: usize = 4 << 10;
    /// What a process may grow by between the first tenth of the inputs and the last: the allocator's, not ours.
    const MOST_GROWTH_BYTES: u64 = 4 << 20;

    /// A mutation of a seed, or noise.
    fn input(seeds: &[Vec<u8>], rng: &mut ChaCha8Rng) -> Vec<u8> {
        if rng.random_range(0..16) == 0 {
            let mut noise = vec![0; rng.random_range(0..200)];
            rng.fill_bytes(&mut noise);
            return noise;
        }
        let mut bytes = seeds[rng.random_range(0..seeds.len())].clone();
        for _ in 0..rng.random_range(0..6) {
            let at = rng.random_range(0..=bytes.len());
            match rng.random_range(0..7) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at, rng.random()),
                2 if at < bytes.len() => drop(bytes.remove(at)),
                3 if at < bytes.len() => bytes[at] ^= 1 << rng.random_range(0..8),
                // Numbers at the edges of what their width holds.
                4 if at < bytes.len() => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][rng.random_range(0..5)],
                5 => {
                    let other = &seeds[rng.random_range(0..seeds.len())];
                    bytes.truncate(at);
                    bytes.extend_from_slice(&other[rng.random_range(0..=other.len())..]);
                }
                6 => {
                    let upto = rng.random_range(at..=bytes.len());
                    let piece = bytes[at..upto].to_vec();
                    bytes.splice(at..at, piece);
                }
                _ => {}
            }
        }
        bytes.truncate(LONGEST_BYTES);
        bytes
    }

    fn resident_bytes() -> Option<u64> {
        let pages = std::fs::read_to_string("/proc/self/statm").ok()?.split(' ').nth(1)?.parse::<u64>().ok()?;
        Some(pages * 4096)
    }

    fn fuzz(name: &str) {
        let target = TARGETS.iter().find(|target| target.name == name).expect("listed");
        let wanted = std::env::var(INPUTS).ok().map(|given| given.parse::<u64>().expect("a number of inputs"));
        let inputs = wanted.unwrap_or(A_FEW);
        let seeds = (target.seeds)();
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut settled = None;
        for n in 0..inputs {
            if n == inputs / 10 {
                settled = resident_bytes();
            }
            (target.run)(&input(&seeds, &mut rng));
        }
        let Some((before, after)) = wanted.and(settled.zip(resident_bytes())) else { return };
        let grown = after.saturating_sub(before);
        println!("{name}: {inputs} inputs, resident {} KiB, grown by {} KiB", after >> 10, grown >> 10);
        assert!(grown <= MOST_GROWTH_BYTES, "{name} grew by {grown} bytes");
    }

    #[test]
    fn every_seed_is_accepted() {
        for seed in admission_seeds() {
            assert!(Offer::decode(&seed).is_ok() || Answer::decode(&seed).is_ok());
        }
        for frame in controls() {
            let payload = frame.encode(&mut Ordinal::default());
            assert_eq!(Control::decode(&payload, &mut Ordinal::default()), Ok(frame));
        }
        let mut core = empty_core(0);
        let id = core.open_session([9; 32], false, Now::ZERO);
        let hello = Hello { epoch: [3; 16], last: 9, classes: 0, interest: Interest::Everything, seen: None };
        let hello = Control::Hello(hello);
        core.on_control(id, &hello.encode(&mut Ordinal::default()), Now::ZERO).expect("accepted");
        let mut stream = Ordinal::default();
        for frame in datas() {
            core.on_data(id, Class::State, &frame.encode(&mut stream), Now::ZERO).expect("accepted");
        }
        (TARGETS.iter()).for_each(|target| (target.seeds)().iter().for_each(|seed| (target.run)(seed)));
    }

    #[test]
    fn admission_frames_never_panic() {
        fuzz("admission");
    }

    #[test]
    fn frame_lengths_never_panic() {
        fuzz("deframer");
    }

    #[test]
    fn control_frames_never_panic() {
        fuzz("control");
    }

    #[test]
    fn data_frames_never_panic() {
        fuzz("data");
    }

    #[test]
    fn sessions_never_panic() {
        fuzz("session");
    }

    #[test]
    fn allow_lists_never_panic() {
        fuzz("allow_list");
    }

    #[test]
    fn api_tokens_never_panic() {
        fuzz("api_tokens");
    }
}
