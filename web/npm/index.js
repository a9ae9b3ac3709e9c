// What a page imports. It loads the module, and sees to it that every call ends: a trap in WebAssembly ends the call in which it
// happens without settling its promise, so all calls that are under way reject then.
import load, * as module from './wgpu_softmax_web.js';

const underway = new Set();
let loaded = false;

function rejectAll(message) {
  const error = () => new Error(`wgpu-softmax stopped: ${message}. Call init again, and please report this.`);
  for (const reject of [...underway]) reject(error());
}

/** The promise of a call, which rejects after a trap too. */
function settled(call) {
  return new Promise((resolve, reject) => {
    underway.add(reject);
    const end = () => underway.delete(reject);
    const ended = (async () => call())();
    ended.then(resolve, reject).then(end, end);
  });
}

function watch() {
  module.onPanic(rejectAll);
  // A trap that is no panic, as where memory is used up, is seen here alone. Other modules' traps are none of ours.
  globalThis.addEventListener?.('error', ({ error }) => {
    if (error instanceof WebAssembly.RuntimeError && `${error.stack}`.includes('wgpu_softmax_web')) rejectAll(error.message);
  });
}

export function init(options = {}) {
  return settled(async () => {
    const { wasm } = options ?? {};
    await load(wasm === undefined ? undefined : { module_or_path: wasm });
    if (!loaded) watch();
    loaded = true;
    return module.start(options);
  });
}

function started(name) {
  if (!loaded) throw new Error('await init() first');
  if (!module[name]) throw new Error(`this package is the small one, without ${name}`);
  return module[name];
}

export const device = () => started('device')();
export const softmax = (logits, classes, options) => settled(() => started('softmax')(logits, classes, options));
export const softmaxBuffer = (logits, result, classes, options) =>
  settled(() => started('softmaxBuffer')(logits, result, classes, options));
export const crossEntropy = (logits, targets, classes, options) =>
  settled(() => started('crossEntropy')(logits, targets, classes, options));
export const sample = (logits, classes, options) => settled(() => started('sample')(logits, classes, options));
export const verify = (options) => settled(() => started('verify')(options));
