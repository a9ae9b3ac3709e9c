// Each function that is exported is a check: it fails by throwing, and returns what is worth printing. Each runs on a page of its own.
import { crossEntropy, device, init, sample, softmax, softmaxBuffer, verify } from '../pkg/index.js';

function equal(got, expected, what) {
  if (got !== expected) throw new Error(`${what}: ${got} instead of ${expected}`);
}

/** What a call rejects with. */
async function message(call, what) {
  try {
    await call();
  } catch (error) {
    if (!(error instanceof Error)) throw new Error(`${what}: ${error} is no Error`);
    return error.message.split('\n')[0];
  }
  throw new Error(`${what}: no error`);
}

async function fails(call, part) {
  const said = await message(call, part);
  if (!said.includes(part)) throw new Error(`"${said}" has no "${part}"`);
  return said;
}

const ONES = new Float32Array(12).fill(1);

/** The next call is right: softmax of a new shape each time, so that a kernel and buffers are made. */
async function isWell(classes) {
  const probs = await softmax(new Float32Array(3 * classes).fill(7), classes);
  equal(probs.join(), new Float32Array(3 * classes).fill(1 / classes).join(), 'the next call');
}

/** With a method of GPUDevice replaced by what `change` makes of it. */
async function patched(method, change, call) {
  const own = GPUDevice.prototype[method];
  GPUDevice.prototype[method] = change(own);
  try {
    return await call();
  } finally {
    GPUDevice.prototype[method] = own;
  }
}

export async function a_row_of_equal_logits_has_equal_probabilities() {
  const adapter = await init();
  const probs = await softmax(new Float32Array(8).fill(3), 4);
  equal(probs.join(), new Float32Array(8).fill(0.25).join(), 'probabilities');
  equal((await softmax(new Float32Array(0), 4)).length, 0, 'no rows');
  return JSON.stringify(adapter);
}

export async function losses_and_gradients() {
  await init();
  const options = { gradient: true, rowLosses: true, argmax: true, correct: true, entropy: true, lse: true, logProb: true };
  const out = await crossEntropy(new Float32Array(8), Int32Array.of(1, -100), 4, options);
  equal(out.loss, Math.fround(Math.log(4)), 'loss');
  equal(out.gradient.join(), '0.25,-0.75,0.25,0.25,0,0,0,0', 'gradient');
  equal(out.counted, 1, 'counted');
  equal(out.correct, 0, 'correct');
  equal(out.argmax.join(), '0,0', 'argmax');
  equal(out.rowLosses[1], 0, 'the loss of an ignored row');
  equal(out.zLoss, undefined, 'what was not asked for');
}

export async function samples() {
  await init();
  const logits = Float32Array.from({ length: 30 }, (_, i) => Math.sin(i));
  const greedy = await sample(logits, 10, { temperature: 0, logProbs: 'model', topN: 2 });
  equal(greedy.tokens.join(), '8,4,7', 'greedy');
  equal(greedy.topIds.length, 6, 'two classes of each row');
  const seeded = { topK: [1, 3, 0], topP: 0.9, seed: [1, 2n, 2 ** 40], position: 5, kept: true, probs: true };
  const [a, b] = await Promise.all([sample(logits, 10, seeded), sample(logits, 10, seeded)]);
  equal(a.tokens.join(), b.tokens.join(), 'the same seeds, at the same time');
  equal(a.kept[0], 1, 'top_k 1');
  equal(a.probs.length, 30, 'probabilities');
  return `tokens ${a.tokens.join()}`;
}

export async function many_calls_at_once_do_not_disturb_each_other() {
  await init({ partBytes: 4096 });
  const calls = Array.from({ length: 24 }, async (_, i) => {
    const probs = await softmax(new Float32Array(4000 * (1 + (i % 3))).fill(i), 4);
    equal(probs.every((p) => p === 0.25), true, `call ${i}`);
  });
  await Promise.all(calls);
}

export async function mistakes_of_a_caller_are_errors() {
  const said = [await fails(() => softmax(ONES, 4), 'init')];
  await init();
  for (const [call, part] of [
    [() => softmax([1, 2], 2), 'Float32Array'],
    [() => softmax(ONES, 5), 'whole rows'],
    [() => softmax(ONES, 0), 'classes'],
    [() => softmax(ONES, 4, { lgo: true }), 'no option lgo'],
    [() => softmax(ONES, 4, { log: 1 }), 'true or false'],
    [() => softmax(ONES, 4, { bias: new Float32Array(3) }), 'bias'],
    [() => softmax(ONES, 4, { fullyMasked: 'x' }), 'zeros'],
    [() => crossEntropy(ONES, Uint32Array.of(0, 4, 1), 4), '4'],
    [() => crossEntropy(ONES, Int32Array.of(0, 1, -7), 4, { gradient: true }), '-7'],
    [() => crossEntropy(ONES, Uint32Array.of(0, 1), 4), 'targets'],
    [() => sample(ONES, 4, { temperature: -1 }), 'temperature'],
    [() => sample(ONES, 4, { seed: 0.5 }), 'seed'],
    [() => sample(ONES, 4, { history: Uint32Array.of(1) }), 'history'],
    [() => verify({ only: 'no such check' }), 'no such check'],
    [() => softmax(ONES, 4, { progress: () => { throw new Error('thrown by the page'); } }), 'thrown by the page'],
  ]) {
    said.push(await fails(call, part));
    await isWell(4);
  }
  return said.join('\n  ');
}

export async function a_lost_device_is_an_error_until_init() {
  await init();
  await isWell(4);
  const underway = message(() => softmax(new Float32Array(1 << 20), 4), 'a call under way');
  device().destroy();
  const said = [await underway, await fails(() => softmax(ONES, 4), 'lost'), await fails(() => sample(ONES, 4), 'lost')];
  await init();
  await isWell(4);
  return said.join('\n  ');
}

export async function errors_of_the_device_reach_their_call() {
  await init();
  const said = [];
  const faults = {
    // A kernel that does not compile.
    createShaderModule: (own) => function (d) { return own.call(this, { ...d, code: `${d.code}\nfn oops( {` }); },
    // Buffers beyond every limit.
    createBuffer: (own) => function (d) { return own.call(this, { ...d, size: 2 ** 40 }); },
    // No usage that anything needs.
    createBindGroup: (own) => function (d) { return own.call(this, { ...d, entries: [] }); },
  };
  let classes = 5;
  for (const [method, change] of Object.entries(faults)) {
    classes += 1;
    const rows = new Float32Array(3 * classes).fill(7);
    const call = () => softmax(rows, classes, { log: method === 'createShaderModule' });
    said.push(`${method}: ${await patched(method, change, () => message(call, method))}`);
    await call();
    await isWell(classes);
  }
  const lose = (own) => async function () { await own.call(this); return new GPUOutOfMemoryError('made up'); };
  said.push(`popErrorScope: ${await patched('popErrorScope', lose, () => message(() => softmax(ONES, 3), 'made up'))}`);
  await isWell(3);
  return said.join('\n  ');
}

export async function a_trap_ends_the_calls_under_way() {
  await init();
  // What wgpu 30 panics at.
  const internal = (own) => async function () { await own.call(this); return new GPUInternalError('made up'); };
  const said = await patched('popErrorScope', internal, () => message(() => softmax(ONES, 4), 'a trap'));
  await init();
  await isWell(4);
  return said;
}

export async function buffers_of_the_page() {
  await init();
  const gpu = device();
  const usage = GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
  const [logits, result] = [0, 1].map(() => gpu.createBuffer({ size: 4096, usage }));
  const values = Float32Array.from({ length: 1024 }, (_, i) => Math.cos(i));
  gpu.queue.writeBuffer(logits, 0, values);
  await softmaxBuffer(logits, result, 256, { log: true });
  const host = gpu.createBuffer({ size: 4096, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
  const encoder = gpu.createCommandEncoder();
  encoder.copyBufferToBuffer(result, 0, host, 0, 4096);
  gpu.queue.submit([encoder.finish()]);
  await host.mapAsync(GPUMapMode.READ);
  const got = new Float32Array(host.getMappedRange());
  equal(got.join(), (await softmax(values, 256, { log: true })).join(), 'the same as on the host');
  const other = await (await navigator.gpu.requestAdapter()).requestDevice();
  const foreign = other.createBuffer({ size: 4096, usage });
  const unusable = gpu.createBuffer({ size: 4096, usage: GPUBufferUsage.COPY_DST });
  const said = [
    await message(() => softmaxBuffer(foreign, result, 256), 'a buffer of another device'),
    await message(() => softmaxBuffer(unusable, result, 256), 'a buffer without COPY_SRC'),
    await message(() => softmaxBuffer(logits, logits.label, 256), 'no buffer'),
    await message(() => softmaxBuffer(logits, host, 100), 'no whole rows'),
  ];
  await softmaxBuffer(logits, result, 256);
  return said.join('\n  ');
}

/** The longest time between two turns of the page while a call runs. */
async function longestStop(call) {
  let [last, longest, on] = [performance.now(), 0, true];
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
    if (on) setTimeout(() => port2.postMessage(0), 1);
  };
  port2.postMessage(0);
  const result = await call();
  on = false;
  return [result, longest];
}

export async function a_batch_of_300_mib_stops_the_page_for_moments_only() {
  await init();
  const [rows, classes] = [2400, 32768];
  const logits = new Float32Array(rows * classes);
  for (let i = 0; i < logits.length; i += 1) logits[i] = (i * 0.61803398875) % 5;
  const told = [];
  const start = performance.now();
  const progress = (done, all) => told.push([done, all]);
  const [probs, stop] = await longestStop(() => softmax(logits, classes, { progress }));
  const seconds = (performance.now() - start) / 1000;
  equal(probs.length, logits.length, 'probabilities');
  for (let row = 0; row < rows; row += 397) {
    const sum = probs.subarray(row * classes, (row + 1) * classes).reduce((a, b) => a + b, 0);
    if (Math.abs(sum - 1) > 1e-5) throw new Error(`row ${row} sums to ${sum}`);
  }
  equal(told.at(-1).join(), `${rows},${rows}`, 'the last progress');
  equal(told.every(([done], i) => i === 0 || done > told[i - 1][0]), true, 'progress grows');
  if (told.length < 30 || stop > 1000) throw new Error(`${told.length} parts, the page stood still for ${stop.toFixed(0)} ms`);
  return `${told.length} parts in ${seconds.toFixed(1)} s, the page stood still for ${stop.toFixed(0)} ms at most`;
}

export async function large_losses_and_samples_stop_the_page_for_moments_only() {
  await init();
  const [rows, classes, row] = [1024, 32768, 311];
  const logits = new Float32Array(rows * classes);
  for (let i = 0; i < logits.length; i += 1) logits[i] = (i * 0.61803398875) % 5;
  const targets = Uint32Array.from({ length: rows }, (_, i) => i);
  const alone = logits.subarray(row * classes, (row + 1) * classes);
  const said = [];
  const timed = async (what, call) => {
    let parts = 0;
    const start = performance.now();
    const [out, stop] = await longestStop(() => call({ progress: () => (parts += 1) }));
    said.push(`${what}: ${parts} parts in ${((performance.now() - start) / 1000).toFixed(1)} s, ${stop.toFixed(0)} ms`);
    if (parts < 6 || stop > 1000) throw new Error(`the page stood still: ${said.at(-1)}`);
    return out;
  };
  const asked = { gradient: true, rowLosses: true };
  const loss = await timed('crossEntropy', (progress) => crossEntropy(logits, targets, classes, { ...asked, ...progress }));
  const lossAlone = await crossEntropy(alone, targets.subarray(row, row + 1), classes, { rowLosses: true });
  equal(loss.rowLosses[row], lossAlone.rowLosses[0], 'the loss of a row, in the batch and alone');
  const sum = loss.gradient.subarray(row * classes, (row + 1) * classes).reduce((a, b) => a + b, 0);
  if (Math.abs(sum) > 1e-6) throw new Error(`the gradient of a row sums to ${sum}`);
  const filtered = { topP: 0.9, seed: 7, logProbs: 'model' };
  // Sampling takes some times as long on a software adapter.
  const some = logits.subarray(0, 384 * classes);
  const drawn = await timed('sample', (progress) => sample(some, classes, { ...filtered, ...progress }));
  equal(drawn.tokens[row], (await sample(alone, classes, filtered)).tokens[0], 'the token of a row, in the batch and alone');
  return said.join('\n  ');
}

export async function a_worker_computes() {
  const worker = new Worker('/tests/worker.js', { type: 'module' });
  const said = await new Promise((resolve) => {
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = ({ message }) => resolve(message);
  });
  equal(said, '0.5,0.5,0.5,0.5', 'a worker');
}

export async function without_an_adapter_init_says_what_a_page_needs() {
  const own = GPU.prototype.requestAdapter;
  GPU.prototype.requestAdapter = async () => null;
  const said = [await fails(() => init(), 'https')];
  GPU.prototype.requestAdapter = own;
  Object.defineProperty(navigator, 'gpu', { value: undefined, configurable: true });
  said.push(await fails(() => init(), 'https'));
  delete navigator.gpu;
  await init();
  await isWell(4);
  if (said.join().includes('apt-get')) throw new Error(said.join());
  return said.join('\n  ');
}
