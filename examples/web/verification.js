// `verify` in a Worker, its table filled as checks end.
import { element } from './shapes.js';

/** What can be chosen: the options of `verify`. */
const CHOICES = {
  softmax: { only: 'twin/softmax', mostElements: 5000 },
  small: { only: 'twin', mostElements: 5000 },
  twin: { only: 'twin' },
  all: {},
};

/** Runs the checks, and resolves with what is to be said of them at the end. `stop` of the signal ends them. */
export function verification(choice, { body, progress, said, signal }) {
  body.replaceChildren();
  progress.removeAttribute('value');
  said.textContent = 'Compiling kernels…';
  const worker = new Worker(new URL('verification_worker.js', import.meta.url), { type: 'module' });
  const start = performance.now();
  const sums = { checks: 0, cases: 0, skipped: 0 };
  return new Promise((resolve, reject) => {
    signal.addEventListener('abort', () => resolve(`Stopped with ${sums.checks} checks done.`));
    worker.onerror = ({ message }) => reject(new Error(message || 'the Worker could not be started'));
    worker.onmessage = ({ data: { error, check, done, checks, failed } }) => {
      if (error !== undefined) return reject(new Error(error));
      if (check) {
        body.append(rowOf(check));
        sums.checks = done;
        sums.cases += check.cases;
        sums.skipped += check.skipped;
        progress.value = done / checks;
        said.textContent = `${done} of ${checks} checks`;
      }
      if (failed !== undefined) resolve(verdict(failed, sums, (performance.now() - start) / 1000));
    };
    worker.postMessage(CHOICES[choice]);
  }).finally(() => worker.terminate());
}

function verdict(failed, { checks, cases, skipped }, seconds) {
  const result = failed === 0 ? 'All as promised' : `${failed} cases are not as promised`;
  const compared = `${checks} ${checks === 1 ? 'check' : 'checks'}`;
  return `${result}: ${compared}, ${cases} cases, ${skipped} skipped as too large, in ${seconds.toFixed(1)} s.`;
}

function rowOf({ name, cases, failed, skipped, maxUlp, hash, firstFailure }) {
  const row = element('tr', { className: failed > 0 ? 'failed' : '', title: firstFailure ?? '' });
  row.append(element('th', { scope: 'row', textContent: name }));
  row.append(element('td', { className: 'hash', textContent: hash ?? '–' }));
  for (const text of [cases, failed > 0 ? `✗ ${failed}` : '0', skipped, maxUlp?.toFixed(2) ?? '–']) {
    row.append(element('td', { textContent: text }));
  }
  return row;
}
