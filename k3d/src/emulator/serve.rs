//! The far end of the channel: an emulator in a process of its own.

use std::io::{self, BufRead, Read, Write};

use serde::Serialize;

use super::protocol::{Answer, LINE_BYTES, Request, Setup};
use super::{Emulator, Handle};

/// Is an emulator for as long as the channel lasts.
pub fn serve(requests: impl Read, mut answers: impl Write) -> io::Result<()> {
    let mut requests = io::BufReader::new(requests);
    let Some(setup) = line(&mut requests)? else { return Ok(()) };
    let emulator = match serde_json::from_str::<Setup>(&setup).map_err(io::Error::from).and_then(Emulator::start) {
        Ok(emulator) => emulator,
        Err(error) => return tell(&mut answers, &Answer::Failed(error.to_string())),
    };
    tell(&mut answers, &Answer::Ready)?;
    let handle = emulator.handle();
    while let Some(request) = line(&mut requests)? {
        if emulator.has_failed() {
            let why = emulator.stop().err().map_or_else(|| "its thread ended".to_owned(), |error| error.to_string());
            return tell(&mut answers, &Answer::Failed(why));
        }
        let answer = match serde_json::from_str(&request) {
            Ok(request) => answer(&handle, request),
            Err(error) => Answer::Failed(format!("not a request: {error}")),
        };
        tell(&mut answers, &answer)?;
    }
    emulator.stop()
}

fn answer(handle: &Handle, request: Request) -> Answer {
    match request {
        Request::Begin => handle.begin(),
        Request::Apply(step) => handle.apply(&step),
        Request::Move { node, to } => handle.relocate(node, to),
        Request::Counters(pairs) => return Answer::Counters(handle.counters(&pairs)),
        Request::Effect(fault) => return Answer::Effect(Box::new(handle.effect(fault))),
        Request::End => return Answer::Tally(Box::new(handle.end())),
    }
    Answer::Done
}

/// The next line; `None` at the end of the channel.
fn line(from: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = String::new();
    from.take(LINE_BYTES).read_line(&mut line)?;
    match line.as_str() {
        "" => Ok(None),
        whole if whole.ends_with('\n') => Ok(Some(line)),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, format!("a line is longer than {LINE_BYTES} bytes"))),
    }
}

fn tell(to: &mut impl Write, answer: &impl Serialize) -> io::Result<()> {
    let mut text = serde_json::to_vec(answer)?;
    text.push(b'\n');
    to.write_all(&text)?;
    to.flush()
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use peat_scenarios::Scenario;
    use peat_scenarios::model::{LinkShape, LinkSpec, Workload};
    use peat_scenarios::plan::{self, FaultIndex, NodeIndex, Step};

    use super::*;
    use crate::emulator::remote::Links;
    use crate::emulator::{PortSetup, received};

    const A: NodeIndex = NodeIndex(0);
    const B: NodeIndex = NodeIndex(1);

    fn free() -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        // What does not come fails the test.
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        socket
    }

    fn setup(a: &UdpSocket, b: &UdpSocket) -> Setup {
        let shape = LinkShape { latency: Some(Duration::from_millis(1)), ..LinkShape::default() };
        let scenario = Scenario::builder("pair")
            .purpose("two sockets")
            .duration(Duration::from_secs(60))
            .cluster("c", |cluster| cluster.group("a", 1).group("b", 1))
            .link(LinkSpec::shaped("a", "b", shape))
            .workload(Workload::heartbeat(["a"], Duration::from_secs(30)));
        let topology = plan::expand(&scenario.build().unwrap(), 1).topology;
        let port = |faces, stands_for, node: &UdpSocket| PortSetup {
            faces,
            stands_for,
            bind: free().local_addr().unwrap(),
            node: node.local_addr().unwrap(),
            roams: false,
            entering: false,
        };
        Setup { topology, seed: 1, ports: vec![port(A, B, a), port(B, A, b)] }
    }

    fn channel() -> (UnixStream, tokio::net::UnixStream) {
        let (far, near) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        (far, tokio::net::UnixStream::from_std(near).unwrap())
    }

    /// Asks until it is so: datagrams and requests come in at different places.
    async fn soon(mut so: impl AsyncFnMut() -> bool) {
        let asking = async {
            while !so().await {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), asking).await.unwrap();
    }

    #[tokio::test]
    async fn an_emulator_at_the_end_of_a_channel_does_what_it_is_told() {
        let (a, b) = (free(), free());
        let setup = setup(&a, &b);
        let (far, near) = channel();
        let serving = std::thread::spawn(move || serve(far.try_clone().unwrap(), far));
        let (answers, requests) = near.into_split();
        let mut links = Links::open(answers, requests, &setup).await.unwrap();
        let (to_b, to_a) = (setup.ports[0].bind, setup.ports[1].bind);
        let mut buffer = [0; 16];

        links.begin().await.unwrap();
        a.send_to(b"hello", to_b).unwrap();
        let (length, from) = received(&b, &mut buffer);
        assert_eq!((&buffer[..length], from), (b"hello".as_slice(), to_a));
        b.send_to(b"and back", from).unwrap();
        let (length, from) = received(&a, &mut buffer);
        assert_eq!((&buffer[..length], from), (b"and back".as_slice(), to_b));

        // One way is cut, the other is not.
        let fault = FaultIndex(0);
        links.apply(&Step::LinksDown { fault, pairs: vec![(A, B)] }).await.unwrap();
        a.send_to(b"lost", to_b).unwrap();
        b.send_to(b"heard", to_a).unwrap();
        assert_eq!(received(&a, &mut buffer).0, 5);
        soon(async || links.counters(&[(A, B)]).await.unwrap().down == 1).await;
        links.apply(&Step::Heal { fault, pairs: vec![(A, B)] }).await.unwrap();

        // Held, and let go by the heal.
        links.apply(&Step::Clog { fault, pairs: vec![(A, B)] }).await.unwrap();
        a.send_to(b"held", to_b).unwrap();
        b.send_to(b"meanwhile", to_a).unwrap();
        assert_eq!(received(&a, &mut buffer).0, 9);
        soon(async || links.effect(fault).await.unwrap().datagrams_held == 1).await;
        links.apply(&Step::Heal { fault, pairs: vec![(A, B)] }).await.unwrap();
        assert_eq!(received(&b, &mut buffer).0, 4);

        // A stranger is not let in; a node that moved is.
        let moved = free();
        moved.send_to(b"stranger", to_b).unwrap();
        a.send_to(b"known", to_b).unwrap();
        assert_eq!(received(&b, &mut buffer).0, 5);
        links.relocate(A, moved.local_addr().unwrap()).await.unwrap();
        moved.send_to(b"known now", to_b).unwrap();
        assert_eq!(received(&b, &mut buffer).0, 9);

        let tally = links.end().await.unwrap();
        assert_eq!((tally.strays.from_strangers, tally.strays.not_taken), (1, 0));
        assert_eq!(tally.traffic.sent.datagrams, 8);
        assert_eq!(tally.handed_on, 7);
        drop(links);
        serving.join().unwrap().unwrap();
    }

    #[tokio::test]
    async fn an_address_that_is_taken_is_told() {
        let (a, b) = (free(), free());
        let mut setup = setup(&a, &b);
        setup.ports[0].bind = a.local_addr().unwrap();
        let (far, near) = channel();
        let serving = std::thread::spawn(move || serve(far.try_clone().unwrap(), far));
        let (answers, requests) = near.into_split();
        let error = Links::open(answers, requests, &setup).await.err().unwrap().to_string();
        assert!(error.contains(&format!("cannot listen on {}", setup.ports[0].bind)), "{error}");
        serving.join().unwrap().unwrap();
    }

    #[test]
    fn what_is_no_request_is_told_and_the_channel_goes_on() {
        let (a, b) = (free(), free());
        let setup = serde_json::to_string(&setup(&a, &b)).unwrap();
        let mut answers = Vec::new();
        serve(format!("{setup}\n\"begin\"\n{{\"fly\":1}}\n\"end\"\n").as_bytes(), &mut answers).unwrap();
        let answers = String::from_utf8(answers).unwrap();
        let answers: Vec<&str> = answers.lines().collect();
        assert_eq!(answers[..2], ["\"ready\"", "\"done\""]);
        assert!(answers[2].starts_with("{\"failed\":\"not a request: unknown variant `fly`"), "{}", answers[2]);
        assert!(answers[3].starts_with("{\"tally\""), "{}", answers[3]);
    }
}
