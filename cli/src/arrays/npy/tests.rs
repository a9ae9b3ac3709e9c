//! Files of random bytes: each is either read as an array that fits its header, or refused as the caller's mistake.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::arrays::corruption::{corrupt, corruption};
use npyz::Deserialize;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, FileFailurePersistence, RngSeed};

// What a generated header has as its element type and its shape, and what is inserted to corrupt it.
const TYPES: [&str; 12] = [
    "'<f4'",
    "'>f4'",
    "'<f2'",
    "'<f8'",
    "'|i1'",
    "'<u8'",
    "'>i4'",
    "'|b1'",
    "'|O'",
    "'|S18446744073709551615'",
    "'<c16'",
    "[('a', '<f4', (4294967296, 3)), ('b', '<i8')]",
];
const SHAPES: [&str; 9] = [
    "()",
    "(6,)",
    "(2, 3)",
    "(3, 0)",
    "(-1, 2)",
    "(0, 18446744073709551615)",
    "(4294967296, 4294967296)",
    "(2.5,)",
    "(1, 1, 1, 1, 1, 1, 1, 6)",
];
const PIECES: [&str; 14] = [
    "(",
    ")",
    "[",
    "{",
    "}",
    "'",
    ",",
    ":",
    "-",
    "9999999999999999999999",
    "True",
    "None",
    "\\x00",
    "'shape': (1,), ",
];

fn file() -> impl Strategy<Value = Vec<u8>> {
    let parts = (
        select(&TYPES[..]),
        any::<bool>(),
        select(&SHAPES[..]),
        1..=3u8,
        // As long as some arrays need, or any.
        prop_oneof![select(&[6usize, 12, 24, 48][..]), 0..=60usize],
    );
    (parts, prop::collection::vec(corruption(&PIECES), 0..4)).prop_map(
        |((kind, fortran, shape, version, data), corruptions)| {
            let order = if fortran { "True" } else { "False" };
            let header = format!("{{'descr': {kind}, 'fortran_order': {order}, 'shape': {shape}, }}\n");
            let length = (header.len() as u32).to_le_bytes();
            let length = if version == 1 { &length[..2] } else { &length[..] };
            let bytes = [
                &b"\x93NUMPY"[..],
                &[version, 0],
                length,
                header.as_bytes(),
                &vec![7; data],
            ]
            .concat();
            corrupt(bytes, corruptions)
        },
    )
}

/// Checks that where the elements can be read as `T`, all of them are.
fn assert_complete<T: Deserialize + Copy>(file: &File<'_>, elements: usize) {
    if let Ok(Some(values)) = file.values::<T>() {
        assert_eq!(values.len(), elements);
    }
}

fn config() -> Config {
    Config {
        cases: 4_000,
        rng_seed: RngSeed::Fixed(7),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("src/arrays/npy/regressions"))),
        ..Config::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_bytes_are_an_array_or_the_callers_mistake(bytes in file()) {
        let place = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(place.path(), bytes).unwrap();
        match open(place.path()) {
            Ok(file) => {
                let elements = file.shape.iter().product();
                assert_complete::<f32>(&file, elements);
                assert_complete::<f16>(&file, elements);
                assert_complete::<f64>(&file, elements);
                assert_complete::<i8>(&file, elements);
                assert_complete::<i32>(&file, elements);
                assert_complete::<u64>(&file, elements);
            }
            Err(Failure::Caller(message)) => prop_assert!(message.len() < 1000, "{message}"),
            Err(Failure::Machine(message)) => panic!("the machine's: {message}"),
        }
    }
}
