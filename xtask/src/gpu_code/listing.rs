//! The instructions of a compiled kernel, by kind, and how many of them a class of a row takes.

use super::kernels::{Kernel, Pass};
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

/// What executes an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// AMD's arithmetic for all lanes.
    Vector,
    /// NVIDIA's multipliers and adders.
    Fma,
    /// What else NVIDIA's lanes compute: integers, comparisons, selections.
    Alu,
    /// Exponentials, reciprocals and conversions of NVIDIA's.
    Special,
    /// Arithmetic once for all lanes.
    Scalar,
    Load,
    Store,
    /// Memory once for all lanes.
    ScalarLoad,
    /// Work-group memory.
    Group,
    /// From lane to lane, where this is no arithmetic.
    Shuffle,
    Barrier,
    /// Jumps, waiting, and whatever takes no time worth counting.
    Control,
}

/// How many instructions of each kind.
pub(crate) type Counts = BTreeMap<Kind, f64>;

/// A line of a compiler's text.
#[derive(Debug, PartialEq)]
pub(crate) enum Line<'a> {
    Label(&'a str),
    /// An instruction, and the label that it jumps to.
    Instruction(Kind, Option<&'a str>),
}

#[derive(Debug, Default)]
pub(crate) struct Listing {
    kinds: Vec<Kind>,
    /// From a label to the last jump back to it.
    loops: Vec<Range<usize>>,
}

impl Listing {
    pub(crate) fn new<'a>(lines: impl Iterator<Item = Line<'a>>) -> Self {
        let (mut kinds, mut labels, mut ends) = (Vec::new(), HashMap::new(), BTreeMap::new());
        for line in lines {
            match line {
                Line::Label(label) => {
                    labels.insert(label, kinds.len());
                }
                Line::Instruction(kind, target) => {
                    kinds.push(kind);
                    // Labels further down are not known yet. A jump to itself is how NVIDIA's compiler ends its code.
                    let start = target.and_then(|label| labels.get(label)).copied();
                    if let Some(start) = start.filter(|start| start + 1 < kinds.len()) {
                        ends.insert(start, kinds.len());
                    }
                }
            }
        }
        let loops = ends.into_iter().map(|(start, end)| start..end).collect();
        Self { kinds, loops }
    }

    pub(crate) fn counts(&self) -> Counts {
        let mut counts = Counts::new();
        self.kinds
            .iter()
            .for_each(|kind| *counts.entry(*kind).or_default() += 1.0);
        counts
    }

    /// The instructions that a lane executes for each class: all of them where it takes its classes at once, and
    /// otherwise those of the loops over chunks. What is in a branch counts as if it were taken. The loops over the spans of a
    /// row count once in a held one, and as often as they are unrolled, which NVIDIA's compiler likes to do.
    pub(crate) fn per_class(&self, kernel: &Kernel) -> Counts {
        let mut counts = Counts::new();
        if !kernel.has_loop() {
            counts = self.counts();
        } else {
            for outer in self.loops.iter().filter(|l| self.goes_through_a_row(l, kernel)) {
                for at in outer.clone() {
                    *counts.entry(self.kinds[at]).or_default() += self.trips(at, outer, kernel);
                }
            }
        }
        counts.values_mut().for_each(|count| *count /= kernel.lane_classes);
        counts
    }

    fn has(&self, range: &Range<usize>, kind: Kind) -> bool {
        self.kinds[range.clone()].contains(&kind)
    }

    /// Whether a loop is one over chunks: an outermost one that reads or writes elements. Before it writes, the second
    /// pass over split rows also reads what the first has left, which does not belong to a class.
    fn goes_through_a_row(&self, range: &Range<usize>, kernel: &Kernel) -> bool {
        let is_outermost = !self.loops.iter().any(|other| is_within(range, other));
        let reads = kernel.pass != Pass::Write && self.has(range, Kind::Load);
        is_outermost && (reads || self.has(range, Kind::Store))
    }

    /// How often an instruction is executed each time that the loop `outer` is. Of the loops in that one, the one that
    /// combines what lanes have left in work-group memory is taken more than once.
    fn trips(&self, at: usize, outer: &Range<usize>, kernel: &Kernel) -> f64 {
        let mut trips = 1.0;
        for inner in self.loops.iter().filter(|l| l.contains(&at) && is_within(l, outer)) {
            let is_innermost = !self.loops.iter().any(|other| is_within(other, inner));
            let is_other = [Kind::Barrier, Kind::Load, Kind::Store]
                .iter()
                .any(|kind| self.has(inner, *kind));
            let reads = self.kinds[inner.clone()].iter().filter(|k| **k == Kind::Group).count();
            if is_innermost && !is_other && reads > 0 {
                trips *= (kernel.fold_steps / reads as f64).max(1.0);
            }
        }
        trips
    }
}

fn is_within(range: &Range<usize>, other: &Range<usize>) -> bool {
    range != other && other.start <= range.start && range.end <= other.end
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel(schedule: &str, pass: Pass) -> Kernel {
        Kernel {
            file: "000".into(),
            operation: "softmax".into(),
            type_name: "f32".into(),
            rows: 8,
            classes: 4096,
            schedule: schedule.into(),
            is_chosen: true,
            pass,
            lane_classes: 4.0,
            fold_steps: 8.0,
            bindings: Vec::new(),
        }
    }

    /// A loop over chunks with a loop over work-group memory in it, and one that only combines.
    fn listing() -> Listing {
        let plain = |kind| Line::Instruction(kind, None);
        let jump = |label| Line::Instruction(Kind::Control, Some(label));
        let lines = [
            plain(Kind::Vector),
            Line::Label("chunk"),
            plain(Kind::Load),
            plain(Kind::Vector),
            Line::Label("fold"),
            plain(Kind::Group),
            plain(Kind::Vector),
            jump("fold"),
            jump("end"),
            jump("chunk"),
            Line::Label("combine"),
            plain(Kind::Vector),
            jump("combine"),
            Line::Label("end"),
        ];
        Listing::new(lines.into_iter())
    }

    #[test]
    fn what_a_class_costs_is_in_the_loops_over_chunks() {
        let (listing, vector) = (listing(), |counts: Counts| counts.get(&Kind::Vector).copied());
        assert_eq!(listing.loops, [1..8, 3..6, 8..10]);
        assert_eq!(vector(listing.counts()), Some(4.0));
        let cost = |schedule, pass| vector(listing.per_class(&kernel(schedule, pass)));
        assert_eq!(cost("held/4", Pass::Whole), Some(4.0 / 4.0), "all of a held row's");
        assert_eq!(
            cost("chunked/256", Pass::Whole),
            Some((1.0 + 8.0) / 4.0),
            "the inner loop is taken 8 times"
        );
        assert_eq!(cost("split/256x4", Pass::Write), None, "nothing is stored");
        assert_eq!(cost("split/256x4", Pass::OneStep), Some(4.0 / 4.0), "all of one step's");
    }
}
