//! What somebody achieves who reaches the mesh port and does not keep to the rules. Real endpoints on loopback;
//! `docs/security.md` names these tests.

mod world;

use std::time::Duration;

use futures::FutureExt;
use iroh::endpoint::ConnectionError;

use super::super::admission::frames::{Answer, Offer, Offered, Welcome};
use super::super::admission::{Binding, Keyring};
use super::super::allow_list::AllowList;
use super::super::{ALPN, Refusal};
use crate::core::wire::frame;
use crate::limits;
use crate::node::Observation;
use world::{KEY, Member, OTHER_KEY, Raw, close_code, formation, node, node_of};

const REFUSED_FORMATION: &[u8] = &[0, 1];
const REFUSED_VERSION: &[u8] = &[0, 2];

#[tokio::test]
async fn whoever_lacks_the_key_or_the_app_id_is_refused_and_told_nothing_else() {
    let target = node(1).await;
    let strangers = [
        formation("fleet", Some(OTHER_KEY), None),
        formation("fleet", None, None),
        formation("other", Some(KEY), None),
    ];
    for (number, stranger) in strangers.iter().enumerate() {
        let raw = Raw::bind().await;
        let connection = raw.dial(&target).await;
        // A version that the target does not speak makes no difference to a stranger.
        let versions = if number == 0 { vec![9] } else { vec![1] };
        let offer = raw.offer(&connection, &target, stranger, versions);
        assert_eq!(Raw::say(&connection, &offer.encode()).await, REFUSED_FORMATION);
        assert_eq!(close_code(&connection).await, 1);
    }
    assert_eq!(target.handle().admissions().refused_for(Refusal::Formation), 3);
    assert_eq!(target.handle().status().connected_peers, 0);
}

#[tokio::test]
async fn a_proof_that_was_recorded_on_one_connection_is_refused_on_another() {
    let (target, raw) = (node(1).await, Raw::bind().await);
    target.want(&raw).await;
    let (_dialled, recorded, _answer) = raw.accept_offer().await;
    let connection = raw.dial(&target).await;
    assert_eq!(Raw::say(&connection, &recorded).await, REFUSED_FORMATION);

    // Nor does it help with another member, of whom the recorder pretends to be the dialer.
    let other = node(2).await;
    let connection = raw.dial(&other).await;
    assert_eq!(Raw::say(&connection, &recorded).await, REFUSED_FORMATION);
}

#[tokio::test]
async fn a_proof_that_is_sent_back_to_its_maker_is_refused() {
    let (target, raw) = (node(1).await, Raw::bind().await);
    target.want(&raw).await;
    let (dialled, recorded, mut answer) = raw.accept_offer().await;
    let offer = Offer::decode(&recorded).expect("made by a node");
    let welcome = Welcome { version: 1, incarnation: 5, proof: offer.proofs[0] };
    answer.write_all(&frame(&Answer::Welcome(welcome).encode())).await.expect("sent");
    assert_eq!(close_code(&dialled).await, 1);
    target.saw(|event| matches!(event, Observation::Refused { peer, .. } if *peer == raw.id())).await;
    assert_eq!(target.handle().status().connected_peers, 0);
}

#[tokio::test]
async fn an_offer_that_was_lowered_after_its_proof_was_made_is_refused() {
    let (target, raw) = (node(1).await, Raw::bind().await);
    let connection = raw.dial(&target).await;
    let mut offer = raw.offer(&connection, &target, &formation("fleet", Some(KEY), None), vec![2, 1]);
    offer.offered.versions = vec![1];
    assert_eq!(Raw::say(&connection, &offer.encode()).await, REFUSED_FORMATION);
}

#[tokio::test]
async fn a_member_that_speaks_no_common_version_is_refused_with_that_reason() {
    let (target, raw) = (node(1).await, Raw::bind().await);
    let connection = raw.dial(&target).await;
    let offer = raw.offer(&connection, &target, &formation("fleet", Some(KEY), None), vec![9, 8]);
    assert_eq!(Raw::say(&connection, &offer.encode()).await, REFUSED_VERSION);
    assert_eq!(close_code(&connection).await, 2);
}

#[tokio::test]
async fn an_answer_in_a_version_that_was_not_offered_is_refused() {
    let (target, raw) = (node(1).await, Raw::bind().await);
    target.want(&raw).await;
    let (dialled, recorded, mut answer) = raw.accept_offer().await;
    let offer = Offer::decode(&recorded).expect("made by a node");
    let binding = Binding::new(&dialled, target.id(), raw.id()).expect("exported");
    let keys = Keyring::new(&formation("fleet", Some(KEY), None));
    let key = keys.recognise(&binding, &offer).expect("a member");
    let proof = key.acceptor_proof(&binding, &offer.offered, 7, 5);
    let welcome = Welcome { version: 7, incarnation: 5, proof };
    answer.write_all(&frame(&Answer::Welcome(welcome).encode())).await.expect("sent");
    assert_eq!(close_code(&dialled).await, 16);
    assert_eq!(target.handle().status().connected_peers, 0);
}

#[tokio::test]
async fn a_client_of_another_protocol_is_refused_by_tls() {
    let (target, raw) = (node(1).await, Raw::bind().await);
    raw.endpoint.connect(target.address(), b"peat/2").await.expect_err("no such protocol here");
    assert_eq!(target.handle().admissions().admitted, 0);
}

#[tokio::test]
async fn whoever_answers_in_the_place_of_another_is_refused() {
    let (target, expected, other) = (node(1).await, Raw::bind().await, Raw::bind().await);
    let elsewhere = other.socket().to_string();
    target.handle().connect_peer(&expected.id().to_string(), vec![elsewhere], "").await.expect("kept");
    let incoming = other.endpoint.accept().await.expect("open");
    incoming.accept().expect("a first packet").await.expect_err("the dialer turns away");
    assert_eq!(target.handle().status().connected_peers, 0);
}

#[tokio::test]
async fn garbage_and_frames_that_are_too_large_are_refused() {
    let target = node(1).await;
    let one_too_many = vec![0x81, 0x04];
    let endless_length = vec![0xff; 6];
    let nonsense = frame(&[0xa5; 100]);
    for (n, garbage) in [one_too_many, endless_length, nonsense, frame(&[])].into_iter().enumerate() {
        let raw = Raw::bind().await;
        let connection = raw.dial(&target).await;
        let (mut send, _receive) = connection.open_bi().await.expect("the one stream");
        send.write_all(&garbage).await.expect("sent");
        assert_eq!(close_code(&connection).await, 16, "case {n}");
    }
    target.admissions(|counted| counted.malformed == 4).await;
}

#[tokio::test]
async fn further_streams_and_datagrams_are_refused_before_admission() {
    let (target, raw) = (node(1).await, Raw::bind().await);
    let connection = raw.dial(&target).await;
    assert!(connection.open_uni().now_or_never().is_none(), "no data stream");
    let _control = connection.open_bi().await.expect("the one stream");
    assert!(connection.open_bi().now_or_never().is_none(), "and no other");
    assert_eq!(connection.max_datagram_size(), None);
}

#[tokio::test]
async fn whoever_is_slow_on_purpose_is_refused_when_its_time_is_over() {
    let target = node(1).await;
    let (silent, no_end, drop_by_drop) = (Raw::bind().await, Raw::bind().await, Raw::bind().await);
    let began = tokio::time::Instant::now();
    let silent = silent.dial(&target).await;
    let no_end = no_end.dial(&target).await;
    let (mut half, _receive) = no_end.open_bi().await.expect("the one stream");
    half.write_all(&[100, 1, 1]).await.expect("sent");
    let drops = drop_by_drop.dial(&target).await;
    let (mut send, _receive) = drops.open_bi().await.expect("the one stream");
    let drip = async {
        loop {
            if send.write_all(&[100]).await.is_err() {
                return;
            }
            tokio::time::sleep(limits::ADMISSION_TIMEOUT / 20).await;
        }
    };
    let ended = futures::future::join4(close_code(&silent), close_code(&no_end), close_code(&drops), drip);
    let (a, b, c, ()) = ended.await;
    assert_eq!([a, b, c], [20; 3]);
    let took = began.elapsed();
    assert!(took < limits::ADMISSION_TIMEOUT + Duration::from_secs(3), "{took:?}");
    assert_eq!(target.admissions(|counted| counted.pending == 0).await.timed_out, 3);
}

#[tokio::test]
async fn half_open_connections_of_one_socket_are_bounded_and_a_member_gets_in_beside_them() {
    let target = node(1).await;
    let raw = Raw::bind().await;
    let mut dials: Vec<_> = (0..50).map(|_| Box::pin(raw.try_dial(&target))).collect();
    let mut open = Vec::new();
    while open.len() < limits::SOCKET_FAILURES.burst as usize {
        let (connection, _, rest) = futures::future::select_all(dials).await;
        open.push(connection.expect("within the allowance"));
        dials = rest;
    }
    let counted = target.admissions(|counted| counted.ignored > 0).await;
    assert_eq!(counted.pending, open.len());
    let member = node(2).await;
    member.want(&target).await;
    member.is_up_with(&target).await;
    assert_eq!(target.handle().admissions().pending, open.len(), "and costs no place once it is in");
}

#[tokio::test]
async fn a_source_that_fails_too_often_is_not_answered_and_a_member_beside_it_is() {
    let target = node(1).await;
    let raw = Raw::bind().await;
    let wrong = formation("fleet", Some(OTHER_KEY), None);
    for _ in 0..limits::SOCKET_FAILURES.burst {
        let connection = raw.dial(&target).await;
        let offer = raw.offer(&connection, &target, &wrong, vec![1]);
        assert_eq!(Raw::say(&connection, &offer.encode()).await, REFUSED_FORMATION);
    }
    // From the fifth on it had to show that it receives at its address, which it did.
    assert!(target.handle().admissions().challenged > 0);
    // Its handshake would be repeated after 1 s, when one failure is forgiven: so many at once that most are not.
    let dials: Vec<_> = (0..20).map(|_| Box::pin(raw.try_dial(&target))).collect();
    let dials = futures::future::join_all(dials);
    let member = node(2).await;
    let beside = async {
        member.want(&target).await;
        member.is_up_with(&target).await;
        target.admissions(|counted| counted.ignored >= 10).await
    };
    tokio::select! {
        biased;
        counted = beside => assert!(counted.pending <= limits::SOCKET_FAILURES.burst as usize),
        answers = dials => panic!("{} were answered", answers.iter().filter(|answer| answer.is_ok()).count()),
    }
}

#[tokio::test]
async fn a_member_that_is_not_on_the_allow_list_is_refused() {
    let (a, b) = (node(1).await, node(2).await);
    a.handle().set_allow_list(Some(AllowList::default()));
    b.want(&a).await;
    a.saw(|event| matches!(event, Observation::Refused { peer, reason } if *peer == b.id() && reason.contains("allow-list")))
        .await;
    assert_eq!(a.handle().admissions().refused_for(Refusal::NotAllowed), 1);
    assert_eq!(b.handle().status().connected_peers, 0);
}

#[tokio::test]
async fn whoever_is_not_on_the_allow_list_is_refused_as_a_dial_target() {
    let (target, raw, allowed) = (node(1).await, Raw::bind().await, Raw::bind().await);
    target.handle().set_allow_list(Some([allowed.id()].into_iter().collect()));
    target.want(&raw).await;
    target.want(&allowed).await;
    // Dialled in the order of the wishes; when the second one is, the first one would have been.
    allowed.accept_offer().await;
    let dialled = |id| move |event: &Observation| matches!(event, Observation::Dialing { peer, .. } if *peer == id);
    assert!(!target.has_seen(dialled(raw.id())));
    assert!(target.has_seen(dialled(allowed.id())));
}

#[tokio::test]
async fn revocation_closes_a_live_session_at_once_and_it_is_refused_until_it_is_allowed_again() {
    let (a, b) = (node(1).await, node(2).await);
    a.handle().set_allow_list(Some([b.id()].into_iter().collect()));
    a.want(&b).await;
    a.is_up_with(&b).await;
    b.is_up_with(&a).await;

    a.handle().set_allow_list(Some(AllowList::default()));
    assert_eq!(a.handle().admissions().revoked, 1);
    b.saw(|event| matches!(event, Observation::SessionDown { reason, .. } if reason.contains("revoked"))).await;
    a.saw(|event| matches!(event, Observation::SessionDown { .. })).await;
    assert_eq!(a.handle().status().connected_peers, 0);
    b.want(&a).await;
    a.saw(|event| matches!(event, Observation::Refused { reason, .. } if reason.contains("not on the allow-list")))
        .await;

    a.forget();
    a.handle().set_allow_list(None);
    a.is_up_with(&b).await;
}

#[tokio::test]
async fn in_the_middle_of_a_change_over_everything_still_arrives_and_the_ends_are_refused() {
    let old = node_of(1, formation("fleet", Some(KEY), None)).await;
    let both = node_of(2, formation("fleet", Some(OTHER_KEY), Some(KEY))).await;
    let new = node_of(3, formation("fleet", Some(OTHER_KEY), None)).await;
    both.want(&old).await;
    new.want(&both).await;
    both.is_up_with(&old).await;
    both.is_up_with(&new).await;
    old.put("d", r#"{"from":"old"}"#).await;
    new.put("e", r#"{"from":"new"}"#).await;
    assert_eq!(new.get("d").await, r#"{"from":"old"}"#);
    assert_eq!(old.get("e").await, r#"{"from":"new"}"#);

    old.want(&new).await;
    new.saw(|event| matches!(event, Observation::Refused { peer, .. } if *peer == old.id())).await;
}

#[tokio::test]
async fn a_peer_that_vanishes_in_the_middle_costs_nothing_afterwards() {
    let (target, raw) = (node(1).await, Raw::bind().await);
    let connection = raw.dial(&target).await;
    target.admissions(|counted| counted.pending == 1).await;
    connection.close(0u32.into(), b"");
    let counted = target.admissions(|counted| counted.pending == 0).await;
    assert_eq!((counted.lost, counted.admitted), (1, 0));
    assert!(matches!(connection.close_reason(), Some(ConnectionError::LocallyClosed)));
}

/// `docs/security.md` promises a test for everything that it says is refused.
#[test]
fn every_refusal_names_its_test() {
    let node = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut code = String::new();
    let mut directories = vec![node.join("src"), node.join("tests")];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).expect("readable") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                code.push_str(&std::fs::read_to_string(path).expect("readable"));
            }
        }
    }
    let document = std::fs::read_to_string(node.join("../docs/security.md")).expect("readable");
    let mut refusals = 0;
    for line in document.lines().filter(|line| line.contains("refused")) {
        let is_a_name = |word: &&str| word.contains('_') && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        let named: Vec<&str> = line.split('`').skip(1).step_by(2).filter(is_a_name).collect();
        assert!(!named.is_empty(), "no test is named in: {line}");
        for test in named {
            assert!(code.contains(&format!("fn {test}(")), "there is no test {test}, named in: {line}");
        }
        refusals += 1;
    }
    assert!(refusals > 30, "{refusals}");
}

#[test]
fn an_offer_of_a_node_names_every_version_that_it_speaks() {
    let offered = Offered { incarnation: 0, versions: super::super::admission::frames::SPOKEN.to_vec() };
    assert_eq!(offered.common_version(&[1]), Some(1));
    assert_eq!(ALPN, b"peat/1");
}
