//! Tensors written and read again, and files of random bytes.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::arrays::corruption::{corrupt, corruption};
use proptest::prelude::*;
use proptest::test_runner::{Config, FileFailurePersistence, RngSeed};

fn file(tensors: &[(&str, Dtype, &[usize], &[u8])]) -> Vec<u8> {
    let views = tensors
        .iter()
        .map(|&(name, dtype, shape, data)| (name, TensorView::new(dtype, shape.to_vec(), data).unwrap()));
    safetensors::serialize(views, None).unwrap()
}

/// Writes a file. It is deleted when the folder that comes with its place is dropped.
fn written(bytes: &[u8], name: Option<&str>) -> (tempfile::TempDir, Place) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    std::fs::write(&path, bytes).unwrap();
    let name = name.map(String::from);
    (folder, Place { path, name })
}

fn message<T: std::fmt::Debug>(result: Result<T, Failure>) -> String {
    match result.unwrap_err() {
        Failure::Caller(message) => message,
        Failure::Machine(message) => panic!("the machine's: {message}"),
    }
}

#[test]
fn a_path_names_a_file_and_a_tensor() {
    let place = |text: &str| Place::of(Path::new(text)).map(|p| (p.path.display().to_string(), p.name));
    assert_eq!(place("a/b.safetensors"), Some(("a/b.safetensors".into(), None)));
    assert_eq!(
        place("b.safetensors:lm.head"),
        Some(("b.safetensors".into(), Some("lm.head".into())))
    );
    assert_eq!(place("b.npy"), None);
    assert_eq!(place("safetensors"), None);
}

#[test]
fn every_float_and_integer_is_read() {
    let shape = &[1usize, 2][..];
    let halves = [f16::from_f32(1.5), f16::NEG_INFINITY];
    let brains = [bf16::from_f32(1.5), bf16::NEG_INFINITY];
    for (dtype, data) in [
        (Dtype::F32, bytemuck::cast_slice(&[1.5f32, f32::NEG_INFINITY])),
        (Dtype::F64, bytemuck::cast_slice(&[1.5f64, f64::NEG_INFINITY])),
        (Dtype::F16, bytemuck::cast_slice(&halves)),
        (Dtype::BF16, bytemuck::cast_slice(&brains)),
    ] {
        let (_folder, place) = written(&file(&[("x", dtype, shape, data)]), None);
        let array = floats(&place, "logits").unwrap();
        assert_eq!(
            (array.shape, array.values),
            (vec![1, 2], vec![1.5, f32::NEG_INFINITY]),
            "{dtype:?}"
        );
    }
    for (dtype, data) in [
        (Dtype::I8, bytemuck::cast_slice(&[7i8, -1])),
        (Dtype::I64, bytemuck::cast_slice(&[7i64, -1])),
    ] {
        let (_folder, place) = written(&file(&[("t", dtype, shape, data)]), Some("t"));
        let Elements::Integers(array) = elements(&place, "targets").unwrap() else {
            panic!("{dtype:?} was not read as classes");
        };
        assert_eq!(array.values.iter().map(|c| c.0).collect::<Vec<_>>(), [7, -1]);
    }
}

#[test]
fn what_is_written_is_read() {
    let bytes = bytes_of("probs", &[2, 3], &[0.0f32, 1.0, 2.0, 3.0, 4.0, f32::MAX]).unwrap();
    let (_folder, place) = written(&bytes, Some("probs"));
    let array = floats(&place, "logits").unwrap();
    assert_eq!((array.shape, array.values[5]), (vec![2, 3], f32::MAX));
    assert!(bytes_of("loss", &[], &[1.0f32]).is_ok());
}

#[test]
fn mistakes_name_the_tensor_and_what_there_is() {
    let both: &[(&str, Dtype, &[usize], &[u8])] = &[("a", Dtype::U8, &[1], &[1]), ("b", Dtype::BOOL, &[1], &[1])];
    let (_folder, place) = written(&file(both), None);
    assert!(message(floats(&place, "logits")).contains("say which tensor, FILE.safetensors:NAME, of a, b"));
    let (_folder, place) = written(&file(both), Some("c"));
    assert!(message(floats(&place, "logits")).contains(".safetensors:c: there is no such tensor among a, b"));
    let (_folder, place) = written(&file(both), Some("a"));
    assert!(message(floats(&place, "logits")).contains("logits must be F32, F16, BF16 or F64, not U8"));
    let (_folder, place) = written(&file(both), Some("b"));
    assert!(message(floats(&place, "logits")).contains("logits must be F32, F16, BF16 or F64, not BOOL"));
    let (_folder, place) = written(&file(&[]), None);
    assert!(message(elements(&place, "targets")).contains("there is no tensor in it"));
    let missing = Place {
        path: "nowhere.safetensors".into(),
        name: None,
    };
    assert!(message(elements(&missing, "targets")).starts_with("nowhere.safetensors: "));
}

const TEXTS: [&str; 10] = [
    "9999999999999999999",
    "-1",
    "\"",
    "[",
    "}",
    "null",
    "BF16",
    "F4",
    "data_offsets",
    "0,",
];

/// Eight tensors, each as long as its shape says, that end near the largest usize.
#[test]
fn lengths_that_add_up_past_the_end_of_numbers() {
    let each = 1usize << 61;
    let tensors: Vec<String> = (0..8)
        .map(|i| {
            let (start, end) = (i * each, if i < 7 { (i + 1) * each } else { usize::MAX - 99 });
            let shape = end - start;
            format!("\"t{i}\":{{\"dtype\":\"U8\",\"shape\":[{shape}],\"data_offsets\":[{start},{end}]}}")
        })
        .collect();
    let header = format!("{{{}}}", tensors.join(","));
    let bytes = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &[0; 40]].concat();
    let (_folder, place) = written(&bytes, Some("t0"));
    let message = message(elements(&place, "targets"));
    assert!(message.contains("no .safetensors file"), "{message}");
}

proptest! {
    #![proptest_config(Config {
        cases: 4_000,
        rng_seed: RngSeed::Fixed(8),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("src/arrays/safetensors/regressions"))),
        ..Config::default()
    })]

    #[test]
    fn any_bytes_are_a_tensor_or_the_callers_mistake(corruptions in prop::collection::vec(corruption(&TEXTS), 0..5)) {
        let bytes = file(&[("x", Dtype::F32, &[2, 3], &[1; 24]), ("t", Dtype::I64, &[2], &[0; 16])]);
        let bytes = corrupt(bytes, corruptions);
        let (_folder, place) = written(&bytes, Some("x"));
        match floats(&place, "logits") {
            Ok(array) => prop_assert_eq!(array.values.len(), array.shape.iter().product::<usize>()),
            Err(Failure::Caller(message)) => prop_assert!(message.len() < 1000, "{message}"),
            Err(Failure::Machine(message)) => panic!("the machine's: {message}"),
        }
    }
}
