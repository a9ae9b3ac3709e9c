//! A gradient times a number that only the device knows, in place, and untouched where that is 1.
#![allow(missing_docs, unreachable_pub)] // the macro makes public items

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::calculate_cube_count_elemwise;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::tensor::CubeTensor;

#[cube(launch)]
fn scale_kernel<N: Size>(values: &mut Tensor<Vector<f32, N>>, number: &Tensor<f32>) {
    let factor = number[0];
    if factor != 1.0 && ABSOLUTE_POS < values.len() {
        values[ABSOLUTE_POS] *= Vector::new(factor);
    }
}

/// Multiplies a contiguous tensor of f32, which no other shares, by one number.
pub(crate) fn scale_in_place(values: &CubeTensor, number: CubeTensor) {
    let count = values.meta.num_elements();
    if count == 0 {
        return;
    }
    let vector = if count.is_multiple_of(4) && values.meta.shape().last().is_some_and(|n| n.is_multiple_of(4)) {
        4
    } else {
        1
    };
    let units = count / vector;
    let dim = CubeDim::new(&values.client, units);
    scale_kernel::launch(
        &values.client,
        calculate_cube_count_elemwise(&values.client, units, dim),
        dim,
        vector,
        values.clone().into_tensor_arg(),
        number.into_tensor_arg(),
    );
}
