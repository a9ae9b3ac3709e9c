//! The gradient of one row.

use super::terms::sums_of_others;
use super::{Batch, CrossEntropyReference, TargetRow};
use crate::reference::adjusted::weigh;

impl<T: Copy + Into<f64>> Batch<'_, T> {
    /// The gradient of [`Batch::ordinary_loss`], `Q y_c − q_c` with the weight `q_c` of a class and the sum Q of them all,
    /// as `(Q − q_c) y_c − q_c (1 − y_c)`: of a row that is all but certain, only what weighs against it is left.
    pub(super) fn ordinary_gradient(
        &self,
        target_row: &TargetRow,
        target: Option<(f64, usize)>,
        class_weights: &[f64],
        out: &mut CrossEntropyReference,
    ) {
        let TargetRow {
            number,
            row,
            loss_scale,
            z_scale,
            ..
        } = target_row;
        let own_weight = |c| target.map_or(0.0, |(weight, t)| if t == c { weight } else { 0.0 });
        let weights: Vec<f64> = (0..).zip(class_weights).map(|(c, q)| q + own_weight(c)).collect();
        let others = sums_of_others(&weights);
        let is_nan = weights.iter().any(|q| q.is_nan());
        if let Some(direction) = self.matrices.direction {
            let weight: f64 = weights.iter().sum();
            return self.hessian_vector(target_row, direction, weight, &mut out.gradient);
        }
        let class_sum: f64 = class_weights.iter().sum();
        for (c, i) in self.rows.places(*number).enumerate() {
            if !is_nan && row.is_masked(c) && target.is_none_or(|(_, t)| t != c) && class_weights[c] == 0.0 {
                continue;
            }
            let (y, complement) = (row.probability(c), row.complement(c));
            let z_grad = weigh(self.options.z_loss.into(), 2.0 * row.lse() * y * z_scale);
            let loss_grad = others[c] * y - weights[c] * complement;
            let da_dx = self.adjuster.adjust_grad(*number, c, self.logits[i].into());
            out.gradient[i] = if is_nan {
                f64::NAN
            } else {
                let g = loss_grad * loss_scale + z_grad;
                self.adjuster.grad(g, *number, c, self.logits[i].into())
            };

            // What is in proportion to y, and of the loss alone; at the target its own weight is in proportion to 1 − y.
            let is_target = target.is_some_and(|(_, t)| t == c);
            let target_weight = target.map_or(0.0, |(weight, _)| weight);
            let y_grad = (class_sum + if is_target { 0.0 } else { target_weight }) * y * loss_scale;
            let own = if is_target {
                target_weight * complement * loss_scale
            } else {
                0.0
            };
            let terms = [own, class_weights[c] * loss_scale, y_grad, z_grad, y_grad + z_grad];
            let largest = terms.into_iter().fold(0.0, |most: f64, term| most.max(term.abs())) * da_dx.abs();
            let scales = &mut out.scales;
            scales.gradient_terms[i] = largest.max(out.gradient[i].abs());
            scales.y_terms[i] = ((weights[c] + others[c]) * y * loss_scale + z_grad).abs() * da_dx.abs();
        }
    }

    /// `W y_c (v_c − t) + 2λ y_c (lse (v_c − t) + t)` with `t = Σ y v` and the weight W of all targets.
    fn hessian_vector(&self, target_row: &TargetRow, direction: &[f64], weight: f64, product: &mut [f64]) {
        let TargetRow { number, row, .. } = target_row;
        if weight.is_nan() {
            return self.rows.places(*number).for_each(|i| product[i] = f64::NAN);
        }
        let z_scale = weigh(self.options.z_loss.into(), 2.0 * target_row.z_scale);
        let curvature = weight * target_row.loss_scale + weigh(z_scale, row.lse());
        let of_class = |(c, i): (usize, usize)| weigh(row.probability(c), direction[i]);
        let mean: f64 = self.rows.places(*number).enumerate().map(of_class).sum();
        for (c, i) in self
            .rows
            .places(*number)
            .enumerate()
            .filter(|&(c, _)| !row.is_masked(c))
        {
            let v = direction[i] - mean;
            let da_dx = self.adjuster.adjust_grad(*number, c, self.logits[i].into());
            product[i] = row.probability(c) * (curvature * v + z_scale * mean) * da_dx * da_dx;
        }
    }
}
