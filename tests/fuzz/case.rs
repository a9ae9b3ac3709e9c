//! A call, drawn at random.

use crate::common::{Random, Stored};
use proptest::prelude::*;
use wgpu_softmax::{FullyMasked, Reduction, Rows, Schedule};

/// What is called, with which options, on which type.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Softmax,
    SoftmaxBf16,
    LogSoftmaxF16,
    SoftmaxAdjusted,
    LogSumExp,
    SoftmaxGrad,
    CrossEntropy,
    CrossEntropyWeightedBf16,
    CrossEntropySoft,
    NllLoss,
    Binary,
    Sinks,
    Distillation,
    Entropy,
    Hessians,
}

/// How the logits are filled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Fill {
    /// About normal.
    Normal,
    /// About normal, far from 0.
    Offset,
    /// About normal, with NaNs of any payload, infinities, zeros of either sign, and subnormal numbers.
    Specials,
    /// Two thirds are −∞.
    Masked,
    /// Any finite bits.
    Finite,
    /// Any bits.
    Bits,
}

#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) kind: Kind,
    pub(crate) outer: usize,
    pub(crate) classes: usize,
    pub(crate) inner: usize,
    pub(crate) padding: usize,
    /// Elements before the batch, on the device.
    pub(crate) offset: usize,
    pub(crate) fill: Fill,
    pub(crate) policy: FullyMasked,
    pub(crate) reduction: Reduction,
    pub(crate) schedule: u8,
    pub(crate) seed: u64,
    /// A length or a shape that is wrong; 0 in most cases, which have none.
    pub(crate) mistake: u8,
    pub(crate) on_device: bool,
}

pub(crate) fn cases() -> impl Strategy<Value = Case> {
    use Kind as K;
    let kind = prop_oneof![
        4 => Just(K::Softmax), 3 => Just(K::SoftmaxBf16), 2 => Just(K::LogSoftmaxF16), 2 => Just(K::SoftmaxAdjusted),
        2 => Just(K::LogSumExp), 2 => Just(K::SoftmaxGrad), 2 => Just(K::CrossEntropy),
        1 => Just(K::CrossEntropyWeightedBf16), 1 => Just(K::CrossEntropySoft), 1 => Just(K::NllLoss), 1 => Just(K::Binary),
        1 => Just(K::Sinks), 1 => Just(K::Distillation), 1 => Just(K::Entropy), 1 => Just(K::Hessians),
    ];
    let fill = prop::sample::select(vec![
        Fill::Normal,
        Fill::Offset,
        Fill::Specials,
        Fill::Masked,
        Fill::Finite,
        Fill::Bits,
    ]);
    let classes = prop_oneof![4 => 1..=4usize, 4 => 1..=70usize, 2 => 1..=1100usize, 1 => 1..=5000usize];
    let layout = (
        0..=9usize,
        classes,
        prop_oneof![3 => Just(1), 1 => 1..=5usize],
        0..=6usize,
        0..=70usize,
    );
    let policy = prop::sample::select(vec![FullyMasked::Nan, FullyMasked::Zeros, FullyMasked::Uniform]);
    let reduction = prop::sample::select(vec![Reduction::None, Reduction::Mean, Reduction::Sum]);
    let mistake = prop_oneof![40 => Just(0u8), 1 => 1..=5u8];
    let rest = (policy, reduction, any::<u8>(), any::<u64>(), mistake, any::<bool>());
    (kind, fill, layout, rest).prop_map(|(kind, fill, layout, rest)| Case {
        kind,
        fill,
        outer: layout.0,
        classes: match kind {
            // Kernels of short rows are compiled for one number of classes, others for how rows are aligned.
            K::CrossEntropyWeightedBf16 | K::Binary => 3,
            K::Softmax | K::SoftmaxBf16 | K::LogSoftmaxF16 | K::CrossEntropy => layout.1,
            _ => layout.1 | 1,
        },
        inner: match kind {
            K::Softmax | K::SoftmaxBf16 | K::LogSumExp | K::SoftmaxGrad | K::NllLoss => layout.2,
            _ => 1,
        },
        padding: layout.3,
        offset: layout.4,
        policy: rest.0,
        // Likewise the passes after the rows, which are the same for all losses.
        reduction: match kind {
            K::CrossEntropyWeightedBf16 | K::Distillation | K::Hessians => Reduction::Mean,
            K::CrossEntropySoft | K::NllLoss => Reduction::Sum,
            _ => rest.1,
        },
        schedule: rest.2,
        seed: rest.3 | 1,
        mistake: rest.4,
        on_device: rest.5,
    })
}

impl Case {
    pub(crate) fn rows(&self) -> Rows {
        if self.inner > 1 {
            Rows::of_shape(&[self.outer, self.classes, self.inner], 1).unwrap()
        } else {
            Rows::new(self.outer, self.classes).with_row_stride(self.classes + self.padding)
        }
    }

    /// The best known schedule for some short rows, 64 lanes for all others, so that few kernels are compiled.
    pub(crate) fn schedule(&self) -> Option<Schedule> {
        let lanes = 64;
        match (self.kind, self.schedule % 4) {
            (Kind::CrossEntropyWeightedBf16, _) => None,
            (Kind::Softmax, 0..2) if self.classes == 4 => None,
            (Kind::Softmax, 2) => {
                let pieces = u32::from(self.schedule) % self.classes.div_ceil(1024) as u32 + 1;
                Some(Schedule::Split { lanes, pieces })
            }
            _ => Some(Schedule::Chunked { lanes }),
        }
    }

    /// Whether the logits must be such that rounding before the softmax stays small beside the tolerance.
    fn is_tame(&self) -> bool {
        use Kind as K;
        matches!(
            self.kind,
            K::SoftmaxAdjusted
                | K::SoftmaxGrad
                | K::CrossEntropyWeightedBf16
                | K::CrossEntropySoft
                | K::Distillation
                | K::Hessians
        )
    }

    pub(crate) fn logits<T: Stored>(&self, random: &mut Random) -> Vec<T> {
        let count = self.rows().elements().unwrap();
        let wild = match self.fill {
            Fill::Finite | Fill::Bits | Fill::Offset if self.is_tame() => Fill::Specials,
            fill => fill,
        };
        let bits = |random: &mut Random| {
            let bytes = random.bits().to_le_bytes();
            bytemuck::pod_read_unaligned::<T>(&bytes[..size_of::<T>()])
        };
        let specials = [
            -0.0,
            0.0,
            1e-40,
            -1e-45,
            6e-8,
            f32::NAN,
            f32::INFINITY,
            f32::NEG_INFINITY,
            1.0,
        ];
        let offset = if wild == Fill::Offset {
            [100.0, 3e4, -2e4][random.below(3)]
        } else {
            0.0
        };
        let mut element = || match wild {
            Fill::Normal | Fill::Offset => T::nearest(random.normal(3.0) + offset),
            Fill::Specials => match random.below(12) {
                0 => T::nearest(specials[random.below(specials.len())]),
                // A NaN of any payload.
                1 if random.below(4) == 0 => Some(bits(random))
                    .filter(|&v| v.into().is_nan())
                    .unwrap_or(T::nearest(2.0)),
                _ => T::nearest(random.normal(3.0)),
            },
            Fill::Masked if random.below(3) > 0 => T::nearest(f32::NEG_INFINITY),
            Fill::Masked => T::nearest(random.normal(3.0)),
            Fill::Finite => Some(bits(random))
                .filter(|&v| v.into().is_finite())
                .unwrap_or(T::nearest(-1.0)),
            Fill::Bits => bits(random),
        };
        (0..count).map(|_| element()).collect()
    }

    /// Makes the case's mistake, if it has one.
    pub(crate) fn spoil<T: Stored>(&self, logits: &mut Vec<T>, rows: &mut Rows) -> bool {
        match self.mistake {
            0 => return false,
            1 => logits.push(T::nearest(0.0)),
            2 if logits.is_empty() => logits.push(T::nearest(0.0)),
            2 => drop(logits.pop()),
            3 => *rows = Rows::new(self.outer, 0),
            4 => *rows = rows.with_row_stride(self.classes - 1),
            _ => *rows = Rows::new(usize::MAX - self.outer, self.classes + 1),
        }
        true
    }
}
