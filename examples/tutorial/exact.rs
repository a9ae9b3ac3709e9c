//! The formulas exactly as the tutorial writes them, in plain f64. The results of the device are compared with these.

/// `y_c = exp(z_c) / Σ_d exp(z_d)`
pub(crate) fn softmax(z: &[f32]) -> Vec<f64> {
    let powers: Vec<f64> = z.iter().map(|&v| f64::from(v).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|p| p / sum).collect()
}

/// `J_ij = y_i (δ_ij − y_j)`, row by row.
pub(crate) fn jacobian(y: &[f64]) -> Vec<f64> {
    let line = |i: usize| y.iter().enumerate().map(move |(j, &y_j)| y[i] * (one(i == j) - y_j));
    (0..y.len()).flat_map(line).collect()
}

/// `σ(z) = 1 / (1 + exp(−z))`
pub(crate) fn logistic(z: f32) -> f64 {
    1.0 / (1.0 + (-f64::from(z)).exp())
}

/// The row of the target matrix T for a class: 1 at the class, 0 elsewhere.
pub(crate) fn one_hot(class: usize, classes: usize) -> Vec<f64> {
    (0..classes).map(|c| one(c == class)).collect()
}

fn one(is: bool) -> f64 {
    f64::from(u8::from(is))
}
