//! A revision of the repository: checked out, built, run and cleared away.

use std::ffi::OsString;
use std::fs;
use std::io::{self, IsTerminal, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use peat_scenarios::diff::Side;

use super::{DiffError, Trial};
use crate::args::DiffArgs;
use crate::{interrupt, output};

/// Lines of a failed command's last words.
const LAST_WORDS: usize = 15;

/// What is to be cleared away when the process ends, however it ends.
static LITTER: Mutex<Option<Litter>> = Mutex::new(None);

struct Litter {
    repository: PathBuf,
    folder: PathBuf,
    /// The command that is running, in a process group of its own.
    running: Option<u32>,
}

/// A temporary folder in which revisions are built. It is gone when this is dropped, and after Ctrl-C.
pub(super) struct Workshop<'a> {
    arguments: &'a DiffArgs,
    repository: PathBuf,
    folder: PathBuf,
}

impl<'a> Workshop<'a> {
    /// Finds the repository that the current folder is in.
    pub(super) fn open(arguments: &'a DiffArgs) -> Result<Self, DiffError> {
        let mut top = Command::new("git");
        top.args(["rev-parse", "--show-toplevel"]).stderr(Stdio::piped());
        let top = capture(top, "git").map_err(|words| {
            DiffError::Usage(format!("a revision needs the repository that it is of\n  = help: {}", words.trim()))
        })?;
        let repository = PathBuf::from(top.trim_end());
        let folder = std::env::temp_dir().join(format!("ddil-diff-{}", std::process::id()));
        *litter() = Some(Litter { repository: repository.clone(), folder: folder.clone(), running: None });
        interrupt::before_leaving(clear);
        let made = fs::create_dir_all(&folder);
        made.map_err(|error| infrastructure(format!("cannot make {}: {error}", folder.display())))?;
        Ok(Workshop { arguments, repository, folder })
    }

    /// Checks a revision out, builds it and has it run everything.
    pub(super) fn run(&self, revision: &str, trials: &[Trial]) -> Result<Side, DiffError> {
        let mut name = self.git();
        name.args(["rev-parse", "--verify", "--quiet", "--short", "--end-of-options"]);
        name.arg(format!("{revision}^{{commit}}"));
        let commit =
            capture(name, "git").map_err(|_| DiffError::Usage(format!("no revision is called `{revision}`")))?;
        let commit = commit.trim_end();
        let label = format!("git:{revision}");
        let binary = self.build(&label, commit)?;
        let mut side: Option<Side> = None;
        for trial in trials {
            let file = self.folder.join(format!("{}.toml", trial.scenario.name));
            let written = fs::write(&file, trial.scenario.to_toml());
            written.map_err(|error| infrastructure(format!("cannot write {}: {error}", file.display())))?;
            for (from, seeds) in stretches(&trial.seeds) {
                self.tell(&format!("{label} runs {} under {seeds} seeds from {from} on", trial.scenario.name));
                let mut sweep = Command::new(&binary);
                sweep.stderr(Stdio::piped()).arg("sweep").arg(&file).args(["--json", "--no-progress"]);
                sweep.args(["--from", &from.to_string(), "--seeds", &seeds.to_string()]);
                if let Some(jobs) = self.arguments.jobs {
                    sweep.args(["--jobs", &jobs.to_string()]);
                }
                let document = capture_any(sweep).map_err(|words| infrastructure(format!("{label}: {words}")))?;
                let swept = Side::read(&label, &document.text).map_err(|error| {
                    let words = document.last_words();
                    infrastructure(format!("{label} cannot run {}: {error}{words}", trial.scenario.name))
                })?;
                match &mut side {
                    None => side = Some(swept),
                    Some(side) => side.add(swept),
                }
            }
        }
        side.ok_or_else(|| DiffError::Usage("there is nothing to run".to_owned()))
    }

    /// A worktree of its own, and a folder of artefacts that the next comparison finds again.
    fn build(&self, label: &str, commit: &str) -> Result<PathBuf, DiffError> {
        let tree = self.folder.join("tree");
        let target = self.repository.join("target").join("ddil-diff");
        let profile = self.arguments.profile.as_str();
        self.tell(&format!("{label} ({commit}) is being built, profile {profile}"));
        let mut checkout = self.git();
        checkout.args(["worktree", "add", "--quiet", "--force", "--detach"]).arg(&tree).arg(commit);
        capture(checkout, "git").map_err(infrastructure)?;
        let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
        build.args(["build", "--locked", "--bin", "ddil", "--profile", profile]);
        build.arg("--target-dir").arg(&target).current_dir(&tree);
        let stderr = if self.is_watched() { Stdio::inherit() } else { Stdio::piped() };
        build.stderr(stderr);
        capture(build, "cargo").map_err(|words| infrastructure(format!("{label} does not build: {words}")))?;
        let folder = if profile == "dev" { "debug" } else { profile };
        let (built, kept) = (target.join(folder).join("ddil"), self.folder.join(format!("ddil-{commit}")));
        let copied = fs::copy(&built, &kept);
        copied.map_err(|error| infrastructure(format!("{label}: cannot copy {}: {error}", built.display())))?;
        remove(&self.repository, &tree);
        Ok(kept)
    }

    fn git(&self) -> Command {
        let mut git = Command::new("git");
        git.arg("-C").arg(&self.repository).stderr(Stdio::piped());
        git
    }

    fn is_watched(&self) -> bool {
        !self.arguments.no_progress && io::stderr().is_terminal()
    }

    fn tell(&self, text: &str) {
        if !self.arguments.no_progress {
            output::tell(&format!("{text}\n"));
        }
    }
}

impl Drop for Workshop<'_> {
    fn drop(&mut self) {
        clear();
    }
}

/// Stops what runs and removes what was made. Does nothing the second time.
fn clear() {
    let Some(Litter { repository, folder, running }) = litter().take() else { return };
    if let Some(group) = running {
        end(group);
    }
    remove(&repository, &folder.join("tree"));
    let _ = fs::remove_dir_all(&folder);
}

/// Ends a process group, and waits for a few seconds until it is gone: what it still writes would be left.
#[expect(clippy::disallowed_methods, reason = "real processes take real time to end")]
fn end(group: u32) {
    let group = format!("-{group}");
    let kill = |signal: &str| {
        let kill = Command::new("kill").args([signal, "--", &group]).stderr(Stdio::null()).status();
        kill.is_ok_and(|status| status.success())
    };
    for signal in ["-TERM", "-KILL"] {
        kill(signal);
        for _ in 0..100 {
            if !kill("-0") {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn remove(repository: &Path, tree: &Path) {
    let quietly = |arguments: &[&str]| {
        let mut git = Command::new("git");
        git.arg("-C").arg(repository).args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
        git
    };
    let _ = quietly(&["worktree", "remove", "--force"]).arg(tree).status();
    let _ = fs::remove_dir_all(tree);
    let _ = quietly(&["worktree", "prune"]).status();
}

fn litter() -> MutexGuard<'static, Option<Litter>> {
    LITTER.lock().unwrap_or_else(PoisonError::into_inner)
}

fn infrastructure(text: String) -> DiffError {
    DiffError::Infrastructure(text)
}

/// What a command said.
struct Said {
    text: String,
    errors: String,
    success: bool,
}

impl Said {
    fn last_words(&self) -> String {
        let lines: Vec<&str> = self.errors.lines().collect();
        lines[lines.len().saturating_sub(LAST_WORDS)..].iter().map(|line| format!("\n  | {line}")).collect()
    }
}

/// Runs a command in a process group of its own, so that whoever interrupts us ends all of it.
fn capture_any(mut command: Command) -> Result<Said, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let failed = |error: io::Error| format!("cannot run {name}: {}", output::reason(&error));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0);
    let spawned = {
        // Whoever interrupts us finds the command here, or comes before it.
        let mut litter = litter();
        (!interrupt::happened()).then(|| {
            let child = command.spawn();
            if let (Ok(child), Some(litter)) = (&child, litter.as_mut()) {
                litter.running = Some(child.id());
            }
            child
        })
    };
    let Some(spawned) = spawned else {
        interrupt::wait_if_it_happened();
        return Err("interrupted".to_owned());
    };
    let mut child: Child = spawned.map_err(failed)?;
    let (mut text, mut errors) = (String::new(), String::new());
    let stderr = child.stderr.take();
    std::thread::scope(|scope| {
        scope.spawn(|| stderr.map(|mut stderr| stderr.read_to_string(&mut errors)));
        child.stdout.take().map(|mut stdout| stdout.read_to_string(&mut text))
    });
    let status = child.wait().map_err(failed)?;
    if let Some(litter) = litter().as_mut() {
        litter.running = None;
    }
    interrupt::wait_if_it_happened();
    Ok(Said { text, errors, success: status.success() })
}

/// The output of a command that must succeed; what it complained of if it does not.
fn capture(command: Command, name: &str) -> Result<String, String> {
    let said = capture_any(command)?;
    match said.success {
        true => Ok(said.text),
        false => Err(format!("{name} failed{}", said.last_words())),
    }
}

/// Runs of neighbouring seeds: the first, and how many.
fn stretches(seeds: &[u64]) -> Vec<(u64, u64)> {
    let mut stretches: Vec<(u64, u64)> = Vec::new();
    for &seed in seeds {
        match stretches.last_mut() {
            Some((from, count)) if *from + *count == seed => *count += 1,
            _ => stretches.push((seed, 1)),
        }
    }
    stretches
}
