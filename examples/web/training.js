// Training: steps on the batches in turn, one after the other, with turns of the page between them.
import { CLASSES } from './digits.js';
import { distorted, randomNumbers } from './distort.js';
import { withGpu } from './gpu.js';
import { Network } from './network.js';

/** The test digits are classified after as many steps. */
const TEST_EVERY = 20;

export class Training {
  #data;
  #random;

  constructor(data) {
    this.#data = data;
    this.reset();
  }

  reset() {
    this.#random = randomNumbers(2463534242);
    this.network = new Network();
    this.losses = [];
    this.right = undefined;
    this.milliseconds = undefined;
  }

  get steps() {
    return this.losses.length;
  }

  /** One step, timed: all of it, and what `crossEntropy` took. */
  async step() {
    const network = this.network;
    const { pixels, digits, count } = this.#data.batches[this.steps % this.#data.batches.length];
    const start = performance.now();
    let ofLoss = 0;
    const found = await network.step(distorted(pixels, count, this.#random), count, async (logits) => {
      const before = performance.now();
      const output = await withGpu(({ crossEntropy }) => crossEntropy(logits, digits, CLASSES, { gradient: true }));
      ofLoss = performance.now() - before;
      return output;
    });
    // Whoever has pressed Reset meanwhile does not want this step.
    if (network !== this.network) return;
    this.losses.push(found.loss);
    this.milliseconds = { all: performance.now() - start, ofLoss };
    if (this.steps % TEST_EVERY === 0) await this.test();
  }

  /** How many test digits are right. */
  async test() {
    const { pixels, digits, count } = this.#data.test;
    const network = this.network;
    const logits = network.logits(pixels, count);
    const { correct } = await withGpu(({ crossEntropy }) => crossEntropy(logits, digits, CLASSES, { correct: true }));
    if (network === this.network) this.right = { correct, count };
  }
}
