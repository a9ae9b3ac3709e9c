//! `.safetensors` files read and written, compared with `.npy` files of the same values.
#![allow(clippy::unwrap_used)]

mod common;

use common::Folder;
use half::bf16;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

#[test]
fn tensors_give_what_npy_arrays_give() {
    let folder = Folder::new();
    let values: Vec<bf16> = (0..12).map(|i| bf16::from_f32((i * 5 % 7) as f32 - 2.5)).collect();
    let targets = [3i64, -100, 0];
    let wide: Vec<f32> = values.iter().map(|v| v.to_f32()).collect();
    let logits = TensorView::new(Dtype::BF16, vec![3, 4], bytemuck::cast_slice(&values)).unwrap();
    let labels = TensorView::new(Dtype::I64, vec![3], bytemuck::cast_slice(&targets)).unwrap();
    let file = safetensors::serialize([("logits", logits), ("labels", labels)], None).unwrap();
    std::fs::write(folder.at("batch.safetensors"), file).unwrap();
    folder.write("x.npy", &[3, 4], &wide);
    folder.write("t.npy", &[3], &targets);

    folder.done("softmax x.npy -o y.npy");
    folder.done("softmax batch.safetensors:logits -o y.safetensors");
    folder.done("cross-entropy x.npy t.npy --grad g.npy --predictions p.npy --loss l.npy");
    folder.done(
        "cross-entropy batch.safetensors:logits batch.safetensors:labels --grad g.safetensors --predictions p.safetensors \
         --loss l.safetensors",
    );
    for (place, name, dtype) in [
        ("y", "probs", Dtype::F32),
        ("g", "gradient", Dtype::F32),
        ("l", "loss", Dtype::F32),
        ("p", "predictions", Dtype::I64),
    ] {
        let bytes = std::fs::read(folder.at(&format!("{place}.safetensors"))).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(file.names(), [name]);
        let tensor = file.tensor(name).unwrap();
        assert_eq!(tensor.dtype(), dtype);
        let npy = format!("{place}.npy");
        let (shape, data): (_, Vec<u8>) = if dtype == Dtype::I64 {
            let (shape, values) = folder.read::<i64>(&npy);
            (shape, bytemuck::cast_slice(&values).to_vec())
        } else {
            let (shape, values) = folder.read::<f32>(&npy);
            (shape, bytemuck::cast_slice(&values).to_vec())
        };
        assert_eq!((tensor.shape(), tensor.data()), (&shape[..], &data[..]), "{name}");
    }
}

#[test]
fn mistakes_exit_with_2_and_leave_no_output() {
    let folder = Folder::new();
    std::fs::write(folder.at("bad.safetensors"), [255; 40]).unwrap();
    folder.write("x.npy", &[1, 2], &[0f32; 2]);
    for (words, says) in [
        (
            "softmax bad.safetensors -o y.npy",
            "bad.safetensors: no .safetensors file: ",
        ),
        (
            "softmax bad.safetensors:x -o y.npy",
            "bad.safetensors:x: no .safetensors file: ",
        ),
        ("softmax x.npy -o y.safetensors:probs", "leave the name off"),
    ] {
        let (code, line) = folder.fails(words);
        assert!(code == 2 && line.contains(says), "{words}: {code}, {line}");
    }
    assert_eq!(folder.names(), ["bad.safetensors", "x.npy"]);
}
