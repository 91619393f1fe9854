//! What the process exits with.

use std::process::ExitCode;

use peat_scenarios::check::Verdict;

/// How a command ended. In order of gravity over *several* scenarios, the gravest first.
///
/// That order differs from the order of the checks *within* one run ([`Verdict`]), where trouble of the world
/// comes first because nothing else in that run can be trusted. Between runs it is the other way round: a
/// broken invariant in one scenario stands, whatever became of the others, and a pipeline that runs
/// infrastructure trouble again must not do so with a bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// Bad arguments or an invalid scenario: nothing was run.
    Usage,
    /// An invariant is broken.
    Fail,
    /// One seed gave two runs.
    Nondeterministic,
    /// The world failed, not the nodes.
    Infrastructure,
    /// Too little to judge, or a fault that disturbed nothing.
    Unclear,
    /// Correct, but not as good as the scenario demands.
    Breach,
    /// Good.
    Pass,
}

impl Exit {
    /// Of one run.
    pub const fn of(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Pass => Exit::Pass,
            Verdict::Fail => Exit::Fail,
            Verdict::SloBreach => Exit::Breach,
            Verdict::Inconclusive | Verdict::Vacuous => Exit::Unclear,
            Verdict::InfraError => Exit::Infrastructure,
            Verdict::Nondeterministic => Exit::Nondeterministic,
        }
    }

    /// What a program that ends with this number means.
    pub fn from_code(code: i32) -> Option<Self> {
        let all = [
            Exit::Usage,
            Exit::Fail,
            Exit::Nondeterministic,
            Exit::Infrastructure,
            Exit::Unclear,
            Exit::Breach,
            Exit::Pass,
        ];
        all.into_iter().find(|exit| i32::from(exit.code()) == code)
    }

    /// The number that the shell sees.
    pub const fn code(self) -> u8 {
        match self {
            Exit::Pass => Verdict::Pass.exit_code(),
            Exit::Fail => Verdict::Fail.exit_code(),
            Exit::Usage => 2,
            Exit::Breach => Verdict::SloBreach.exit_code(),
            Exit::Unclear => Verdict::Inconclusive.exit_code(),
            Exit::Infrastructure => Verdict::InfraError.exit_code(),
            Exit::Nondeterministic => Verdict::Nondeterministic.exit_code(),
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.code())
    }
}

/// What a shell reports for a process that SIGINT ended: 128 + 2.
pub const INTERRUPTED: u8 = 130;
