//! What the commands print and write, as a script sees it.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Folder, array, close, close_to, errors, log_softmax, numbers, rows, wide};
use half::f16;
use serde_json::{Value, json};

const INF: f32 = f32::INFINITY;

#[test]
fn softmax_and_its_logarithm_along_any_axis() {
    let folder = Folder::new();
    folder.write("x.npy", &[2, 2], &[0f32, 0.0, 1.0, 1.0]);
    assert!(folder.done("softmax x.npy -o y.npy").is_empty());
    assert_eq!(folder.read::<f32>("y.npy"), (vec![2, 2], vec![0.5; 4]));
    folder.write("wide.npy", &[2, 1], &[0f64, 0.0]);
    folder.done("softmax wide.npy -o y.npy --log --axis 0");
    close("log", &folder.read::<f32>("y.npy").1, &[-(2f64.ln()); 2]);
    let piped = folder.done("softmax x.npy -o -");
    assert_eq!(array::<f32>(&piped).1, [0.5; 4]);
}

#[test]
fn arrays_of_the_other_byte_order() {
    let folder = Folder::new();
    let header = "{'descr': '>f4', 'fortran_order': False, 'shape': (1, 2), }\n";
    let length = (header.len() as u16).to_le_bytes();
    let data: Vec<u8> = [0f32, 3f32.ln()].iter().flat_map(|x| x.to_be_bytes()).collect();
    let whole = [&b"\x93NUMPY\x01\x00"[..], &length, header.as_bytes(), &data].concat();
    std::fs::write(folder.at("x.npy"), whole).unwrap();
    folder.done("softmax x.npy -o y.npy");
    close("probs", &folder.read::<f32>("y.npy").1, &[0.25, 0.75]);
}

#[test]
fn cross_entropy_writes_what_is_asked_for() {
    let folder = Folder::new();
    folder.write("x.npy", &[3, 2, 2], &[0f32; 12]);
    folder.write("t.npy", &[3, 2], &[0i16, 1, 0, -100, 1, 1]);
    let line = folder
        .done("cross-entropy x.npy t.npy --loss l.npy --grad g.npy --lse s.npy --predictions p.npy --log-probs y.npy");
    assert_eq!(line, b"loss 0.693147\n");
    assert!(folder.read::<f32>("l.npy").0.is_empty());
    assert_eq!(folder.read::<f32>("g.npy").0, [3, 2, 2]);
    assert_eq!(folder.read::<f32>("s.npy").0, [3, 2]);
    assert_eq!(folder.read::<f32>("y.npy").0, [3, 2, 2]);
    assert_eq!(folder.read::<i64>("p.npy"), (vec![3, 2], vec![0; 6]));
    folder.done("cross-entropy x.npy t.npy --reduction none --loss l.npy");
    assert_eq!(folder.read::<f32>("l.npy").0, [3, 2]);
    let json = folder.done("--json cross-entropy x.npy t.npy");
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let counts = (&json["rows"], &json["ignored"], &json["correct"]);
    assert_eq!(counts, (&6.into(), &1.into(), &2.into()));
    folder.done("cross-entropy x.npy t.npy --normalizer 2.5 --loss l.npy");
    close("normalizer", &folder.read::<f32>("l.npy").1, &[2f64.ln() * 2.0]);
    let piped = folder.done("cross-entropy x.npy t.npy --log-probs -");
    close("log-probs", &array::<f32>(&piped).1, &[-(2f64.ln()); 12]);
    folder.done("devices");
}

/// Without a session (`Folder::command` sees to that) Mesa would print `error: XDG_RUNTIME_DIR is invalid`.
#[test]
fn a_good_run_prints_no_error_line() {
    let folder = Folder::new();
    folder.write("x.npy", &[1, 2], &[0f32; 2]);
    folder.write("t.npy", &[1], &[0i64]);
    for words in [
        "--help",
        "devices",
        "softmax x.npy -o y.npy",
        "cross-entropy x.npy t.npy --loss l.npy",
        "sample x.npy -o y.npy --kept k.npy",
        "verify --only bad_targets",
        "bench --rows 3 --classes 5 --time 0",
    ] {
        let words: Vec<&str> = words.split(' ').collect();
        let output = folder.run(&words);
        assert!(output.status.success(), "{words:?}: {output:?}");
        assert_eq!(errors(&output), Vec::<String>::new(), "{words:?}");
    }
}

#[test]
fn one_row_may_have_no_other_axis() {
    let folder = Folder::new();
    folder.write("x.npy", &[4], &[1f32, 2.0, 3.0, 4.0]);
    folder.write("t.npy", &[], &[3i64]);
    let want = -log_softmax(&[1.0, 2.0, 3.0, 4.0], &rows(&[4], 0))[3];
    for flags in [
        "--axis 0",
        "--axis -1",
        "--axis 0 --reduction none --mask causal --predictions p.npy",
    ] {
        folder.done(&format!("cross-entropy x.npy t.npy --loss l.npy {flags}"));
        // With a causal mask this row is the first of its group, which sees only the first class.
        let want = if flags.contains("causal") { f64::INFINITY } else { want };
        let (shape, loss) = folder.read::<f32>("l.npy");
        assert!(shape.is_empty());
        close(flags, &loss, &[want]);
    }
    assert_eq!(folder.read::<i64>("p.npy"), (vec![], vec![0]));
}

#[test]
fn logits_are_scaled_capped_and_masked() {
    let folder = Folder::new();
    let (shape, x) = ([2, 4, 3], numbers(24));
    let full: Vec<f32> = (0..24).map(|i| [0.0, -INF, 0.5][i % 5 % 3]).collect();
    folder.write("x.npy", &shape, &x);
    folder.write("classes.npy", &[4], &[0f64, f64::NEG_INFINITY, 1.0, 0.0]);
    folder.write("full.npy", &shape, &full);
    let causal = |row: usize, class: usize, group: usize| if class > row % group { -INF } else { 0.0 };
    for axis in [1, 2] {
        let rows = rows(&shape, axis);
        for (mask, flag) in [
            ("none", ""),
            ("classes", "classes.npy"),
            ("full", "full.npy"),
            ("causal", "causal"),
        ] {
            if matches!((mask, axis), ("classes", 2) | ("causal", 1)) {
                continue;
            }
            let mut a: Vec<f64> = x.iter().map(|&x| 2.0 * (-0.75 * f64::from(x) / 2.0).tanh()).collect();
            for (r, row) in rows.iter().enumerate() {
                for (c, &i) in row.iter().enumerate() {
                    a[i] += f64::from(match mask {
                        "classes" => [0.0, -INF, 1.0, 0.0][c],
                        "full" => full[i],
                        "causal" => causal(r, c, 4),
                        _ => 0.0,
                    });
                }
            }
            let mask = if flag.is_empty() {
                String::new()
            } else {
                format!("--mask {flag}")
            };
            folder.done(&format!(
                "softmax x.npy -o y.npy --axis {axis} --scale -0.75 --softcap 2 {mask}"
            ));
            let probs: Vec<f64> = log_softmax(&a, &rows).iter().map(|l| l.exp()).collect();
            close(
                &format!("axis {axis} mask {flag}"),
                &folder.read::<f32>("y.npy").1,
                &probs,
            );
        }
    }
}

#[test]
fn a_mask_may_have_the_rows_in_one_axis() {
    let folder = Folder::new();
    let mask: Vec<f32> = (0..24).map(|i| [0.0, -INF, 0.5][i % 5 % 3]).collect();
    folder.write("x.npy", &[2, 3, 4], &numbers(24));
    folder.write("whole.npy", &[2, 3, 4], &mask);
    folder.write("flat.npy", &[6, 4], &mask);
    let masked = |flags: &str| {
        folder.done(&format!("softmax x.npy -o y.npy {flags}"));
        folder.read::<f32>("y.npy")
    };
    let whole = masked("--mask whole.npy");
    assert_eq!(masked("--mask flat.npy"), whole);
    assert_eq!(masked("--mask flat.npy --axis 2"), whole);
    folder.write("x.npy", &[4], &[0f32; 4]);
    folder.write("one.npy", &[1, 4], &[0.0, -INF, -INF, 0.0]);
    assert_eq!(masked("--mask one.npy").1, [0.5, 0.0, 0.0, 0.5]);
}

#[cfg(unix)]
#[test]
fn links_and_devices_stay_what_they_are() {
    use std::os::unix::fs::{FileTypeExt, symlink};
    let folder = Folder::new();
    folder.write("x.npy", &[1, 2], &[0f32; 2]);
    folder.write("t.npy", &[1], &[0i64]);
    std::fs::create_dir(folder.at("far")).unwrap();
    symlink("far/new.npy", folder.at("link.npy")).unwrap();
    // The first run creates the file that the link points to, the second replaces it.
    for (axis, want) in [(0, 1.0), (1, 0.5)] {
        folder.done(&format!("softmax x.npy -o link.npy --axis {axis}"));
        assert!(folder.at("link.npy").is_symlink());
        assert_eq!(folder.read::<f32>("far/new.npy").1, [want; 2]);
    }
    let linked = folder.fails("cross-entropy x.npy t.npy --lse link.npy --grad far/new.npy");
    assert_eq!(linked.0, 2, "{}", linked.1);

    // A named pipe stands in for a device: a mistake here would replace it, which must not happen to a real device.
    let made = std::process::Command::new("mkfifo").arg(folder.at("pipe")).status();
    assert!(made.unwrap().success());
    symlink("pipe", folder.at("to_pipe")).unwrap();
    for name in ["pipe", "to_pipe"] {
        let pipe = folder.at("pipe");
        let read = std::thread::spawn(move || std::fs::read(pipe).unwrap());
        folder.done(&format!("softmax x.npy -o {name}"));
        assert_eq!(array::<f32>(&read.join().unwrap()).1, [0.5; 2]);
        assert!(
            std::fs::symlink_metadata(folder.at("pipe"))
                .unwrap()
                .file_type()
                .is_fifo()
        );
    }
    // /dev/stdout is written to whether it is a pipe or a file.
    let stdout = "cross-entropy x.npy t.npy --log-probs /dev/stdout";
    let piped = folder.done(stdout);
    close("piped", &array::<f32>(&piped).1, &[-(2f64.ln()); 2]);
    let words: Vec<&str> = stdout.split(' ').collect();
    let file = std::fs::File::create(folder.at("y.npy")).unwrap();
    let output = folder.command(&words).stdout(file).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(std::fs::read(folder.at("y.npy")).unwrap(), piped);
}

#[test]
fn soft_targets() {
    let folder = Folder::new();
    let (shape, x, weights) = ([2, 4, 3], numbers(24), [1f64, 2.0, 0.5, 0.0]);
    let rows = rows(&shape, 1);
    let (mut q, mut losses, mut gradient) = (vec![0f32; 24], vec![0.0; 6], vec![0.0; 24]);
    let log_probs = log_softmax(&wide(&x), &rows);
    for (r, row) in rows.iter().enumerate() {
        row.iter()
            .zip([0.25, 0.0, 0.625, 0.125])
            .for_each(|(&i, share)| q[i] = share);
        let lse = f64::from(x[row[0]]) - log_probs[row[0]];
        let share = |c: usize| weights[c] * (0.9 * f64::from(q[row[c]]) + 0.1 / 4.0);
        let all: f64 = (0..4).map(share).sum();
        losses[r] = (0..4).map(|c| -share(c) * log_probs[row[c]]).sum::<f64>() + 0.01 * lse * lse;
        for (c, &i) in row.iter().enumerate() {
            gradient[i] = (log_probs[i].exp() * (all + 0.02 * lse) - share(c)) / 6.0;
        }
    }
    folder.write("x.npy", &shape, &x);
    folder.write(
        "q.npy",
        &shape,
        &q.iter().map(|&q| f16::from_f32(q)).collect::<Vec<_>>(),
    );
    folder.write("w.npy", &[4], &weights);
    let words = "cross-entropy x.npy q.npy --weight w.npy --label-smoothing 0.1 --z-loss 1e-2";
    let json = folder.done(&format!("--json {words} --grad g.npy --loss l.npy"));
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!((&json["rows"], &json["correct"]), (&6.into(), &serde_json::Value::Null));
    let mean = losses.iter().sum::<f64>() / 6.0;
    close("mean", &folder.read::<f32>("l.npy").1, &[mean]);
    close("gradient", &folder.read::<f32>("g.npy").1, &gradient);
    folder.done(&format!("{words} --reduction none --loss l.npy"));
    assert_eq!(folder.read::<f32>("l.npy").0, [2, 3]);
    close("losses", &folder.read::<f32>("l.npy").1, &losses);
    for (dtype, parts) in [("f16", 2048.0), ("bf16", 256.0)] {
        folder.done(&format!("{words} --dtype {dtype} --grad g.npy --loss l.npy"));
        close(dtype, &folder.read::<f32>("l.npy").1, &[mean]);
        close_to(dtype, &folder.read::<f32>("g.npy").1, &gradient, parts);
    }
}

#[test]
fn results_have_the_stored_types_precision() {
    let folder = Folder::new();
    let x = numbers(40);
    let probs: Vec<f64> = log_softmax(&wide(&x), &rows(&[4, 10], 1))
        .iter()
        .map(|l| l.exp())
        .collect();
    folder.write(
        "x.npy",
        &[4, 10],
        &x.iter().map(|&x| f16::from_f32(x)).collect::<Vec<_>>(),
    );
    for (dtype, bits) in [("f32", 24), ("f16", 11), ("bf16", 8)] {
        folder.done(&format!("softmax x.npy -o y.npy --dtype {dtype}"));
        let (_, y) = folder.read::<f32>("y.npy");
        close_to(dtype, &y, &probs, f64::from(2f32.powi(bits)) / 8.0);
        // Every result is a value of the type, and some result needs its last bit: none was rounded further.
        let below = (1u32 << (24 - bits)) - 1;
        assert!(y.iter().all(|y| y.to_bits() & below == 0), "{dtype}: {y:?}");
        let is_coarser = y.iter().all(|y| y.to_bits() & (2 * below + 1) == 0);
        assert!(!is_coarser, "{dtype}: {y:?}");
    }
    // Without --dtype it is f32, whatever the file's type.
    let stored = |flags: &str| {
        folder.done(&format!("softmax x.npy -o y.npy {flags}"));
        folder.read::<f32>("y.npy")
    };
    assert_eq!(stored(""), stored("--dtype f32"));
}

#[test]
fn bench_prints_what_it_measured() {
    let folder = Folder::new();
    let words = "--json bench --rows 50 --classes 64 --op softmax --op cross-entropy --dtype bf16 --time 0";
    let out = String::from_utf8(folder.done(words)).unwrap();
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    for (line, op) in lines.iter().zip(["softmax", "cross-entropy"]) {
        assert_eq!(
            (&line["op"], &line["dtype"], &line["rows"], &line["classes"]),
            (&json!(op), &json!("bf16"), &json!(50), &json!(64))
        );
        for number in [
            "ms",
            "copy_ms",
            "bytes",
            "gbps",
            "ratio",
            "record_us",
            "bound_us",
            "in_pass_us",
            "dispatches",
        ] {
            assert!(line[number].as_f64().unwrap() > 0.0, "{number} in {line}");
        }
        let ratio = line["ms"].as_f64().unwrap() / line["copy_ms"].as_f64().unwrap();
        assert!((line["ratio"].as_f64().unwrap() - ratio).abs() < 1e-9);
        assert_eq!(line["allocated_bytes"], 0, "in a steady state");
        assert!(
            ["adapter", "backend", "schedule"]
                .iter()
                .all(|word| line[word].is_string())
        );
    }
}

#[test]
fn bench_of_sampling_prints_the_ratio_to_logsumexp() {
    let folder = Folder::new();
    let ops = ["greedy", "temperature", "filters", "top-p", "report", "penalties"].map(|op| format!("sample-{op}"));
    let flags = ops.join(" --op ");
    let words = format!("--json bench --rows 3 --classes 1300 --op logsumexp --op {flags} --time 0");
    let out = String::from_utf8(folder.done(&words)).unwrap();
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines[0]["lse_ratio"].is_null(), "{}", lines[0]);
    assert_eq!(lines.len(), 1 + ops.len());
    for (line, op) in lines[1..].iter().zip(&ops) {
        assert_eq!(&line["op"], op);
        let ratio = line["ms"].as_f64().unwrap() / line["lse_ms"].as_f64().unwrap();
        assert!((line["lse_ratio"].as_f64().unwrap() - ratio).abs() < 1e-9, "{line}");
    }
}

#[test]
fn verify_prints_what_it_checked() {
    let folder = Folder::new();
    let out = String::from_utf8(folder.done("--json verify --only common_offset")).unwrap();
    let line: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&line["check"], &line["failed"]), (&json!("common_offset"), &json!(0)));
    assert_eq!((&line["cases"], &line["skipped"]), (&json!(12), &json!(0)));
    assert!(line["max_ulp"].as_f64().unwrap() >= line["mean_ulp"].as_f64().unwrap());
    let out = String::from_utf8(folder.done("--json verify --only twin/softmax --most-elements 20")).unwrap();
    let line: Value = serde_json::from_str(&out).unwrap();
    // Each case has 4 rows. Of the 29 row lengths, those of 1 to 5 classes have no more than 20 elements.
    assert_eq!((&line["cases"], &line["skipped"]), (&json!(5), &json!(24)));
    println!("hash {}", line["hash"]);
    let table = String::from_utf8(folder.done("verify --only bad_targets")).unwrap();
    assert!(table.lines().nth(1).unwrap().starts_with("bad_targets "), "{table}");
}

#[test]
fn bench_and_verify_draw_what_they_print() {
    let folder = Folder::new();
    folder.done("bench --rows 3 --classes 5 --time 0 --plot speed.svg");
    folder.done("verify --only nll_loss --most-elements 20 --plot errors.svg");
    for (name, says) in [
        ("speed.svg", "softmax 3 x 5 f32, held/1"),
        ("errors.svg", "nll_loss/bf16"),
    ] {
        let svg = std::fs::read_to_string(folder.at(name)).unwrap();
        assert!(svg.starts_with("<svg") && svg.contains(says), "{svg}");
    }
    let (code, line) = folder.fails("bench --plot speed.png");
    assert!(code == 2 && line.contains("speed.png: --plot draws an SVG"), "{line}");
    assert_eq!(folder.names(), ["errors.svg", "speed.svg"]);
}
