//! What a simulation runs must not reach for what it cannot repeat. `clippy.toml` forbids what is wrong everywhere;
//! here is what is wrong only in code that a simulation runs, and where it stands all the same.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A source of nondeterminism, and the files that may use it because no simulation gets there.
struct Ban {
    what: &'static [&'static str],
    why: &'static str,
    except: &'static [&'static str],
}

/// What the node does before it is a node, or beside it: the program, its options, its files and its listeners.
const PRODUCTION: &[&str] = &[
    "node/src/main.rs",
    "node/src/config",
    "node/src/ops",
    "node/src/store.rs",
    "node/src/store/offline.rs",
    "node/src/store/rekey.rs",
    "node/src/api/listen.rs",
    "node/src/api/access/file.rs",
    "node/src/mesh/allow_list.rs",
    "node/src/watcher/tls.rs",
    "node/src/fuzzing.rs",
];

const BANS: &[Ban] = &[
    Ban {
        what: &["spawn_blocking", "block_in_place"],
        why: "virtual time stands still while a blocking task is out, and it returns at a moment of its own",
        // `CommitMode::Thread`; simulations commit inline.
        except: &["node/src/store/committer.rs", "node/src/node/shared/committing.rs"],
    },
    Ban {
        what: &["thread::spawn", "thread::Builder", "thread::scope"],
        why: "a thread that the simulator cannot schedule, with the real clock",
        // The commit thread of production; the threads that simulations are.
        except: &["node/src/node.rs", "sim/src/lib.rs", "sim/src/hooks.rs", "sim/src/crew.rs"],
    },
    Ban { what: &["tokio::fs"], why: "every call is a blocking task", except: &[] },
    Ban {
        what: &["std::fs", "fs::File"],
        why: "a real file, which outlives the run and is not on the simulated disk",
        // How large the real file is, of stores that have one.
        except: &["node/src/node/figures.rs"],
    },
    Ban {
        what: &[
            "SysRng",
            "OsRng",
            "ThreadRng",
            "rand::rng()",
            "rand::random",
            "from_os_rng",
            "make_rng",
            "RandomState",
        ],
        why: "entropy that does not come from the seed; take an rng as an argument",
        except: &["sim/src/hooks.rs"],
    },
    Ban {
        what: &["SystemTime", "std::time::Instant", "std::time::{Duration, Instant"],
        why: "the real clock; take the time as an argument, or use tokio's",
        // QUIC hands its controllers the time in this type, and asks nothing for it.
        except: &["sim/src/hooks.rs", "sim/src/lib.rs", "node/src/mesh/congestion.rs"],
    },
    Ban {
        what: &["HashMap", "HashSet"],
        why: "its order differs from run to run; use BTreeMap or BTreeSet",
        // Automerge asks for one, and the order of it decides nothing.
        except: &["node/src/core/document/write.rs"],
    },
    Ban {
        what: &["sync::watch", "watch::channel"],
        why: "which of its waiters is woken first is drawn by tokio from a counter of the process; use Notify",
        except: &[],
    },
];

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Path within the workspace and lines of every source file, without its tests.
fn sources() -> Vec<(String, Vec<String>)> {
    let root = workspace();
    let mut directories = vec![root.join("node/src"), root.join("sim/src"), root.join("scenarios/src")];
    let mut sources = Vec::new();
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(&root).unwrap().display().to_string();
            if path.is_dir() {
                directories.push(path);
            } else if name.ends_with(".rs") && !name.contains("tests") {
                let text = fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
                let code =
                    code.split("#[cfg(test)]\n#[allow(clippy::disallowed_methods)]\nmod tests {").next().unwrap();
                sources.push((name, code.lines().map(str::to_owned).collect()));
            }
        }
    }
    assert!(sources.len() > 100, "the sources are not where they were");
    sources
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

#[test]
fn what_a_simulation_runs_does_not_reach_for_what_it_cannot_repeat() {
    let mut found = Vec::new();
    let mut used: BTreeSet<&str> = BTreeSet::new();
    for (name, lines) in sources() {
        for (number, line) in lines.iter().enumerate().filter(|(_, line)| !is_comment(line)) {
            for ban in BANS.iter().filter(|ban| ban.what.iter().any(|what| line.contains(what))) {
                let exception = ban.except.iter().find(|path| name.starts_with(*path));
                used.extend(exception);
                if exception.is_none() && !PRODUCTION.iter().any(|path| name.starts_with(path)) {
                    found.push(format!("{name}:{}: {}\n    {}", number + 1, line.trim(), ban.why));
                }
            }
        }
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
    // An exception that nobody uses would excuse the next one.
    let unused: Vec<_> = BANS.iter().flat_map(|ban| ban.except).filter(|path| !used.contains(**path)).collect();
    assert!(unused.is_empty(), "exceptions that are not needed any more: {unused:?}");
}

#[test]
fn every_select_is_biased() {
    let mut found = Vec::new();
    for (name, lines) in sources() {
        for (number, pair) in lines.windows(2).enumerate() {
            let first = pair[0].contains("select! {") && !is_comment(&pair[0]);
            if first && !pair[1].contains("biased") && !name.starts_with("node/src/main.rs") {
                found.push(format!("{name}:{}: without `biased`, tokio draws which branch is first", number + 1));
            }
        }
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}
