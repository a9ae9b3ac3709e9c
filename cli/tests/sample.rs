//! What `sample` draws, reports and writes, on every adapter.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Folder, array, backends, close, integers, logits, rows, tokens};
use serde_json::{Value, json};

const INF: f32 = f32::INFINITY;

/// The first largest class of each row.
fn argmax(x: &[f32], rows: &[Vec<usize>]) -> Vec<i64> {
    let largest = |row: &Vec<usize>| (0..row.len()).rev().max_by(|&a, &b| x[row[a]].total_cmp(&x[row[b]]));
    rows.iter().map(|row| largest(row).unwrap() as i64).collect()
}

#[test]
fn the_largest_class_along_any_axis() {
    let folder = Folder::new();
    let shape = [3, 5, 4];
    let x = logits(60);
    folder.write("x.npy", &shape, &x);
    for backend in backends(&folder) {
        for (axis, flag, row_shape, greedy) in [
            (2, -1, [3, 5], "--temperature 0"),
            (1, 1, [3, 4], "--top-k 1"),
            (0, -3, [5, 4], "--temperature 0 --seed 9 --top-p 0.5"),
        ] {
            let want = argmax(&x, &rows(&shape, axis));
            let got = tokens(&folder, &backend, &format!("--axis {flag} {greedy}"));
            assert_eq!(got, (row_shape.to_vec(), want), "{backend}, axis {axis}, {greedy}");
        }
    }
}

#[test]
fn other_shapes() {
    let folder = Folder::new();
    let backend = &backends(&folder)[0];
    folder.write("x.npy", &[4], &[1f64, 4.0, 4.0, 2.0]);
    assert_eq!(
        tokens(&folder, backend, "--temperature 0 --top-n 3 --top-ids i.npy"),
        (vec![], vec![1])
    );
    assert_eq!(folder.read::<i64>("i.npy"), (vec![3], vec![1, 2, 3]));
    folder.write("x.npy", &[0, 4], &[0f32; 0]);
    folder.write("none.npy", &[0], &[0f32; 0]);
    folder.write("h.npy", &[0, 2], &[0i64; 0]);
    let flags = "--temperature none.npy --history h.npy --repetition-penalty 2 --probs p.npy --top-n 2 --top-ids i.npy";
    assert_eq!(tokens(&folder, backend, flags), (vec![0], vec![]));
    assert_eq!(folder.read::<f32>("p.npy").0, [0, 4]);
    assert_eq!(folder.read::<i64>("i.npy").0, [0, 2]);
    let x: Vec<half::f16> = [0f32, 1.0, 0.5].map(half::f16::from_f32).to_vec();
    folder.write("x.npy", &[1, 3], &x);
    let piped = folder.done("sample x.npy --output - --temperature 0");
    assert_eq!(array::<i64>(&piped), (vec![1], vec![1]));
}

const ROWS: usize = 24;
const CLASSES: usize = 300;
const FILES: &str = "--seed s.npy --position n.npy --temperature t.npy --top-k k.npy --top-p p.npy --min-p m.npy";

fn seed(row: usize) -> u64 {
    u64::MAX - row as u64 * 0x1234_5678_9abc
}

fn position(row: usize) -> i64 {
    (row as i64) << 40
}

/// Temperature, top_p and min_p of a row, and its top_k.
fn filters(row: usize) -> ([f32; 3], i32) {
    let floats = [0.5 + row as f32 / 8.0, [1f32, 0.9, 0.5][row % 3], [0f32, 0.02][row % 2]];
    (floats, [0, 40, 5, 1000][row % 4])
}

/// Writes these of the rows, and their numbers in arrays of several shapes.
fn write_rows(folder: &Folder, x: &[f32], order: &[usize]) {
    let count = order.len();
    let classes = |&r: &usize| &x[r * CLASSES..(r + 1) * CLASSES];
    let float = |i: usize| order.iter().map(|&r| filters(r).0[i]).collect::<Vec<_>>();
    let x: Vec<f32> = order.iter().flat_map(classes).copied().collect();
    let top_k: Vec<i32> = order.iter().map(|&r| filters(r).1).collect();
    let seeds: Vec<u64> = order.iter().map(|&r| seed(r)).collect();
    let positions: Vec<i64> = order.iter().map(|&r| position(r)).collect();
    folder.write("x.npy", &[count, CLASSES], &x);
    folder.write("s.npy", &[count], &seeds);
    folder.write("n.npy", &[count], &positions);
    folder.write("t.npy", &[count], &float(0));
    folder.write("k.npy", &[count, 1], &top_k);
    folder.write("p.npy", &[1, count], &float(1));
    folder.write("m.npy", &[count], &float(2));
}

/// Rows in another order, alone, and on another adapter: seeds and positions go with them.
#[test]
fn a_token_depends_on_its_row_alone() {
    let folder = Folder::new();
    let x = logits(ROWS * CLASSES);
    let straight: Vec<usize> = (0..ROWS).collect();
    let order: Vec<usize> = (0..ROWS).map(|i| (i * 7 + 3) % ROWS).collect();
    let backends = backends(&folder);
    write_rows(&folder, &x, &straight);
    let (_, want) = tokens(&folder, &backends[0], FILES);
    let drawn: std::collections::BTreeSet<_> = want.iter().collect();
    assert!(drawn.len() > ROWS / 2, "{want:?}");
    let ([temperature, top_p, min_p], top_k) = filters(7);
    let numbers = format!(
        "--seed {} --position {} --temperature {temperature} --top-k {top_k} --top-p {top_p} --min-p {min_p}",
        seed(7),
        position(7)
    );
    for backend in &backends {
        let drawn = |flags: &str| tokens(&folder, backend, flags).1;
        write_rows(&folder, &x, &straight);
        assert_eq!(drawn(FILES), want, "{backend}");
        assert_eq!(
            drawn(&format!("{FILES} --kept kept.npy --ranks r.npy")),
            want,
            "{backend}"
        );
        write_rows(&folder, &x, &order);
        let mixed: Vec<i64> = order.iter().map(|&r| want[r]).collect();
        assert_eq!(drawn(FILES), mixed, "{backend}");
        write_rows(&folder, &x, &[7]);
        assert_eq!(drawn(FILES), [want[7]], "{backend}");
        assert_eq!(drawn(&numbers), [want[7]], "{backend}: {numbers}");
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

/// temperature, top_k, top_p, min_p, and how many classes they keep: of each row by itself, and with --joint.
const FILTERS: [(f32, i64, f32, f32, [usize; 2]); 19] = [
    (1.0, 0, 1.0, 0.0, [5, 5]),
    (1.0, 3, 1.0, 0.0, [3, 3]),
    (1.0, 4, 1.0, 0.0, [4, 4]),
    (1.0, 99_999_999_999, 1.0, 0.0, [5, 5]),
    (1.0, 0, 0.0, 0.0, [1, 1]),
    (1.0, 0, 0.4, 0.0, [1, 1]),
    (1.0, 0, 0.6, 0.0, [2, 2]),
    (1.0, 0, 0.8, 0.0, [3, 3]),
    (1.0, 0, 0.9, 0.0, [4, 4]),
    (1.0, 0, 1.0, 0.4, [2, 2]),
    (1.0, 0, 1.0, 0.2, [3, 3]),
    (1.0, 0, 1.0, 0.1, [5, 5]),
    (1.0, 0, 1.0, 1.0, [1, 1]),
    // Of 8 + 4 sixteenths, 0.6 is less than 8; of all 16 it is more.
    (1.0, 2, 0.6, 0.0, [1, 2]),
    (1.0, 0, 0.6, 0.4, [1, 2]),
    (0.0, 0, 1.0, 0.0, [1, 1]),
    (0.5, 0, 1.0, 0.0, [5, 5]),
    (0.5, 0, 0.7, 0.0, [1, 1]),
    (0.5, 0, 0.8, 0.0, [2, 2]),
];

/// The probabilities are 1, 8, 1, 4, 2 sixteenths.
#[test]
fn the_filters_keep_what_they_say() {
    let folder = Folder::new();
    let (row, order, count) = (
        [0f32, 3.0, 0.0, 2.0, 1.0].map(|power| power * 2f32.ln()),
        [1, 3, 4, 0, 2],
        FILTERS.len(),
    );
    folder.write("x.npy", &[count, 5], &row.repeat(count));
    folder.write("t.npy", &[count], &FILTERS.map(|f| f.0));
    folder.write("k.npy", &[count], &FILTERS.map(|f| f.1));
    folder.write("p.npy", &[count], &FILTERS.map(|f| f.2));
    folder.write("m.npy", &[count], &FILTERS.map(|f| f.3));
    let flags =
        "--temperature t.npy --top-k k.npy --top-p p.npy --min-p m.npy --kept n.npy --probs q.npy --ranks r.npy";
    for (backend, joint) in backends(&folder).iter().flat_map(|b| [(b, ""), (b, "--joint")]) {
        let (_, token) = tokens(&folder, backend, &format!("{flags} {joint}"));
        let (kept, ranks) = (integers(&folder, "n.npy"), integers(&folder, "r.npy"));
        let (shape, probs) = folder.read::<f32>("q.npy");
        assert_eq!(shape, [count, 5]);
        for (i, &(temperature, .., want)) in FILTERS.iter().enumerate() {
            let (want, what) = (
                want[usize::from(!joint.is_empty())],
                format!("{backend} {joint} {:?}", FILTERS[i]),
            );
            assert_eq!(kept[i], want as i64, "{what}");
            let power = if temperature == 0.5 { 2.0 } else { 1.0 };
            let mass = |c: usize| {
                if order[..want].contains(&c) {
                    (f64::from(row[c]) * power).exp()
                } else {
                    0.0
                }
            };
            let all: f64 = (0..5).map(mass).sum();
            close(
                &what,
                &probs[5 * i..][..5],
                &(0..5).map(|c| mass(c) / all).collect::<Vec<_>>(),
            );
            let rank = order.iter().position(|&c| c as i64 == token[i]).unwrap();
            assert!(
                rank < want && ranks[i] == rank as i64,
                "{what}: {}, rank {}",
                token[i],
                ranks[i]
            );
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
