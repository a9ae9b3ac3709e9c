// Failures made up, to see that they are told and do no harm. Each of them rejects.
import { withGpu } from './gpu.js';

/** Compiled kernels are kept, so each one that is to fail has a number of classes of its own. */
let classes = 100;

export const failures = {
  /** The device is destroyed while a call is under way. */
  lost: () =>
    withGpu(async ({ device, softmax }) => {
      const underway = softmax(new Float32Array(1 << 20), 4);
      device().destroy();
      await underway;
    }),

  /** The browser is given a shader that does not compile. */
  shader: () =>
    withGpu(async ({ softmax }) => {
      const own = GPUDevice.prototype.createShaderModule;
      GPUDevice.prototype.createShaderModule = function (descriptor) {
        return own.call(this, { ...descriptor, code: `${descriptor.code}\nfn made_up( {` });
      };
      try {
        classes += 1;
        await softmax(new Float32Array(classes), classes, { log: true, bias: new Float32Array(classes) });
      } finally {
        GPUDevice.prototype.createShaderModule = own;
      }
    }),

  /** A target that is no class. */
  target: () => withGpu(({ crossEntropy }) => crossEntropy(new Float32Array(30), Uint32Array.of(3, 10, 4), 10)),
};
