// Softmax of 300 MiB, in parts, between which the page has its turn.
import { withGpu } from './gpu.js';

const [ROWS, CLASSES] = [2400, 32768];

/** Resolves with what is to be said of it. `progress` is a `<progress>`. */
export async function largeBatch(progress) {
  progress.removeAttribute('value');
  const logits = new Float32Array(ROWS * CLASSES);
  for (let i = 0; i < logits.length; i += 1) logits[i] = (i * 0.618034) % 5;
  const watch = watchStops();
  try {
    const told = (done, rows) => (progress.value = done / rows);
    const start = performance.now();
    await withGpu(({ softmax }) => softmax(logits, CLASSES, { progress: told }));
    const seconds = (performance.now() - start) / 1000;
    return `${ROWS} rows of ${CLASSES} classes in ${seconds.toFixed(1)} s; the page stood still for ${watch.end().toFixed(0)} ms at most.`;
  } finally {
    watch.end();
  }
}

/** Finds the longest time between two turns of the page. */
function watchStops() {
  let [last, longest] = [performance.now(), 0];
  const timer = setInterval(() => {
    const now = performance.now();
    [last, longest] = [now, Math.max(longest, now - last)];
  }, 5);
  return {
    end: () => {
      clearInterval(timer);
      return longest;
    },
  };
}
