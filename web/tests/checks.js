// Each function that is exported is a check: it fails by throwing, and returns what is worth printing. Each runs on a page of its own.
import { init, softmax } from '../pkg/index.js';

function equal(got, expected, what) {
  if (got !== expected) throw new Error(`${what}: ${got} instead of ${expected}`);
}

export async function a_row_of_equal_logits_has_equal_probabilities() {
  const adapter = await init();
  const probs = await softmax(new Float32Array(8).fill(3), 4);
  equal(probs.join(), new Float32Array(8).fill(0.25).join(), 'probabilities');
  return JSON.stringify(adapter);
}
