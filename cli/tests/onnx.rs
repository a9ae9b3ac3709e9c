//! The node tests of ONNX for Softmax, LogSoftmax, SoftmaxCrossEntropyLoss and NegativeLogLikelihoodLoss.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Folder, close, log_softmax, numbers, rows, wide};

const CLASSES: usize = 5;
const WEIGHTS: [f32; CLASSES] = [0.9, 0.7, 0.8, 0.9, 0.9];

#[test]
fn softmax_and_log_softmax_along_every_axis() {
    let folder = Folder::new();
    let large: Vec<f32> = [0.0, 10_000.0]
        .iter()
        .flat_map(|o| [0.0, 1.0, 2.0, 3.0].map(|v| v + o))
        .collect();
    for (x, shape, flag, axis) in [
        (vec![-1f32, 0.0, 1.0], &[1, 3][..], "", 1),
        (large, &[2, 4], "", 1),
        (numbers(60), &[3, 4, 5], "", 2),
        (numbers(60), &[3, 4, 5], "--axis 0", 0),
        (numbers(60), &[3, 4, 5], "--axis 1", 1),
        (numbers(60), &[3, 4, 5], "--axis 2", 2),
        (numbers(60), &[3, 4, 5], "--axis -1", 2),
        (numbers(60), &[3, 4, 5], "--axis -3", 0),
    ] {
        let what = format!("{shape:?} {flag}");
        folder.write("x.npy", shape, &x);
        let log_probs = log_softmax(&wide(&x), &rows(shape, axis));
        let probs: Vec<f64> = log_probs.iter().map(|l| l.exp()).collect();
        for (log, want) in [("", probs), ("--log", log_probs)] {
            folder.done(&format!("softmax x.npy -o y.npy {flag} {log}"));
            let (y_shape, y) = folder.read::<f32>("y.npy");
            assert_eq!(y_shape, shape);
            close(&what, &y, &want);
        }
    }
}

/// A test of a loss: logits of shape `shape` with the classes along axis 1, and the flags.
struct Case {
    shape: &'static [usize],
    weighted: bool,
    ignore_index: Option<i64>,
    reduction: &'static str,
}

const fn case(shape: &'static [usize], weighted: bool, ignore_index: Option<i64>, reduction: &'static str) -> Case {
    Case {
        shape,
        weighted,
        ignore_index,
        reduction,
    }
}

const CASES: &[Case] = &[
    case(&[3, 5], false, None, "none"),
    case(&[3, 5], true, None, "none"),
    case(&[3, 5], false, None, "sum"),
    case(&[3, 5], false, None, "mean"),
    case(&[3, 5], true, None, "mean"),
    case(&[3, 5], true, Some(0), "mean"),
    case(&[3, 5], true, Some(10), "sum"),
    case(&[3, 5, 2], false, Some(2), "mean"),
    case(&[3, 5, 6], true, Some(-1), "mean"),
    case(&[3, 5, 2, 7], true, Some(2), "mean"),
    case(&[3, 5, 6, 6], true, Some(1), "sum"),
    case(&[3, 5, 6, 6, 5], false, Some(-5), "none"),
    case(&[3, 5, 6, 6, 5, 3, 4], true, None, "mean"),
    case(&[3, 5, 6, 6, 5, 3, 4], false, None, "none"),
];

impl Case {
    fn name(&self) -> String {
        let (shape, weighted, ignore, reduction) = (self.shape, self.weighted, self.ignore_index, self.reduction);
        format!("{shape:?} weighted {weighted} ignoring {ignore:?} {reduction}")
    }

    fn row_shape(&self) -> Vec<usize> {
        [&self.shape[..1], &self.shape[2..]].concat()
    }

    fn logits(&self) -> Vec<f32> {
        numbers(self.shape.iter().product())
    }

    /// A class for each row. The first is the ignored index, if there is one.
    fn targets(&self) -> Vec<i64> {
        let count = self.row_shape().iter().product();
        let mut targets: Vec<i64> = (0..count).map(|r| ((r * r + r / 3) % CLASSES) as i64).collect();
        targets[0] = self.ignore_index.unwrap_or(targets[0]);
        targets
    }

    /// The expected loss, and for each row the weight that its gradient is multiplied by, which is 0 if it is ignored.
    fn expected(&self, log_probs: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let targets = self.targets();
        let weight = |t: i64| match Some(t) == self.ignore_index {
            true => 0.0,
            false if self.weighted => f64::from(WEIGHTS[t as usize]),
            false => 1.0,
        };
        let mut weights: Vec<f64> = targets.iter().map(|&t| weight(t)).collect();
        if self.reduction == "mean" {
            let all: f64 = weights.iter().sum();
            weights.iter_mut().for_each(|w| *w /= all);
        }
        let at_target = |(row, &t): (&Vec<usize>, &i64)| usize::try_from(t).ok().and_then(|t| row.get(t)).copied();
        let rows = rows(self.shape, 1);
        let losses = rows.iter().zip(&targets).zip(&weights);
        let losses = losses.map(|(row, w)| at_target(row).map_or(0.0, |i| -w * log_probs[i]));
        let losses: Vec<f64> = match self.reduction {
            "none" => losses.collect(),
            _ => vec![losses.sum()],
        };
        (losses, weights)
    }

    /// Runs the command with the case's flags, compares the loss, and gives the rows' weights.
    fn run(&self, folder: &Folder, input: &[f32], log_probs: &[f64], flags: &str) -> Vec<f64> {
        folder.write("x.npy", self.shape, input);
        folder.write("t.npy", &self.row_shape(), &self.targets());
        folder.write("w.npy", &[CLASSES], &WEIGHTS);
        let weight = if self.weighted { "--weight w.npy" } else { "" };
        let ignore = self.ignore_index.map(|i| format!("--ignore-index {i}"));
        folder.done(&format!(
            "cross-entropy x.npy t.npy --loss l.npy --grad g.npy --reduction {} {weight} {} {flags}",
            self.reduction,
            ignore.unwrap_or_default()
        ));
        let (losses, weights) = self.expected(log_probs);
        let (shape, loss) = folder.read::<f32>("l.npy");
        let is_reduced = self.reduction != "none";
        assert_eq!(shape, if is_reduced { Vec::new() } else { self.row_shape() });
        close(&self.name(), &loss, &losses);
        weights
    }

    /// The expected gradient: for each class of each row `weight * of(index, whether this class is the target)`.
    fn gradient(&self, weights: &[f64], of: impl Fn(usize, bool) -> f64) -> Vec<f64> {
        let mut gradient = vec![0.0; self.shape.iter().product()];
        for ((row, target), weight) in rows(self.shape, 1).iter().zip(self.targets()).zip(weights) {
            for (class, &i) in row.iter().enumerate() {
                gradient[i] = weight * of(i, class as i64 == target);
            }
        }
        gradient
    }
}

#[test]
fn softmax_cross_entropy_loss() {
    let folder = Folder::new();
    for case in CASES {
        let logits = case.logits();
        let log_probs = log_softmax(&wide(&logits), &rows(case.shape, 1));
        let weights = case.run(&folder, &logits, &log_probs, "--log-probs log.npy");
        let (shape, got) = folder.read::<f32>("log.npy");
        assert_eq!(shape, case.shape);
        close(&case.name(), &got, &log_probs);
        let gradient = case.gradient(&weights, |i, is_target| {
            log_probs[i].exp() - f64::from(u8::from(is_target))
        });
        close(&case.name(), &folder.read::<f32>("g.npy").1, &gradient);
    }
}

#[test]
fn negative_log_likelihood_loss() {
    let folder = Folder::new();
    for case in CASES {
        let log_probs: Vec<f32> = log_softmax(&wide(&case.logits()), &rows(case.shape, 1))
            .iter()
            .map(|&l| l as f32)
            .collect();
        let weights = case.run(&folder, &log_probs, &wide(&log_probs), "--input log-probs");
        let gradient = case.gradient(&weights, |_, is_target| -f64::from(u8::from(is_target)));
        close(&case.name(), &folder.read::<f32>("g.npy").1, &gradient);
    }
}
