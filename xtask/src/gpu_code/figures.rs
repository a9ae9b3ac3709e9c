//! What a class of a row costs.

use super::compiled::Compilation;
use super::kernels::{Kernel, Pass};
use super::target::Target;

/// What a class costs in the rows of one shape.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Figure {
    /// The operation and the type.
    pub(crate) operation: String,
    /// Which rows, and the schedule if it is not the one that is chosen.
    pub(crate) rows: String,
    pub(crate) schedule: String,
    pub(crate) cost: f64,
}

impl Figure {
    /// One for all kernels of an operation, type, shape and schedule.
    pub(crate) fn all(target: &Target, compilation: &Compilation, kernels: &[Kernel]) -> Vec<Self> {
        let mut figures: Vec<Self> = Vec::new();
        let both = || kernels.iter().zip(&compilation.kernels);
        for (kernel, compiled) in both() {
            let shape = format!("{}x{}", kernel.rows, kernel.classes);
            let mut rows = match kernel.is_chosen {
                true => shape,
                false => format!("{shape} {}", kernel.schedule),
            };
            let mut cost = target.cost(&compiled.listing.per_class(kernel));
            if let Some((longer, compiled_longer)) = both().find(|(other, _)| is_longer(other, kernel)) {
                let [whole, longer_whole] = [compiled, compiled_longer].map(|c| target.cost(&c.listing.counts()));
                cost = (longer_whole - whole) / (longer.lane_classes - kernel.lane_classes);
                rows = format!("{} to {} classes, {}", kernel.classes, longer.classes, kernel.schedule);
            }
            match figures.last_mut() {
                // It follows upon the first pass over the same rows.
                Some(last) if kernel.pass == Pass::Write => last.cost += cost,
                _ if kernel.pass == Pass::Step || kernels.iter().any(|other| is_longer(kernel, other)) => {}
                _ => figures.push(Self {
                    operation: format!("{} {}", kernel.operation, kernel.type_name),
                    rows,
                    schedule: kernel.schedule.clone(),
                    cost,
                }),
            }
        }
        figures
    }
}

/// Whether the difference between two kernels is what more classes cost, since all else is the same.
fn is_longer(longer: &Kernel, kernel: &Kernel) -> bool {
    let is_pair = kernel.is_held() && !kernel.is_chosen && !longer.is_chosen;
    let but_classes = |k: &Kernel| Kernel {
        file: String::new(),
        classes: 0,
        lane_classes: 0.0,
        ..k.clone()
    };
    is_pair && longer.classes > kernel.classes && but_classes(longer) == but_classes(kernel)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_held_kernels_that_differ_in_their_classes_are_a_pair() {
        let short = Kernel {
            file: "000".into(),
            operation: "softmax".into(),
            type_name: "f32".into(),
            rows: 4096,
            classes: 512,
            schedule: "held/32".into(),
            is_chosen: false,
            pass: Pass::Whole,
            lane_classes: 16.0,
            fold_steps: 1.0,
            bindings: Vec::new(),
        };
        let longer = Kernel {
            file: "001".into(),
            classes: 1024,
            lane_classes: 32.0,
            ..short.clone()
        };
        assert!(is_longer(&longer, &short) && !is_longer(&short, &longer));
        let other = Kernel {
            type_name: "f16".into(),
            ..longer
        };
        assert!(!is_longer(&other, &short));
    }
}
