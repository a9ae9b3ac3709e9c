// A Worker that computes: see the check of that name.
import { init, softmax } from '../pkg/index.js';

try {
  await init();
  postMessage([...(await softmax(Float32Array.of(1, 1, 3, 3), 2))].join());
} catch (error) {
  postMessage(`${error}`);
}
