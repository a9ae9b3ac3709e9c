//! What `sample` draws, reports and writes, on every adapter.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Folder, array, close, log_softmax, rows, wide};
use serde_json::{Value, json};

const INF: f32 = f32::INFINITY;

/// The backends of the adapters found.
fn backends(folder: &Folder) -> Vec<String> {
    let lines = String::from_utf8(folder.done("--json devices")).unwrap();
    let backend = |line: &str| {
        serde_json::from_str::<Value>(line).unwrap()["backend"]
            .as_str()
            .unwrap()
            .to_string()
    };
    let mut all: Vec<String> = lines.lines().map(backend).collect();
    all.sort();
    all.dedup();
    assert!(!all.is_empty());
    all
}

/// Logits without equal numbers in a row.
fn logits(count: usize) -> Vec<f32> {
    let number = |i: usize| (i.wrapping_mul(2_654_435_761) >> 5) % 100_003;
    (0..count).map(|i| number(i) as f32 / 16_384.0 - 3.0).collect()
}

/// The first largest class of each row.
fn argmax(x: &[f32], rows: &[Vec<usize>]) -> Vec<i64> {
    let largest = |row: &Vec<usize>| (0..row.len()).rev().max_by(|&a, &b| x[row[a]].total_cmp(&x[row[b]]));
    rows.iter().map(|row| largest(row).unwrap() as i64).collect()
}

/// Runs `sample x.npy -o y.npy` on an adapter, and gives the tokens.
fn tokens(folder: &Folder, backend: &str, flags: &str) -> (Vec<usize>, Vec<i64>) {
    folder.done(&format!("--backend {backend} sample x.npy -o y.npy {flags}"));
    folder.read("y.npy")
}

fn integers(folder: &Folder, name: &str) -> Vec<i64> {
    folder.read(name).1
}

#[test]
fn the_largest_class_along_any_axis() {
    let folder = Folder::new();
    let shape = [3, 5, 4];
    let x = logits(60);
    folder.write("x.npy", &shape, &x);
    for backend in backends(&folder) {
        for (axis, flag, row_shape) in [(2, -1, [3, 5]), (1, 1, [3, 4]), (0, -3, [5, 4])] {
            let want = argmax(&x, &rows(&shape, axis));
            for greedy in ["--temperature 0", "--top-k 1", "--temperature 0 --seed 9 --top-p 0.5"] {
                let got = tokens(&folder, &backend, &format!("--axis {flag} {greedy}"));
                assert_eq!(
                    got,
                    (row_shape.to_vec(), want.clone()),
                    "{backend}, axis {axis}, {greedy}"
                );
            }
        }
    }
}

#[test]
fn other_shapes() {
    let folder = Folder::new();
    folder.write("x.npy", &[4], &[1f64, 4.0, 4.0, 2.0]);
    assert_eq!(
        tokens(&folder, "vulkan", "--temperature 0 --top-n 3 --top-ids i.npy"),
        (vec![], vec![1])
    );
    assert_eq!(folder.read::<i64>("i.npy"), (vec![3], vec![1, 2, 3]));
    folder.write("x.npy", &[0, 4], &[0f32; 0]);
    folder.write("none.npy", &[0], &[0f32; 0]);
    folder.write("h.npy", &[0, 2], &[0i64; 0]);
    let flags = "--temperature none.npy --history h.npy --repetition-penalty 2 --probs p.npy --top-n 2 --top-ids i.npy";
    assert_eq!(tokens(&folder, "vulkan", flags), (vec![0], vec![]));
    assert_eq!(folder.read::<f32>("p.npy").0, [0, 4]);
    assert_eq!(folder.read::<i64>("i.npy").0, [0, 2]);
    let x: Vec<half::f16> = [0f32, 1.0, 0.5].map(half::f16::from_f32).to_vec();
    folder.write("x.npy", &[1, 3], &x);
    let piped = folder.done("sample x.npy --output - --temperature 0");
    assert_eq!(array::<i64>(&piped), (vec![1], vec![1]));
}

/// Rows in another order, alone, and on another adapter: seeds and positions go with them.
#[test]
fn a_token_depends_on_its_row_alone() {
    let folder = Folder::new();
    let (count, classes) = (24, 300);
    let x = logits(count * classes);
    let seeds: Vec<u64> = (0..count as u64).map(|i| u64::MAX - i * 0x1234_5678_9abc).collect();
    let positions: Vec<i64> = (0..count as i64).map(|i| i << 40).collect();
    let order: Vec<usize> = (0..count).map(|i| (i * 7 + 3) % count).collect();
    let flags = "--seed s.npy --position n.npy --temperature t.npy --top-k k.npy --top-p p.npy --min-p m.npy";
    let temperature = |i: usize| 0.5 + i as f32 / 8.0;
    let top_k = |i: usize| [0i32, 40, 5, 1000][i % 4];
    let top_p = |i: usize| [1f32, 0.9, 0.5][i % 3];
    let min_p = |i: usize| [0f32, 0.02][i % 2];
    let write = |order: &[usize]| {
        let count = order.len();
        let row = |&r: &usize| x[r * classes..(r + 1) * classes].to_vec();
        folder.write(
            "x.npy",
            &[count, classes],
            &order.iter().flat_map(row).collect::<Vec<f32>>(),
        );
        folder.write("s.npy", &[count], &order.iter().map(|&r| seeds[r]).collect::<Vec<_>>());
        folder.write(
            "n.npy",
            &[count],
            &order.iter().map(|&r| positions[r]).collect::<Vec<_>>(),
        );
        folder.write(
            "t.npy",
            &[count],
            &order.iter().map(|&r| temperature(r)).collect::<Vec<_>>(),
        );
        folder.write(
            "k.npy",
            &[count, 1],
            &order.iter().map(|&r| top_k(r)).collect::<Vec<_>>(),
        );
        folder.write(
            "p.npy",
            &[1, count],
            &order.iter().map(|&r| top_p(r)).collect::<Vec<_>>(),
        );
        folder.write("m.npy", &[count], &order.iter().map(|&r| min_p(r)).collect::<Vec<_>>());
    };
    let straight: Vec<usize> = (0..count).collect();
    write(&straight);
    let backends = backends(&folder);
    let (_, want) = tokens(&folder, &backends[0], flags);
    let classes_drawn: std::collections::BTreeSet<_> = want.iter().collect();
    assert!(classes_drawn.len() > count / 2, "{want:?}");
    for backend in &backends {
        write(&straight);
        assert_eq!(tokens(&folder, backend, flags).1, want, "{backend}");
        assert_eq!(
            tokens(&folder, backend, &format!("{flags} --kept k.npy --ranks r.npy")).1,
            want,
            "{backend}"
        );
        write(&order);
        let mixed: Vec<i64> = order.iter().map(|&r| want[r]).collect();
        assert_eq!(tokens(&folder, backend, flags).1, mixed, "{backend}");
        write(&[7]);
        assert_eq!(tokens(&folder, backend, flags).1, [want[7]], "{backend}");
        // The same numbers on the command line.
        let numbers = format!(
            "--seed {} --position {} --temperature {} --top-k {} --top-p {} --min-p {}",
            seeds[7],
            positions[7],
            temperature(7),
            top_k(7),
            top_p(7),
            min_p(7)
        );
        assert_eq!(tokens(&folder, backend, &numbers).1, [want[7]], "{backend}: {numbers}");
    }
}

#[test]
fn equal_rows_have_equal_tokens_unless_their_seeds_or_positions_differ() {
    let folder = Folder::new();
    let count = 32;
    folder.write("x.npy", &[count, 50], &vec![0f32; count * 50]);
    let numbers: Vec<i64> = (0..count as i64).collect();
    folder.write("n.npy", &[count], &numbers);
    folder.write("one.npy", &[], &[5u64]);
    for backend in backends(&folder) {
        let (_, same) = tokens(&folder, &backend, "--seed 5");
        assert!(same.iter().all(|&token| token == same[0] && token >= 0), "{same:?}");
        assert_eq!(tokens(&folder, &backend, "--seed one.npy").1, same);
        for flag in ["--seed n.npy", "--position n.npy"] {
            let (_, mut different) = tokens(&folder, &backend, flag);
            different.sort_unstable();
            different.dedup();
            assert!(different.len() > 10, "{backend} {flag}: {different:?}");
        }
    }
}

/// The probabilities are 8, 4, 2, 1, 1 sixteenths, exactly so for the filters.
#[test]
fn the_filters_keep_what_they_say() {
    let folder = Folder::new();
    let row = [1f32, 8.0, 1.0, 4.0, 2.0].map(f32::ln);
    folder.write("x.npy", &[1, 5], &row);
    for backend in backends(&folder) {
        for (flags, want) in [
            ("", 5),
            ("--top-k 0", 5),
            ("--top-k 3", 3),
            ("--top-k 4", 4),
            ("--top-k 99999999999", 5),
            ("--top-p 0", 1),
            ("--top-p 0.4", 1),
            ("--top-p 0.6", 2),
            ("--top-p 0.8", 3),
            ("--top-p 0.9", 4),
            ("--top-p 1", 5),
            ("--min-p 0.4", 2),
            ("--min-p 0.2", 3),
            ("--min-p 0.1", 5),
            ("--min-p 1", 1),
            // Of 8 + 4, 0.6 is less than 8; of all 16 it is more.
            ("--top-k 2 --top-p 0.6", 1),
            ("--top-k 2 --top-p 0.6 --joint", 2),
            ("--min-p 0.4 --top-p 0.6", 1),
            ("--min-p 0.4 --top-p 0.6 --joint", 2),
            ("--temperature 0", 1),
            ("--temperature 0.5 --top-p 0.7", 1),
            ("--temperature 0.5 --top-p 0.8", 2),
        ] {
            folder.write("d.npy", &[1], &[0i64]);
            let (_, token) = tokens(
                &folder,
                &backend,
                &format!("{flags} --kept n.npy --probs p.npy --ranks r.npy"),
            );
            assert_eq!(integers(&folder, "n.npy"), [want], "{backend} {flags}");
            let (shape, probs) = folder.read::<f32>("p.npy");
            assert_eq!(shape, [1, 5]);
            let order = [1, 3, 4, 0, 2];
            let kept = &order[..want as usize];
            let power = if flags.contains("temperature 0.5") { 2.0 } else { 1.0 };
            let mass = |c: usize| {
                if kept.contains(&c) {
                    f64::from(row[c]).exp().powf(power)
                } else {
                    0.0
                }
            };
            let all: f64 = (0..5).map(mass).sum();
            close(flags, &probs, &(0..5).map(|c| mass(c) / all).collect::<Vec<_>>());
            let rank = order.iter().position(|&c| c as i64 == token[0]).unwrap();
            assert_eq!(integers(&folder, "r.npy"), [rank as i64], "{backend} {flags}");
            assert!(rank < want as usize, "{backend} {flags}: {token:?}");
        }
    }
}

#[test]
fn rows_without_a_candidate_have_no_token_and_spoil_no_other() {
    let folder = Folder::new();
    let mut x = logits(6 * 40);
    folder.write("x.npy", &[2, 3, 40], &x);
    let flags = "--seed 3 --top-p 0.9 --top-n 2 --top-ids i.npy --top-log-probs q.npy --log-probs l.npy --ranks r.npy \
                 --kept k.npy --probs p.npy";
    for backend in backends(&folder) {
        let (_, whole) = tokens(&folder, &backend, flags);
        (x[2 * 40 + 7], x[4 * 40], x[5 * 40 + 39]) = (f32::NAN, INF, -INF);
        folder.write("x.npy", &[2, 3, 40], &x);
        let words = format!("--json --backend {backend} sample x.npy -o y.npy {flags}");
        let output = folder.run(&words.split_whitespace().collect::<Vec<_>>());
        assert!(output.status.success(), "{output:?}");
        let note = String::from_utf8(output.stderr).unwrap();
        assert!(
            note.contains("note: 2 rows have no candidate") && note.contains("first row [0, 2]"),
            "{note}"
        );
        let line: Value = serde_json::from_slice(&output.stdout).unwrap();
        let counts = (
            &line["rows"],
            &line["classes"],
            &line["without_candidate"],
            &line["first_without_candidate"],
        );
        assert_eq!(counts, (&json!(6), &json!(40), &json!(2), &json!([0, 2])));
        assert!(line["adapter"].is_string());
        let got = integers(&folder, "y.npy");
        let (log_probs, ranks) = (folder.read::<f32>("l.npy").1, integers(&folder, "r.npy"));
        for row in 0..5 {
            let is_bad = [2, 4].contains(&row);
            assert_eq!(got[row], if is_bad { -1 } else { whole[row] }, "{backend}, row {row}");
            assert_eq!(log_probs[row].is_nan(), is_bad, "{backend}: {log_probs:?}");
            assert_eq!(ranks[row] == -1, is_bad, "{backend}: {ranks:?}");
        }
        x = logits(6 * 40);
        folder.write("x.npy", &[2, 3, 40], &x);
    }
    folder.write("x.npy", &[2], &[f32::NAN, 0.0]);
    let output = folder.run(&["sample", "x.npy", "-o", "y.npy"]);
    let note = String::from_utf8_lossy(&output.stderr).to_string();
    assert!(
        output.status.success() && note.contains("note: 1 row has no candidate"),
        "{note}"
    );
    assert!(output.stdout.is_empty());
}

#[test]
fn log_probabilities_are_the_models_or_the_final_ones() {
    let folder = Folder::new();
    let x = [0f32, 3.0, 1.0, 2.0, 0.0, -1.0, 5.0, 4.0];
    folder.write("x.npy", &[2, 4], &x);
    let model = log_softmax(&wide(&x), &rows(&[2, 4], 1));
    let halves: Vec<f64> = wide(&x).iter().map(|x| 2.0 * x).collect();
    let two = |a: f64, b: f64| [a - (a.exp() + b.exp()).ln(), b - (a.exp() + b.exp()).ln()];
    let (first, second) = (two(halves[1], halves[3]), two(halves[6], halves[7]));
    let flags = "--temperature 0.5 --top-k 2 --log-probs l.npy --top-n 3 --top-ids i.npy --top-log-probs q.npy";
    for backend in backends(&folder) {
        for of in ["", "--of model", "--of final"] {
            let (_, token) = tokens(&folder, &backend, &format!("{flags} {of}"));
            let what = format!("{backend} {of}");
            let (l, (shape, q)) = (folder.read::<f32>("l.npy").1, folder.read::<f32>("q.npy"));
            assert_eq!(shape, [2, 3]);
            let ids = integers(&folder, "i.npy");
            if of == "--of final" {
                assert_eq!(ids, [1, 3, -1, 2, 3, -1], "{what}");
                close(&what, &[q[0], q[1], q[3], q[4]], &[first, second].concat());
                assert_eq!((q[2], q[5]), (-INF, -INF), "{what}");
            } else {
                assert_eq!(ids, [1, 3, 2, 2, 3, 0], "{what}");
                close(&what, &q, &[1, 3, 2, 6, 7, 4].map(|i| model[i]));
            }
            for row in 0..2 {
                let at = ids[3 * row..][..3].iter().position(|&id| id == token[row]).unwrap();
                assert_eq!(l[row], q[3 * row + at], "{what}");
            }
        }
    }
}

#[test]
fn penalties_bias_and_bits_choose_another_class() {
    let folder = Folder::new();
    folder.write("x.npy", &[2, 4], &[1f32, 4.0, 3.0, 2.0, -3.0, -1.0, -2.0, -4.0]);
    folder.write("h.npy", &[2, 3], &[1i64, 1, 2, 1, -1, -1]);
    folder.write("r.npy", &[2], &[1f32, 4.0]);
    folder.write("n.npy", &[2], &[3i32, 0]);
    folder.write("all.npy", &[1], &[0b1101u32]);
    folder.write("each.npy", &[2, 1], &[-8i32, 0b0001]);
    std::fs::write(folder.at("all.json"), r#"{"0": 4, "1": -0.5}"#).unwrap();
    std::fs::write(folder.at("each.json"), r#"[{}, {"1": "-inf", "2": -5, "0": 0}]"#).unwrap();
    for backend in backends(&folder) {
        for (flags, want) in [
            ("", [1, 1]),
            ("--history h.npy", [1, 1]),
            // 4 / 2 and 3 / 2 are not above 2: the first largest is class 1.
            ("--history h.npy --repetition-penalty 2", [1, 1]),
            ("--history h.npy --repetition-penalty 2.5", [3, 2]),
            ("--history h.npy --repetition-penalty r.npy", [1, 2]),
            ("--history h.npy --presence-penalty 1.5", [1, 2]),
            ("--history h.npy --frequency-penalty 1.5", [3, 2]),
            ("--history h.npy --frequency-penalty 0.75", [1, 1]),
            ("--history h.npy --frequency-penalty 1.5 --prompt-lengths 1", [1, 1]),
            ("--history h.npy --frequency-penalty 1.5 --prompt-lengths n.npy", [1, 2]),
            ("--history h.npy --frequency-penalty -1.5 --prompt-lengths 2", [2, 1]),
            ("--allowed all.npy", [2, 2]),
            ("--allowed each.npy", [3, 0]),
            ("--logit-bias all.json", [0, 0]),
            ("--logit-bias each.json", [1, 0]),
            ("--logit-bias all.json --allowed each.npy", [3, 0]),
        ] {
            let got = tokens(&folder, &backend, &format!("--temperature 0 {flags}"));
            assert_eq!(got, (vec![2], want.map(i64::from).to_vec()), "{backend} {flags}");
        }
    }
}

/// Per-row numbers, lists and outputs in the order of the rows, where the class axis is not the last.
#[test]
fn rows_keep_their_order_along_another_axis() {
    let folder = Folder::new();
    let shape = [2, 5, 3];
    let x = logits(30);
    let flat: Vec<f32> = rows(&shape, 1).iter().flatten().map(|&i| x[i]).collect();
    folder.write("s.npy", &[2, 3], &[1i64, 2, 3, 4, 5, 6]);
    folder.write("flat_h.npy", &[6, 1], &[0i64, 1, 2, 3, 4, -1]);
    folder.write("h.npy", &[2, 3, 1], &[0i64, 1, 2, 3, 4, -1]);
    folder.write("b.npy", &[2, 3, 1], &[31u32, 30, 29, 27, 23, 15]);
    let flags = "--seed s.npy --allowed b.npy --presence-penalty 2 --top-p 0.8 --log-probs l.npy --probs p.npy --top-n 2 \
                 --top-ids i.npy";
    let flags_flat = flags.replace("b.npy", "flat_b.npy");
    folder.write("flat_b.npy", &[6, 1], &[31u32, 30, 29, 27, 23, 15]);
    for backend in backends(&folder) {
        folder.write("x.npy", &[6, 5], &flat);
        let (_, want) = tokens(&folder, &backend, &format!("{flags_flat} --history flat_h.npy"));
        let (l, p, i) = (
            folder.read::<f32>("l.npy").1,
            folder.read::<f32>("p.npy").1,
            integers(&folder, "i.npy"),
        );
        folder.write("x.npy", &shape, &x);
        for history in ["h.npy", "flat_h.npy"] {
            let got = tokens(&folder, &backend, &format!("{flags} --history {history} --axis 1"));
            assert_eq!(got, (vec![2, 3], want.clone()), "{backend} {history}");
            assert_eq!(folder.read::<f32>("l.npy"), (vec![2, 3], l.clone()), "{backend}");
            assert_eq!(folder.read::<i64>("i.npy"), (vec![2, 3, 2], i.clone()), "{backend}");
            let (p_shape, probs) = folder.read::<f32>("p.npy");
            let moved: Vec<f32> = rows(&shape, 1).iter().flatten().map(|&i| probs[i]).collect();
            assert_eq!((&p_shape[..], moved), (&shape[..], p.clone()), "{backend}");
        }
    }
}
