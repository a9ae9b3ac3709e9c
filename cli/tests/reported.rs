//! What people reported of other projects, tried here: docs/verification.md has a line for each, with the report's address.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Folder, close};

const INF: f32 = f32::INFINITY;

/// A line has a report, the arrays, a command line, and what comes of it. Arrays are `name=1 2; 3 4`, of two axes and f32, or of one
/// with `i` (int64), `f` (f32) or `b` (booleans) before the numbers. What comes of it is what is printed (`loss 0`), a file's numbers
/// (`y 1 0`), or the error of a caller's mistake.
const MASKED: &str = "
PyTorch 25110, IREE 24175 | x=-inf -inf -inf | softmax x.npy -o y.npy | y NaN NaN NaN
PyTorch 25110, IREE 24175 | x=-inf -inf -inf | softmax x.npy -o y.npy --fully-masked zeros | y 0 0 0
PyTorch 106545 | x=-inf -inf | softmax x.npy -o y.npy --fully-masked uniform | y 0.5 0.5
burn 4694, Keras 21123 | x=1 2; m=b 0 0 | softmax x.npy -o y.npy --mask m.npy --fully-masked zeros | y 0 0
Keras 21123 | x=-5 -5; m=f -3.4e38 -3.4e38 | softmax x.npy -o y.npy --mask m.npy --fully-masked zeros | y 0.5 0.5
MLX 2835 | x=0 0 0; 0 0 0 | softmax x.npy -o y.npy --mask causal --causal-offset 1 | y 0.5 0.5 0 0.333333 0.333333 0.333333
tinygrad 17822 | x=-inf -inf; t=i 0 | cross-entropy x.npy t.npy --lse y.npy | y NaN
tinygrad 17822 | x=-inf -inf; t=i 0 | cross-entropy x.npy t.npy --lse y.npy --fully-masked zeros | y -inf
PyTorch 31829 | x=-inf -inf; t=i 0 | cross-entropy x.npy t.npy --grad y.npy --fully-masked zeros | y 0 0
JAX 23842 | x=0 100; t=i 0; m=b 1 0 | cross-entropy x.npy t.npy --mask m.npy --grad y.npy | y 0 0
";

const INFINITE: &str = "
JAX 21495 | x=inf 0 | softmax x.npy -o y.npy | y NaN NaN
OpenVINO 33456 | x=inf 1 2 | softmax x.npy -o y.npy | y NaN NaN NaN
MindSpore 378 | x=NaN inf -inf; 0 0 -inf | softmax x.npy -o y.npy --log | y NaN NaN NaN -0.693147 -0.693147 -inf
MLX 576 | x=inf 2 3; t=i 0 | cross-entropy x.npy t.npy --lse y.npy | y NaN
optax 896, ModelCenter 14 | x=-inf 0; q=0 1 | cross-entropy x.npy q.npy | loss 0
optax 896, ModelCenter 14 | x=-inf 0; q=0 1 | cross-entropy x.npy q.npy --grad y.npy | y 0 0
PyText 1698 | x=0 0 -inf; t=i 0 | cross-entropy x.npy t.npy --label-smoothing 0 | loss 0.693147
PyText 1698, MindAct 1633 | x=0 0 -inf; t=i 0 | cross-entropy x.npy t.npy --label-smoothing 0.1 | loss inf
PyTorch 40553 | x=0 0 -inf; t=i 0 | cross-entropy x.npy t.npy --entropy y.npy | y 0.693147
TRL 7221 | x=65504 -65504; t=i 0 | cross-entropy x.npy t.npy --entropy y.npy --dtype f16 | y 0
PyTorch 49844 | x=-inf inf; q=0 1 | bce x.npy q.npy --reduction none --loss y.npy | y 0 0
PyTorch 135359 | x=-inf inf; q=0.9 0 | bce x.npy q.npy --reduction none --loss y.npy | y inf inf
";

const LARGE: &str = "
ML.NET 3648 | x=90 2 -2 | softmax x.npy -o y.npy | y 1 0 0
Compute Library 148 | x=8 18 28 38 48 | softmax x.npy -o y.npy --log | y -40.000045 -30.000045 -20.000045 -10.000045 -0.000045
PyTorch 11752 | x=1e8 1e8; t=i 1 | cross-entropy x.npy t.npy | loss 0.693147
MLX 4188 | x=1000002 999999; t=i 0 | cross-entropy x.npy t.npy | loss 0.04858735
MLX 4169 | x=1e8 1e8; 1e36 1e36 | softmax x.npy -o y.npy --log | y -0.693147 -0.693147 -0.693147 -0.693147
PyTorch 113708 | x=80 0; t=i 0 | cross-entropy x.npy t.npy | loss 1.804851e-35
asi 2886 | x=4e9 4e9 0 | softmax x.npy -o y.npy --temperature 0.7 | y 0.5 0.5 0
asi 2886 | x=4e9 4e9 0 | softmax x.npy -o y.npy --temperature 3e-10 | y 0.5 0.5 0
vLLM-Omni 3252 | x=1e5 0 | softmax x.npy -o y.npy --dtype f16 | y NaN NaN
vLLM-Omni 3252 | x=1e5 0 | softmax x.npy -o y.npy --dtype bf16 | y 1 0
PyTorch 13773 | x=0 -120; q=0 1; p=f 1 1 | bce x.npy q.npy --pos-weight p.npy | loss 60.346573
candle 2561 | x=200 -200; q=1 0 | bce x.npy q.npy | loss 0
";

const TARGETS: &str = "
PyTorch 116349 | x=1 2 3; t=i -100 | cross-entropy x.npy t.npy | loss NaN
PyTorch 116349 | x=1 2 3; t=i -100 | cross-entropy x.npy t.npy --empty-mean zero | loss 0
PyTorch 12670 | x=0 0; 0 0; t=i 0 -4 | cross-entropy x.npy t.npy --reduction none --loss y.npy | row 1 has target -4, but there are 2
TensorFlow 3739, Paddle 10945 | x=0 0; t=i 1000 | cross-entropy x.npy t.npy | row 0 has target 1000, but there are 2 classes (0 to 1)
PyTorch 15508 | x=0 0; 0 0; t=i 0 255 | cross-entropy x.npy t.npy --ignore-index 255 --reduction none --loss y.npy | y 0.693147 0
PyTorch 72056 | x=0 0; 0 0; t=i 0 -1; w=f 1 16 | cross-entropy x.npy t.npy --ignore-index -1 --weight w.npy --label-smoothing 0.1 \
    | loss 1.213008
PyTorch 11551 | x=-inf -inf; 0 0; t=i -100 0 | cross-entropy x.npy t.npy --grad y.npy | y 0 0 -0.5 0.5
PyTorch 11551 | x=NaN NaN; 0 0; t=i -100 0 | cross-entropy x.npy t.npy --grad y.npy | y 0 0 -0.5 0.5
PyTorch 63004 | x=0 1 1; 0 1 1; t=i 1 2 | cross-entropy x.npy t.npy --ignore-index 0 | loss 0.861995
PyTorch 63004 | x=0 1 1; 0 1 1; t=i 1 2; m=b 0 1 1 | cross-entropy x.npy t.npy --ignore-index 0 --mask m.npy | loss 0.693147
PyTorch 50528 | x=1 2 3; t=i 1; w=f 1 5 1 | cross-entropy x.npy t.npy --weight w.npy | loss 1.407606
PyTorch 50528 | x=1 2 3; t=i 1; w=f 1 5 1 | cross-entropy x.npy t.npy --weight w.npy --normalizer 1 | loss 7.038030
Liger 968 | x=0 0; 0 0; 0 0; t=i 1 -100 0; g=f 2 3 4 | \
    cross-entropy x.npy t.npy --reduction none --upstream g.npy --grad y.npy | y 1 -1 0 0 -2 2
TransformerEngine 2476 | x=0 0; 0 0; 0 0; t=i 1 -100 0 | cross-entropy x.npy t.npy --grad y.npy | y 0.25 -0.25 0 0 -0.25 0.25
OpenVINO 33626, MLX 4274, PyTorch 22853 | x=NaN NaN NaN; 3 NaN 5; 7 7 7; t=i 0 0 0 | \
    cross-entropy x.npy t.npy --axis 1 --predictions y.npy | y 0 1 0
prime-rl 3090 | x=0 0; t=i 0 | cross-entropy x.npy t.npy --temperature 0 | --temperature is 0, but must be from 2^-126 to 2^126
";

const SAMPLED: &str = "
ggml 37, Gemma 562 | x=1 3 3 0 | sample x.npy -o y.npy --temperature 0 | y 1
Lattice 295 | x=1 3 3 0 | sample x.npy -o y.npy --temperature nan | --temperature is NaN, but must be 0, which takes the largest class, or
tpu-inference 3590 | x=1 3 3 0 | sample x.npy -o y.npy --top-k 1 | y 1
FlashInfer 3774, SGLang 33539 | x=1 0 0 -inf | sample x.npy -o t.npy --top-k 2 --probs y.npy | y 0.731059 0.268941 0 0
FlashInfer 3774 | x=1 0 0 -inf | sample x.npy -o t.npy --top-p 0.7 --probs y.npy | y 0.731059 0.268941 0 0
llama.cpp 1953 | x=-0.693147 -1.203973 -1.897120 -2.995732 | sample x.npy -o t.npy --top-p 0.6 --kept y.npy | y 2
Transformers 18976 | x=0 0 0 0 | sample x.npy -o t.npy --top-p 0.5 --kept y.npy | y 2
mlx-lm 1912 | x=0 0.1 0 0 | sample x.npy -o y.npy --top-p 1e-8 | y 1
colibri 369, JAX 6762 | x=0 NaN 100; 0 inf 1; -inf -inf -inf; 0 1 -inf | sample x.npy -o y.npy --top-k 1 | y -1 -1 -1 1
";

/// Writes the arrays of a line. An array's name is followed by `=`, and a semicolon begins its next row or the next array.
fn write(folder: &Folder, arrays: &str) {
    let mut named: Vec<(&str, Vec<&str>)> = Vec::new();
    for row in arrays.split(';') {
        match row.split_once('=') {
            Some((name, row)) => named.push((name.trim(), vec![row])),
            None => named.last_mut().unwrap().1.push(row),
        }
    }
    for (name, rows) in named {
        let name = format!("{name}.npy");
        let words: Vec<&str> = rows.iter().flat_map(|row| row.split_whitespace()).collect();
        let length = words.len();
        match words[0] {
            "i" => folder.write(&name, &[length - 1], &numbers::<i64>(&words[1..])),
            "f" => folder.write(&name, &[length - 1], &numbers::<f32>(&words[1..])),
            "b" => {
                let keeps: Vec<bool> = words[1..].iter().map(|&word| word == "1").collect();
                folder.write(&name, &[length - 1], &keeps);
            }
            _ => folder.write(&name, &[rows.len(), length / rows.len()], &numbers::<f32>(&words)),
        }
    }
}

fn numbers<T: std::str::FromStr<Err: std::fmt::Debug>>(words: &[&str]) -> Vec<T> {
    words.iter().map(|word| word.parse().unwrap()).collect()
}

/// Checks that NaN comes where it belongs, and the other numbers as [`close`] does.
fn same(what: &str, got: &[f32], want: &[f64]) {
    let places = |is: &dyn Fn(usize) -> bool| (0..want.len()).filter(|&i| is(i)).collect::<Vec<_>>();
    assert_eq!(got.len(), want.len(), "{what}");
    assert_eq!(
        places(&|i| got[i].is_nan()),
        places(&|i| want[i].is_nan()),
        "{what}: {got:?}"
    );
    let finite = |i: &usize| !want[*i].is_nan();
    let (got, want): (Vec<f32>, Vec<f64>) = (0..want.len()).filter(finite).map(|i| (got[i], want[i])).unzip();
    close(what, &got, &want);
}

fn check(reports: &str) {
    for line in reports.replace("\\\n", "").trim().lines() {
        let [report, arrays, words, want] = line.split('|').map(str::trim).collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        let folder = Folder::new();
        write(&folder, arrays);
        if let Some(want) = want.strip_prefix("y ") {
            folder.done(words);
            let want: Vec<&str> = want.split(' ').collect();
            let is_sampled = words.starts_with("sample") && words.contains("-o y.npy");
            let got = if is_sampled || words.contains("--kept") || words.contains("--predictions") {
                folder.read::<i64>("y.npy").1.iter().map(|&v| v as f32).collect()
            } else {
                folder.read::<f32>("y.npy").1
            };
            same(line, &got, &numbers::<f64>(&want));
        } else if want.starts_with("loss ") {
            assert_eq!(
                String::from_utf8(folder.done(words)).unwrap(),
                format!("{want}\n"),
                "{line}"
            );
        } else {
            let (code, message) = folder.fails(words);
            assert_eq!(code, 2, "{report}: {message}");
            assert!(message.contains(want), "{report}: {message}");
        }
    }
}

#[test]
fn masks_and_rows_of_negative_infinity() {
    check(MASKED);
}

#[test]
fn infinities_and_nan() {
    check(INFINITE);
}

#[test]
fn large_and_small_numbers() {
    check(LARGE);
}

#[test]
fn targets_means_and_gradients() {
    check(TARGETS);
}

#[test]
fn tokens() {
    check(SAMPLED);
}

/// candle 3727, tract 2586 and coremltools 2690: sums in f16 stop growing, or overflow.
#[test]
fn sums_over_many_classes_of_16_bits() {
    let folder = Folder::new();
    folder.write("x.npy", &[1, 4096], &[0f32; 4096]);
    folder.done("softmax x.npy -o y.npy --dtype f16");
    assert_eq!(folder.read::<f32>("y.npy").1, [1.0 / 4096.0; 4096]);
    folder.write("x.npy", &[1, 32], &[8f32; 32]);
    folder.write("t.npy", &[1], &[0i64]);
    folder.done("cross-entropy x.npy t.npy --lse y.npy --dtype f16");
    close("lse", &folder.read::<f32>("y.npy").1, &[8.0 + 32f64.ln()]);
}

/// flash-attention 1930: all but one of many classes are masked.
#[test]
fn one_class_of_100_000() {
    let folder = Folder::new();
    let mut x = vec![-INF; 100_000];
    x[50_000] = 10.0;
    folder.write("x.npy", &[1, x.len()], &x);
    folder.write("t.npy", &[1], &[50_000i64]);
    assert_eq!(folder.done("cross-entropy x.npy t.npy"), b"loss 0\n");
}

/// PyTorch 17262 and TensorFlow 6766: no classes, and no rows.
#[test]
fn nothing_at_all() {
    let folder = Folder::new();
    folder.write::<f32>("x.npy", &[2, 0], &[]);
    let (code, message) = folder.fails("softmax x.npy -o y.npy --log");
    assert_eq!(code, 2);
    assert!(message.contains("have 0 classes; at least 1 is needed"), "{message}");
    folder.write::<f32>("x.npy", &[0, 10], &[]);
    folder.write::<i64>("t.npy", &[0], &[]);
    folder.done("softmax x.npy -o y.npy");
    assert_eq!(folder.read::<f32>("y.npy"), (vec![0, 10], vec![]));
    assert_eq!(folder.done("cross-entropy x.npy t.npy"), b"loss NaN\n");
    assert_eq!(folder.done("cross-entropy x.npy t.npy --empty-mean zero"), b"loss 0\n");
}

/// tensai 10: more rows than a dispatch has work-groups along one axis. vLLM 5898: a row has other bits in another batch.
/// PyTorch 17350: a mean has other bits in another run.
#[test]
fn the_same_bits_in_every_batch_and_run() {
    let folder = Folder::new();
    let x = common::logits(3 * 70_000);
    folder.write("x.npy", &[70_000, 3], &x);
    folder.write("one.npy", &[1, 3], &x[3 * 69_999..]);
    let classes: Vec<i64> = (0..70_000).map(|row| row % 3).collect();
    folder.write("t.npy", &[70_000], &classes);
    folder.done("softmax x.npy -o y.npy");
    folder.done("softmax one.npy -o z.npy");
    assert_eq!(
        folder.read::<f32>("y.npy").1[3 * 69_999..],
        folder.read::<f32>("z.npy").1
    );
    let losses = [(); 3].map(|()| folder.done("cross-entropy x.npy t.npy --loss -"));
    assert!(losses.iter().all(|loss| *loss == losses[0]));
}

/// PyTorch 48841 and SGLang 33423: a class of probability 0 is drawn.
#[test]
fn masked_classes_are_never_drawn() {
    let folder = Folder::new();
    let rows = 20_000;
    let x: Vec<f32> = (0..rows * 4).map(|i| if i % 4 == 2 { -INF } else { 0.0 }).collect();
    folder.write("x.npy", &[rows, 4], &x);
    folder.write("seeds.npy", &[rows], &(0..rows as i64).collect::<Vec<_>>());
    folder.done("sample x.npy -o y.npy --seed seeds.npy");
    let tokens = folder.read::<i64>("y.npy").1;
    let count = |class: i64| tokens.iter().filter(|&&token| token == class).count();
    assert_eq!(count(2), 0);
    assert!([0, 1, 3].iter().all(|&class| (6_300..7_000).contains(&count(class))));
}
