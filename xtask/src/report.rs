//! How each step went, and the table at the end.

use std::fmt;

/// Tests, or variants of the kernels given to a compiler.
#[derive(Default, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) skipped: usize,
}

impl Counts {
    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    /// Reads a line like `test result: ok. 3 passed; 0 failed; 1 ignored; …`, which ends each of cargo's test programs, and
    /// the scripts of `compilers`. `None` for any other line.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let line = line.strip_prefix("test result: ")?;
        let number = |word: &str| {
            let before = line.split(word).next().and_then(|text| text.split_whitespace().last());
            before.and_then(|n| n.parse().ok()).unwrap_or(0)
        };
        Some(Self {
            passed: number(" passed"),
            failed: number(" failed"),
            skipped: number(" ignored"),
        })
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        )
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A step that counts nothing, like formatting, succeeded.
    Ok,
    /// A step failed before it counted anything.
    Failed,
    Counted(Counts),
}

impl Outcome {
    pub(crate) fn new(counts: Option<Counts>, succeeded: bool) -> Self {
        match counts {
            None if succeeded => Self::Ok,
            None => Self::Failed,
            // It failed for another reason than a test, which must not be lost.
            Some(counts) if !succeeded && counts.failed == 0 => Self::Counted(Counts { failed: 1, ..counts }),
            Some(counts) => Self::Counted(counts),
        }
    }

    /// What the step adds to the sums. A step that failed without counting anything is one failure.
    pub(crate) fn counts(self) -> Counts {
        match self {
            Self::Ok => Counts::default(),
            Self::Failed => Counts {
                failed: 1,
                ..Counts::default()
            },
            Self::Counted(counts) => counts,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok => f.write_str("ok"),
            Self::Failed => f.write_str("failed"),
            Self::Counted(counts) => counts.fmt(f),
        }
    }
}

/// The steps so far, in order.
#[derive(Default)]
pub(crate) struct Report(Vec<(String, Outcome)>);

impl Report {
    /// The report of a step that was run alone, or could not be run.
    pub(crate) fn of(name: &str, outcome: Result<Outcome, String>) -> Self {
        let mut report = Self::default();
        report.add(name, outcome);
        report
    }

    /// Adds a step. One that could not be run is a failure like any other, so that the steps after it still run.
    pub(crate) fn add(&mut self, name: &str, outcome: Result<Outcome, String>) {
        let outcome = outcome.unwrap_or_else(|message| {
            println!("{name}: {message}");
            Outcome::Failed
        });
        self.0.push((name.into(), outcome));
    }

    pub(crate) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub(crate) fn total(&self) -> Counts {
        let mut total = Counts::default();
        self.0.iter().for_each(|(_, outcome)| total.add(outcome.counts()));
        total
    }

    /// Prints the table. Its last line is the sums, which CI reads.
    pub(crate) fn conclude(&self) -> Result<(), String> {
        println!();
        for (name, outcome) in &self.0 {
            println!("{name}: {outcome}");
        }
        let total = self.total();
        println!("{total}");
        if total.failed > 0 {
            Err(format!("{} failed", total.failed))
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREE: Counts = Counts {
        passed: 3,
        failed: 0,
        skipped: 1,
    };

    #[test]
    fn result_lines_are_counted_and_other_lines_are_not() {
        let line = "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 7 filtered out; finished in 0.01s";
        assert_eq!(Counts::parse(line), Some(THREE));
        assert_eq!(Counts::parse("test rows::tests::layout ... ok"), None);
        let script = Counts::parse("test result: 9 passed; 2 failed");
        assert_eq!(script.map(|c| (c.passed, c.failed, c.skipped)), Some((9, 2, 0)));
    }

    #[test]
    fn steps_without_tests_say_ok_or_failed() {
        assert_eq!(Outcome::new(None, true).to_string(), "ok");
        assert_eq!(Outcome::new(None, false).to_string(), "failed");
        assert_eq!(
            Outcome::new(Some(THREE), true).to_string(),
            "3 passed, 0 failed, 1 skipped"
        );
        assert_eq!(
            Outcome::new(Some(THREE), false).to_string(),
            "3 passed, 1 failed, 1 skipped"
        );
    }

    #[test]
    fn the_sums_lose_no_test_and_no_failed_step() {
        let mut report = Report::of("formatting", Ok(Outcome::Ok));
        report.add("tests", Ok(Outcome::Counted(THREE)));
        assert_eq!(report.total(), THREE);
        assert_eq!(report.conclude(), Ok(()));
        report.add("clippy", Ok(Outcome::Failed));
        report.add("tidy", Err("git is missing".into()));
        assert_eq!(report.total(), Counts { failed: 2, ..THREE });
        assert_eq!(report.conclude(), Err("2 failed".into()));
    }
}
