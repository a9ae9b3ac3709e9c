//! What `sample` reports, the lists that rows have, and the mistakes that it finds.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Folder, backends, close, integers, log_softmax, logits, rows, tokens, wide};

const INF: f32 = f32::INFINITY;

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

/// For two rows each: repetition, presence and frequency penalty, the length of the prompt, and the largest class then.
const PENALTIES: [(f32, f32, f32, i64, [i64; 2]); 9] = [
    (1.0, 0.0, 0.0, 0, [1, 1]),
    // 4 / 2 is as large as 2, and -1 * 2 as -2: the first class counts.
    (2.0, 0.0, 0.0, 3, [1, 1]),
    (2.5, 0.0, 0.0, 0, [3, 2]),
    (1.0, 1.5, 0.0, 0, [1, 2]),
    (1.0, 0.0, 1.5, 0, [3, 2]),
    (1.0, 0.0, 0.75, 0, [1, 1]),
    (1.0, 0.0, 1.5, 1, [1, 1]),
    (1.0, 0.0, -1.5, 2, [2, 1]),
    (1.0, 9.0, 9.0, 3, [1, 1]),
];

#[test]
fn penalties_choose_another_class() {
    let folder = Folder::new();
    let (x, history) = ([1f32, 4.0, 3.0, 2.0, -3.0, -1.0, -2.0, -4.0], [1i64, 1, 2, 1, -1, -1]);
    let count = PENALTIES.len();
    let twice = |value: &dyn Fn(usize) -> f32| (0..2 * count).map(|i| value(i / 2)).collect::<Vec<f32>>();
    let shape = [count, 2];
    folder.write("x.npy", &[count, 2, 4], &x.repeat(count));
    folder.write("h.npy", &[count, 2, 3], &history.repeat(count));
    folder.write("r.npy", &shape, &twice(&|i| PENALTIES[i].0));
    folder.write("p.npy", &shape, &twice(&|i| PENALTIES[i].1));
    folder.write("f.npy", &shape, &twice(&|i| PENALTIES[i].2));
    folder.write(
        "n.npy",
        &shape,
        &(0..2 * count).map(|i| PENALTIES[i / 2].3).collect::<Vec<i64>>(),
    );
    let flags =
        "--temperature 0 --history h.npy --repetition-penalty r.npy --presence-penalty p.npy --frequency-penalty f.npy";
    for backend in backends(&folder) {
        let (_, got) = tokens(&folder, &backend, &format!("{flags} --prompt-lengths n.npy"));
        for (got, case) in got.chunks(2).zip(PENALTIES) {
            assert_eq!(got, case.4, "{backend}: {case:?}");
        }
        // Without their lengths, histories have no prompt.
        let (_, got) = tokens(
            &folder,
            &backend,
            "--temperature 0 --history h.npy --frequency-penalty 1.5",
        );
        assert_eq!(got, [3, 2].repeat(count), "{backend}");
    }
}

#[test]
fn bias_and_bits_choose_another_class() {
    let folder = Folder::new();
    folder.write("x.npy", &[2, 4], &[1f32, 4.0, 3.0, 2.0, -3.0, -1.0, -2.0, -4.0]);
    folder.write("all.npy", &[1], &[0b1101u32]);
    folder.write("each.npy", &[2, 1], &[-8i32, 0b0001]);
    std::fs::write(folder.at("none.json"), "[{}, {}]").unwrap();
    std::fs::write(folder.at("all.json"), r#"{"0": 4, "1": -0.5}"#).unwrap();
    std::fs::write(folder.at("each.json"), r#"[{}, {"1": "-inf", "2": -5, "0": 0}]"#).unwrap();
    for backend in backends(&folder) {
        for (flags, want) in [
            ("--logit-bias none.json", [1, 1]),
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
    folder.write("flat_s.npy", &[6], &[1i64, 2, 3, 4, 5, 6]);
    folder.write("flat_h.npy", &[6, 1], &[0i64, 1, 2, 3, 4, -1]);
    folder.write("h.npy", &[2, 3, 1], &[0i64, 1, 2, 3, 4, -1]);
    folder.write("b.npy", &[2, 3, 1], &[31u32, 30, 29, 27, 23, 15]);
    let flags = "--seed s.npy --allowed b.npy --presence-penalty 2 --top-p 0.8 --log-probs l.npy --probs p.npy --top-n 2 \
                 --top-ids i.npy";
    let flags_flat = flags.replace("b.npy", "flat_b.npy").replace("s.npy ", "flat_s.npy ");
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

#[test]
fn tensors_give_what_npy_arrays_give() {
    use safetensors::tensor::TensorView;
    let folder = Folder::new();
    let (x, seeds, bits) = (logits(40), [u64::MAX, 1u64 << 40], [-6i32, 3]);
    folder.write("x.npy", &[2, 20], &x);
    folder.write("s.npy", &[2], &seeds);
    folder.write("b.npy", &[2, 1], &bits);
    let view = |kind, shape: &[usize], bytes| TensorView::new(kind, shape.to_vec(), bytes).unwrap();
    let tensors = [
        ("x", view(safetensors::Dtype::F32, &[2, 20], bytemuck::cast_slice(&x))),
        ("s", view(safetensors::Dtype::U64, &[2], bytemuck::cast_slice(&seeds))),
        ("b", view(safetensors::Dtype::I32, &[2, 1], bytemuck::cast_slice(&bits))),
    ];
    std::fs::write(
        folder.at("all.safetensors"),
        safetensors::serialize(tensors, None).unwrap(),
    )
    .unwrap();
    folder.done("sample x.npy -o y.npy --seed s.npy --allowed b.npy --top-n 2 --top-ids i.npy");
    let all = "all.safetensors:";
    folder.done(&format!(
        "sample {all}x -o y.safetensors --seed {all}s --allowed {all}b --top-n 2 --top-ids i.safetensors"
    ));
    for (place, name) in [("y", "tokens"), ("i", "top_ids")] {
        let bytes = std::fs::read(folder.at(&format!("{place}.safetensors"))).unwrap();
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let tensor = tensors.tensor(name).unwrap();
        let (shape, values) = folder.read::<i64>(&format!("{place}.npy"));
        assert_eq!(
            (tensor.shape(), tensor.data()),
            (&shape[..], bytemuck::cast_slice(&values)),
            "{name}"
        );
    }
}

/// What follows `sample x.npy -o y.npy` in a command line that must fail, and a part of its error.
const MISTAKES: &str = "
--temperature -1 => --temperature is -1, but must be 0, which takes the largest class, or from 2^-126 to 2^126
--temperature nan => --temperature is NaN, but must be 0
--temperature inf => --temperature is inf, but
--temperature hot => 'hot' for '--temperature <T>': it is neither a number nor a file
--temperature bad_t.npy => bad_t.npy: --temperature is -0.5 in row [1, 0], but must be 0
--temperature three.npy => three.npy: --temperature has shape [3], but logits of shape [2, 2, 5] with class axis -1 have 4 rows
--temperature bool.npy => bool.npy: --temperature must be integers or floats, not booleans
--temperature --joint => --temperature
--top-k -1 => --top-k is -1, but must be 0, which keeps all classes, or more
--top-k 1.5 => '1.5' for '--top-k <K>': it must be an integer
--top-k good.npy => good.npy: --top-k must be integers, not floats
--top-p 1.5 => --top-p is 1.5, but must be from 0 to 1
--top-p -0.1 => --top-p is -0.1, but must be from 0 to 1
--min-p 2 => --min-p is 2, but must be from 0
--min-p nan => --min-p is NaN, but
--seed -1 => --seed is -1, but must be an integer from 0 to 18446744073709551615
--seed 18446744073709551616 => --seed is 18446744073709551616, but
--seed 0.5 => '0.5' for '--seed <S>': it must be an integer
--seed three_seeds.npy => three_seeds.npy: --seed has shape [3], but logits of shape [2, 2, 5]
--seed negative.npy => negative.npy: --seed is -7 in row [0, 1], but must be an integer from 0 to 18446744073709551615
--seed good.npy => good.npy: --seed must be integers, not floats
--position -1 => --position is -1, but must be
--allowed good.npy => good.npy: --allowed must be u32 or i32 words, not '<f4'
--allowed h.npy => h.npy: --allowed must be u32 or i32 words, not '<i8'
--allowed two_words.npy => --allowed has shape [2], but logits of shape [2, 2, 5] with class axis -1 need [1], a bit for
--logit-bias missing.json => missing.json: 
--logit-bias text.json => text.json: no JSON: 
--logit-bias infinity.json => minus infinity is written \"-inf\"
--logit-bias number.json => number.json: --logit-bias must be a JSON object, class to bias, or a list of them
--logit-bias three.json => three.json: --logit-bias has a list of 3, but logits of shape [2, 2, 5] with class axis -1 have 4 rows
--logit-bias list.json => --logit-bias has class 5 in row [1, 1], but there are 5 classes
--logit-bias class.json => --logit-bias has class 9, but there are 5 classes
--logit-bias word.json => --logit-bias has \"-1\" for a class: it must be from \"0\" to \"4\"
--logit-bias same.json => --logit-bias has class 0 twice
--logit-bias same_list.json => --logit-bias has class 3 in row [1, 0] twice
--logit-bias twice.json => --logit-bias has class 1 twice
--logit-bias huge.json => --logit-bias of class 3 is 1e+300, but must be a finite f32
--logit-bias null.json => --logit-bias of class 3 is null, but
--history good.npy => good.npy: --history must be integers, not floats
--history short.npy => short.npy: --history has shape [2, 1], but logits of shape [2, 2, 5] with class axis -1 need [2, 2, n] or [4, n]
--history h.npy => h.npy: --history has token 5 in row [1, 0], at place 1, but there are 5 classes (-1 pads at the end)
--history minus.npy => --history has token -2 in row [0, 0], at place 0, but there are 5 classes
--history hole.npy => --history has token 2 in row [0, 1], at place 1 after -1, which pads at the end
--history good_h.npy --repetition-penalty 0 => --repetition-penalty is 0, but must be from 2^-126 to 2^126
--history good_h.npy --presence-penalty inf => --presence-penalty is inf, but must be a finite number
--history good_h.npy --frequency-penalty nan => --frequency-penalty is NaN, but must be a finite number
--history good_h.npy --prompt-lengths 3 => --prompt-lengths is 3, but must be from 0 to 2, the length of the histories
--history good_h.npy --prompt-lengths -1 => --prompt-lengths is -1, but must be from 0 to 2
--repetition-penalty 2 => --repetition-penalty needs --history
--presence-penalty good.npy => --presence-penalty needs --history
--frequency-penalty 1 => --frequency-penalty needs --history
--prompt-lengths 1 => --prompt-lengths needs --history
--top-ids i.npy => --top-ids needs --top-n
--top-log-probs i.npy => --top-log-probs needs --top-n
--top-n 3 => --top-n needs --top-ids or --top-log-probs
--top-n 6 --top-ids i.npy => --top-n is 6, but logits of shape [2, 2, 5] with class axis -1 have 5 classes
--top-n 129 --top-ids i.npy => --top-n is 129, but must be from 1 to 128
--top-n 0 --top-ids i.npy => --top-n is 0, but must be from 1 to 128
--top-n -1 --top-ids i.npy => --top-n
--of final => --of needs --log-probs or --top-n
--log-probs i.npy --of other => --of
--axis 3 => axis 3
--axis -1 --axis 2 => --axis
--ranks x.npy => x.npy: --ranks would replace what LOGITS reads
--seed ok.npy --kept folder/../ok.npy => --kept would replace what --seed reads
--log-probs y.npy => -o and --log-probs cannot go to one place
--probs nowhere/p.npy => no folder nowhere
";

#[test]
fn mistakes_exit_with_2_and_leave_no_output() {
    let folder = Folder::new();
    folder.write("x.npy", &[2, 2, 5], &[0f32; 20]);
    std::fs::write(folder.at("x.safetensors"), "").unwrap();
    folder.write("good.npy", &[4], &[1f32; 4]);
    folder.write("bad_t.npy", &[2, 2], &[1f32, 0.0, -0.5, -1.0]);
    folder.write("three.npy", &[3], &[1f32; 3]);
    folder.write("bool.npy", &[4], &[true; 4]);
    folder.write("ok.npy", &[4], &[1u64; 4]);
    folder.write("three_seeds.npy", &[3], &[1u64; 3]);
    folder.write("negative.npy", &[4], &[0i64, -7, 1, 1]);
    folder.write("two_words.npy", &[2], &[1u32; 2]);
    folder.write("short.npy", &[2, 1], &[0i64; 2]);
    folder.write("h.npy", &[4, 2], &[0i64, 0, 0, -1, 4, 5, 0, 0]);
    folder.write("minus.npy", &[4, 1], &[-2i64, 0, 0, 0]);
    folder.write("hole.npy", &[2, 2, 2], &[0i64, 0, -1, 2, 0, 0, 0, 0]);
    folder.write("good_h.npy", &[4, 2], &[0i32; 8]);
    for (name, text) in [
        ("text.json", "{1: 2}"),
        ("infinity.json", r#"{"1": -Infinity}"#),
        ("number.json", "3"),
        ("three.json", "[{}, {}, {}]"),
        ("list.json", r#"[{}, {"4": 1}, {}, {"5": 1}]"#),
        ("class.json", r#"{"9": 1}"#),
        ("word.json", r#"{"-1": 1}"#),
        ("twice.json", r#"{"1": 1, "01": 2}"#),
        ("same.json", r#"{"0": 1, "0": 2}"#),
        ("same_list.json", r#"[{}, {}, {"3": 1, "2": 0, "3": 1}, {}]"#),
        ("huge.json", r#"{"3": 1e300}"#),
        ("null.json", r#"{"3": null}"#),
    ] {
        std::fs::write(folder.at(name), text).unwrap();
    }
    std::fs::create_dir(folder.at("folder")).unwrap();
    let before = folder.names();
    for mistake in MISTAKES.trim().lines() {
        let (flags, says) = mistake.split_once(" => ").unwrap();
        let (code, message) = folder.fails(&format!("sample x.npy -o y.npy {flags}"));
        assert_eq!(code, 2, "{flags}: {message}");
        assert!(message.contains(says), "{flags}: {message}");
        assert_eq!(folder.names(), before, "{flags}");
    }
    for (words, says) in [
        (
            "sample x.safetensors:a -o x.safetensors",
            "-o would replace what LOGITS reads",
        ),
        ("sample x.npy", "-o <TOKENS>"),
        ("sample x.npy -o x.npy", "-o would replace what LOGITS reads"),
    ] {
        let (code, message) = folder.fails(words);
        assert!(code == 2 && message.contains(says), "{words}: {message}");
    }
}
