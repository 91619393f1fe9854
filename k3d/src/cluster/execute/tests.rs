use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use peat_scenarios::library;
use peat_scenarios::plan::expand;

use super::*;
use crate::cluster::Options;

/// Writes down what it is asked, and fails where it is told to.
#[derive(Clone, Default)]
pub struct Recorder(Rc<RefCell<Book>>);

#[derive(Default)]
pub struct Book {
    asked: Vec<String>,
    /// Lines that contain the text fail so many times; `None`: the program is not there.
    fails: Vec<(&'static str, Option<u32>)>,
    /// Programs that are running.
    running: usize,
    paused: VecDeque<Duration>,
}

pub struct Running(Rc<RefCell<Book>>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.borrow_mut().running -= 1;
    }
}

impl Recorder {
    fn failing(fails: &[(&'static str, Option<u32>)]) -> Self {
        Recorder(Rc::new(RefCell::new(Book { fails: fails.to_vec(), ..Book::default() })))
    }

    fn take(&self, line: &Line) -> Result<(), Failure> {
        let mut book = self.0.borrow_mut();
        let text = line.to_string();
        book.asked.push(text.clone());
        for (part, times) in &mut book.fails {
            if !text.contains(*part) {
                continue;
            }
            match times {
                None => return Err(Failure::Absent { program: line.program, remedy: "install it" }),
                Some(0) => {}
                Some(times) => {
                    *times -= 1;
                    return Err(Failure::Refused { line: text, code: "code 1".into(), said: "engine busy".into() });
                }
            }
        }
        Ok(())
    }

    fn begin(&self) -> Running {
        self.0.borrow_mut().running += 1;
        Running(self.0.clone())
    }

    /// Programs that are running.
    pub fn running(&self) -> usize {
        self.0.borrow().running
    }

    /// What was asked up to now is of no interest.
    pub fn forget(&self) {
        self.0.borrow_mut().asked.clear();
    }

    pub fn asked(&self) -> Vec<String> {
        self.0.borrow().asked.clone()
    }
}

impl Hands for Recorder {
    type Kept = Running;

    async fn run(&self, line: &Line) -> Result<String, Failure> {
        self.take(line)?;
        // Whatever is asked for is an address.
        Ok("10.9.8.7\n".into())
    }

    async fn keep(&self, line: &Line) -> Result<(Running, String), Failure> {
        self.take(line)?;
        Ok((self.begin(), "Forwarding from 127.0.0.1:41753 -> 50051".into()))
    }

    async fn open(&self, line: &Line) -> Result<(Running, Channel), Failure> {
        self.take(line)?;
        let (near, far) = tokio::io::duplex(1 << 16);
        // An edge that says yes to everything.
        let (requests, mut answers) = tokio::io::split(far);
        tokio::task::spawn_local(async move {
            use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
            let mut requests = BufReader::new(requests).lines();
            let mut answer: &[u8] = b"\"ready\"\n";
            while let Ok(Some(_)) = requests.next_line().await {
                if answers.write_all(answer).await.is_err() {
                    return;
                }
                answer = b"\"done\"\n";
            }
        });
        let (answers, requests) = tokio::io::split(near);
        Ok((self.begin(), (Box::new(answers), Box::new(requests))))
    }

    async fn pause(&self, span: Duration) {
        self.0.borrow_mut().paused.push_back(span);
    }
}

fn execution(hands: &Recorder, options: &Options) -> Execution<Recorder> {
    let scenario = library::find("two-cluster-blackout").unwrap().scenario().unwrap();
    let expanded = expand(&scenario, scenario.seed);
    let plan = Plan::new(&scenario, &expanded, options);
    let variables = [("DIR", "/tmp/run"), ("KEY", "c2VjcmV0")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    Execution::new(hands.clone(), plan, expanded.topology, variables.into())
}

fn block<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, future)
}

fn lines(phases: &[Phase]) -> Vec<String> {
    let steps = phases.iter().flat_map(|phase| &phase.steps);
    let lines = steps.filter_map(|step| match &step.act {
        Act::Run(line) | Act::Keep { line, .. } | Act::Open { line, .. } => Some(line.clone()),
        Act::Call { .. } | Act::Links { .. } => None,
    });
    let known = [("DIR", "/tmp/run"), ("KEY", "c2VjcmV0"), ("IP_ALPHA", "10.9.8.7"), ("IP_BRAVO", "10.9.8.7")];
    let known = known.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    lines.map(|line| line.filled(&known).unwrap().to_string()).collect()
}

#[test]
fn what_is_done_is_the_plan_and_nothing_else() {
    let hands = Recorder::default();
    block(async {
        let mut execution = execution(&hands, &Options::default());
        execution.set_up().await.unwrap();
        assert_eq!(hands.asked(), lines(&execution.plan().set_up));
        assert_eq!(execution.variable("API_ALPHA_EDGE_0"), Some("41753"));
        assert_eq!(execution.take_edges().len(), 2);
        // Six ways to APIs and two edges run along.
        assert_eq!(hands.running(), 8);
        hands.forget();
        assert_eq!(execution.clean_up().await, Vec::<String>::new());
        let clean_up = execution.plan().clean_up.clone();
        assert_eq!(hands.asked(), lines(&[clean_up]));
        assert_eq!(hands.running(), 0);
        // It is gone: there is nothing to do a second time.
        hands.forget();
        execution.clean_up().await;
        assert_eq!(hands.asked(), Vec::<String>::new());
    });
}

#[test]
fn an_engine_that_is_busy_once_is_asked_again_after_what_it_left_by_half_is_gone() {
    let hands = Recorder::failing(&[("k3d cluster create", Some(1))]);
    block(async {
        let mut execution = execution(&hands, &Options::default());
        execution.set_up().await.unwrap();
        let asked = hands.asked();
        let at = asked.iter().position(|line| line.starts_with("k3d cluster create")).unwrap();
        assert!(asked[at + 1].starts_with("k3d cluster delete"), "{}", asked[at + 1]);
        assert_eq!(asked[at], asked[at + 2]);
        assert_eq!(hands.0.borrow().paused, [PAUSE]);
    });
}

#[test]
fn what_fails_for_good_ends_as_trouble_of_the_world_with_nothing_left() {
    let hands = Recorder::failing(&[("helm upgrade", Some(9)), ("k3d cluster delete", Some(9))]);
    block(async {
        let mut execution = execution(&hands, &Options::default());
        let error = execution.set_up().await.unwrap_err();
        insta::assert_snapshot!(error);
        assert_eq!(hands.0.borrow().paused, [PAUSE, PAUSE * 2]);
        // The clusters cannot be taken away, the rest is all the same.
        let asked = hands.asked();
        for last in ["docker network rm", "docker rmi"] {
            assert!(asked.iter().any(|line| line.starts_with(last)), "{last}");
        }
        // No edge was opened: none is removed.
        assert!(asked.iter().all(|line| !line.starts_with("docker rm ")));
    });
}

#[test]
fn a_tool_that_is_not_there_is_told_at_once_and_nothing_was_made() {
    let hands = Recorder::failing(&[("k3d", None)]);
    block(async {
        let mut execution = execution(&hands, &Options::default());
        let error = execution.set_up().await.unwrap_err();
        assert_eq!(error.to_string(), "tools: `k3d` is not installed or not in PATH: install it");
        assert_eq!(hands.asked(), ["docker version --format '{{.Server.Version}}'", "k3d version"]);
    });
}

#[test]
fn what_is_to_be_kept_is_kept() {
    let hands = Recorder::default();
    block(async {
        let mut execution = execution(&hands, &Options { keep: true, ..Options::default() });
        execution.set_up().await.unwrap();
        hands.forget();
        execution.clean_up().await;
        assert_eq!(hands.asked(), Vec::<String>::new());
    });
}

#[test]
fn logs_that_cannot_be_had_are_no_reason_to_lose_the_others() {
    let hands = Recorder::failing(&[("logs --timestamps --tail=400 alpha-edge-0", Some(9))]);
    block(async {
        let mut execution = execution(&hands, &Options::default());
        execution.set_up().await.unwrap();
        let collected = execution.collect().await;
        assert_eq!(collected.len(), execution.plan().collect.steps.len());
        assert!(collected[0].1.contains("engine busy"), "{}", collected[0].1);
        assert_eq!(collected[1].1, "10.9.8.7\n");
    });
}
