//! What resuming costs, and what a peer that does not keep to the protocol achieves: nothing.

use std::time::Duration;

use proptest::prelude::*;

use super::super::class::Class;
use super::super::interest::Interest;
use super::super::session::SessionError;
use super::super::wire::{
    Cell, Control, Cut, Data, Epoch, Form, FrameError, Hello, Next, Ordinal, Read, Set, Tell, Told, Turn, Update,
    with_check,
};
use super::world::{Stream, World, key};

fn committed(world: &mut World, node: usize) {
    let now = world.now;
    world.nodes[node].begin_commit();
    world.nodes[node].finish_commit(now);
}

#[test]
fn a_resume_sends_what_changed_and_not_what_exists() {
    let mut world = World::new(2, &[(0, 1)]);
    for i in 0..500 {
        world.nodes[0].put(&format!("old-{i}"), r#"{"x":1}"#);
    }
    world.settle();
    world.disconnect(0);
    world.nodes[0].put("old-7", r#"{"x":2}"#);
    world.nodes[1].put("new", r#"{"y":1}"#);
    committed(&mut world, 0);
    committed(&mut world, 1);
    world.connect(0);
    assert!(world.deliver(0, 0, Stream::Control) && world.deliver(0, 1, Stream::Control), "both say hello");
    assert!(!world.deliver(0, 0, Stream::Control) && !world.deliver(0, 1, Stream::Control), "nothing else is said");
    let bytes = world.data_in_flight();
    assert!(bytes > 0 && bytes < 400, "{bytes} bytes for two changes");
    world.settle();
    assert_eq!(world.nodes[0].read("new"), world.nodes[1].read("new"));
    assert_eq!(world.nodes[1].read("old-7").as_deref(), Some(r#"{"x":2}"#));
}

#[test]
fn what_came_from_a_peer_is_not_sent_back_after_a_reconnect() {
    // Without claims of their own, numbers that moved on by received changes would all be sent back.
    let mut world = World::new(2, &[(0, 1)]);
    world.settle();
    for i in 0..100 {
        world.nodes[0].put(&format!("{i}"), r#"{"x":1}"#);
    }
    world.settle();
    world.disconnect(0);
    world.connect(0);
    while world.deliver(0, 0, Stream::Control) || world.deliver(0, 1, Stream::Control) {}
    assert_eq!(world.data_in_flight(), 0);
}

#[test]
fn a_backlog_of_one_document_is_one_send() {
    let mut world = World::new(2, &[(0, 1)]);
    world.nodes[0].put("d", r#"{"n":0}"#);
    world.settle();
    world.disconnect(0);
    for n in 1..=1000 {
        world.nodes[0].put("d", &format!(r#"{{"n":{n}}}"#));
        committed(&mut world, 0);
    }
    world.connect(0);
    while world.deliver(0, 0, Stream::Control) || world.deliver(0, 1, Stream::Control) {}
    assert!(world.deliver(0, 1, Stream::Data(Class::State)), "one frame");
    assert!(!world.deliver(0, 1, Stream::Data(Class::State)), "and no other");
    assert_eq!(world.nodes[1].read("d").as_deref(), Some(r#"{"n":1000}"#));
}

#[test]
fn a_store_restored_from_an_old_copy_reconciles() {
    let mut world = World::new(2, &[(0, 1)]);
    world.nodes[0].put("a", r#"{"x":1}"#);
    world.settle();
    // The peer has seen change 1 of an epoch whose store now starts from nothing.
    world.disconnect(0);
    world.nodes[0].disk = super::world::Disk::default();
    world.crash(0);
    world.nodes[0].put("b", r#"{"y":1}"#);
    world.settle();
    for node in 0..2 {
        assert_eq!(world.nodes[node].read("a").as_deref(), Some(r#"{"x":1}"#));
        assert_eq!(world.nodes[node].read("b").as_deref(), Some(r#"{"y":1}"#));
    }
}

#[test]
fn strangers_that_differ_little_send_each_other_what_differs() {
    let mut world = World::new(2, &[(0, 1)]);
    for i in 0..400 {
        world.nodes[0].put(&format!("d{i}"), r#"{"x":1,"text":"much longer than what changes of it"}"#);
    }
    committed(&mut world, 0);
    world.nodes[1].disk = world.nodes[0].disk.copy_for_a_stranger();
    world.crash(1);
    // Some documents change here, some there, and some at both.
    for (node, documents) in [(0, 0..20), (1, 10..30)] {
        for i in documents {
            world.nodes[node].put(
                &format!("d{i}"),
                &format!(r#"{{"x":1,"n{node}":2,"text":"much longer than what changes of it"}}"#),
            );
        }
        committed(&mut world, node);
    }
    world.connect(0);
    while world.deliver(0, 0, Stream::Control) || world.deliver(0, 1, Stream::Control) {}
    let bytes = world.data_in_flight();
    // 10 are newer on each side; of the 10 that both changed, the reader sends all it has, a change and its past.
    assert!(bytes > 0 && bytes < 20 * 200 + 10 * 400, "{bytes} bytes");
    world.settle();
    assert!(world.errors.is_empty(), "{:?}", world.errors);
    for (doc, expected) in [("d5", 1), ("d15", 2), ("d25", 1), ("d35", 0)] {
        let texts = [0, 1].map(|node| world.nodes[node].read(doc).expect("there"));
        assert_eq!((texts[0] == texts[1], texts[0].matches(":2").count()), (true, expected), "{texts:?}");
    }
    // It is known from now on how far both have come.
    world.disconnect(0);
    world.connect(0);
    assert!(world.deliver(0, 0, Stream::Control) && world.deliver(0, 1, Stream::Control), "both say hello");
    assert!(!world.deliver(0, 0, Stream::Control) && !world.deliver(0, 1, Stream::Control), "nothing else is said");
    assert_eq!(world.data_in_flight(), 0);
}

/// A victim with one document, and the sessions of an attacker that has been admitted.
fn victim() -> (World, u64) {
    let mut world = World::new(1, &[]);
    world.nodes[0].put("d", r#"{"x":1}"#);
    committed(&mut world, 0);
    let id = world.nodes[0].core.open_session([9; 32], false, Duration::ZERO);
    (world, id)
}

fn stranger() -> Hello {
    Hello { epoch: [9; 16], last: 3, classes: 0, interest: Interest::Everything, seen: None }
}

fn greet(world: &mut World, id: u64) -> Ordinal {
    let mut ordinal = Ordinal::default();
    let hello = Control::Hello(stranger()).encode(&mut ordinal);
    world.nodes[0].core.on_control(id, &hello, Duration::ZERO).expect("a good hello");
    ordinal
}

#[test]
fn frames_out_of_phase_are_refused() {
    let (mut world, id) = victim();
    let claim = Data::Through { through: 1 }.encode(&mut Ordinal::default());
    let early = world.nodes[0].core.on_data(id, Class::State, &claim, world.now);
    assert!(matches!(early, Err(SessionError::OutOfPhase { frame: "data", .. })), "{early:?}");
    let mut ordinal = greet(&mut world, id);
    let again = Control::Hello(stranger()).encode(&mut ordinal);
    let second = world.nodes[0].core.on_control(id, &again, Duration::ZERO);
    assert!(matches!(second, Err(SessionError::OutOfPhase { frame: "hello", .. })), "{second:?}");
}

#[test]
fn changes_without_their_past_are_refused_and_leave_no_trace() {
    let (mut world, id) = victim();
    let mut source = World::new(1, &[]);
    source.nodes[0].put("e", r#"{"x":1}"#);
    committed(&mut source, 0);
    source.nodes[0].put("e", r#"{"x":2}"#);
    committed(&mut source, 0);
    let base = super::super::outbox::Base::Before(2);
    let changes = source.nodes[0].core.documents().changes_for(&key("e"), &base).expect("readable");
    let changes: Vec<u8> = changes.into_iter().flat_map(|piece| piece.changes).collect();
    greet(&mut world, id);
    let update = Update { key: key("e"), changes, base: None, through: 3 };
    let frame = Data::Update(update).encode(&mut Ordinal::default());
    let refused = world.nodes[0].core.on_data(id, Class::State, &frame, world.now);
    assert!(matches!(refused, Err(SessionError::Remote(_))), "{refused:?}");
    assert_eq!(world.nodes[0].read("e"), None);
    assert_eq!(world.nodes[0].core.documents().index().len(), 1);
    let reopened = world.nodes[0].core.open_session([9; 32], false, Duration::ZERO);
    let hello = world.nodes[0].core.next_control(reopened).expect("open").expect("a hello");
    let Ok(Control::Hello(hello)) = Control::decode(&hello, &mut Ordinal::default()) else { panic!("a hello") };
    assert_eq!(hello.seen, None, "the claim of the refused frame is not believed");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn garbage_ends_the_session_and_changes_nothing(
        frames in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..200)), 1..6),
    ) {
        let (mut world, id) = victim();
        let mut control = greet(&mut world, id);
        let mut data_stream = Ordinal::default();
        let before = world.nodes[0].core.documents().index().fingerprint();
        for (data, body) in frames {
            // A hostile member knows how to make a check.
            let payload = with_check([vec![0; 4], body].concat(), if data { &mut data_stream } else { &mut control });
            let now = world.now;
            let core = &mut world.nodes[0].core;
            let taken = if data { core.on_data(id, Class::State, &payload, now) } else { core.on_control(id, &payload, Duration::ZERO) };
            if taken.is_err() {
                core.close_session(id);
                break;
            }
        }
        prop_assert_eq!(world.nodes[0].core.documents().index().fingerprint(), before);
    }

    #[test]
    fn no_epoch_or_claim_makes_a_node_forget_or_invent(epoch in any::<Epoch>(), last: u64, through: u64) {
        let (mut world, id) = victim();
        let mut ordinal = Ordinal::default();
        let hello = Control::Hello(Hello { epoch, last, ..stranger() }).encode(&mut ordinal);
        world.nodes[0].core.on_control(id, &hello, Duration::ZERO).expect("a possible hello");
        let claim = Data::Through { through }.encode(&mut Ordinal::default());
        let now = world.now;
        world.nodes[0].core.on_data(id, Class::State, &claim, now).expect("a possible claim");
        let text = world.nodes[0].read("d");
        prop_assert_eq!(text.as_deref(), Some(r#"{"x":1}"#));
    }
}

#[test]
fn a_reconciliation_that_never_ends_is_ended() {
    let (mut world, id) = victim();
    let mut ordinal = greet(&mut world, id);
    let cut = Cut { salt: 1, bits: 0, index: 0, attempt: 0 };
    let flood = Turn::Read(Read { cut, wants: vec![], pairs: vec![], next: Next::Ask(cut, Form::Cells(1000)) });
    // The victim awaits our opening; told what nobody can read, it tells us what it has, as often as we ask.
    let opening = Turn::Tell(Tell { recalls: vec![], told: Some(nonsense(cut)) });
    let opening = Control::Reconcile(opening).encode(&mut ordinal);
    world.nodes[0].core.on_control(id, &opening, Duration::ZERO).expect("a possible opening");
    for _ in 0..100 {
        let payload = Control::Reconcile(flood.clone()).encode(&mut ordinal);
        if let Err(error) = world.nodes[0].core.on_control(id, &payload, Duration::ZERO) {
            assert!(matches!(error, SessionError::Reconcile(_)), "{error}");
            return;
        }
        while world.nodes[0].core.next_control(id).expect("open").is_some() {}
    }
    panic!("it is answered for ever");
}

/// A sketch of a thousand documents that nobody can read.
fn nonsense(cut: Cut) -> Told {
    let cells = vec![Cell { deviation: 9, ids: 1, checks: 1 }; 128];
    Told { cut, count: 1000, set: Set::Cells(cells) }
}

#[test]
fn a_frame_over_the_limit_is_refused_before_it_is_read() {
    let mut deframer = super::super::wire::Deframer::new(512);
    deframer.push(&[0xff, 0xff, 0x7f]);
    assert!(matches!(deframer.next_payload(), Err(FrameError::TooLarge { limit: 512, .. })));
}
