// The GPU: taken before the first call, and again after it was lost.
import * as wgpuSoftmax from './pkg/index.js';

let adapter;
let onLost = () => {};
let onTaken = () => {};

/** What is called when the browser has given an adapter, and when it has taken the device away. */
export function watch(taken, lost) {
  [onTaken, onLost] = [taken, lost];
}

/** The adapter; the browser is asked for it if there is none. */
export async function ready() {
  adapter ??= take();
  try {
    return await adapter;
  } catch (error) {
    adapter = undefined;
    throw error;
  }
}

async function take() {
  const mine = await wgpuSoftmax.init();
  const taken = adapter;
  wgpuSoftmax.device().lost.then(({ message }) => {
    // A device that has been replaced is missed by nobody.
    if (adapter !== taken) return;
    adapter = undefined;
    onLost(new Error(`the device was lost (${message || 'the browser does not say why'})`));
  });
  onTaken(mine);
  return mine;
}

/** What `call` returns, given the package with its GPU at hand. */
export async function withGpu(call) {
  await ready();
  try {
    return await call(wgpuSoftmax);
  } catch (error) {
    if (/lost|stopped|init/.test(error?.message)) adapter = undefined;
    throw error;
  }
}
