// A classifier with one hidden layer, in plain JavaScript: 64 pixels, 48 rectified units, 10 logits. What comes between the logits
// and their gradient, softmax and cross-entropy, is the package's.
import { CLASSES, PIXELS } from './digits.js';
import { randomNumbers } from './distort.js';

const HIDDEN = 48;
const MOMENTUM = 0.9;
const RATE = 0.2;

/** `result[row][out] = bias[out] + Σ x[row][in] · weight[in][out]`. */
function linear(x, rows, inputs, { weight, bias }, outputs) {
  const result = new Float32Array(rows * outputs);
  for (let row = 0; row < rows; row += 1) {
    const to = result.subarray(row * outputs, (row + 1) * outputs);
    to.set(bias);
    for (let i = 0; i < inputs; i += 1) {
      const value = x[row * inputs + i];
      if (value === 0) continue;
      for (let out = 0; out < outputs; out += 1) to[out] += value * weight[i * outputs + out];
    }
  }
  return result;
}

/** Weights and biases of one layer, with the velocities of gradient descent with momentum. */
class Layer {
  constructor(inputs, outputs, weight) {
    Object.assign(this, { inputs, outputs, weight, bias: new Float32Array(outputs) });
    this.velocity = new Float32Array(weight.length);
    this.biasVelocity = new Float32Array(outputs);
  }

  forward(x, rows) {
    return linear(x, rows, this.inputs, this, this.outputs);
  }

  /** One step down, given the loss's gradient with respect to this layer's outputs. */
  step(x, rows, gradient) {
    const [weightGradient, biasGradient] = [new Float32Array(this.weight.length), new Float32Array(this.outputs)];
    for (let row = 0; row < rows; row += 1) {
      const of = gradient.subarray(row * this.outputs, (row + 1) * this.outputs);
      for (let out = 0; out < this.outputs; out += 1) biasGradient[out] += of[out];
      for (let i = 0; i < this.inputs; i += 1) {
        const value = x[row * this.inputs + i];
        if (value === 0) continue;
        for (let out = 0; out < this.outputs; out += 1) weightGradient[i * this.outputs + out] += value * of[out];
      }
    }
    descend(this.weight, this.velocity, weightGradient);
    descend(this.bias, this.biasVelocity, biasGradient);
  }

  /** The gradient with respect to this layer's inputs. */
  back(gradient, rows) {
    const result = new Float32Array(rows * this.inputs);
    for (let row = 0; row < rows; row += 1) {
      for (let i = 0; i < this.inputs; i += 1) {
        let sum = 0;
        for (let out = 0; out < this.outputs; out += 1) {
          sum += gradient[row * this.outputs + out] * this.weight[i * this.outputs + out];
        }
        result[row * this.inputs + i] = sum;
      }
    }
    return result;
  }
}

function descend(values, velocity, gradient) {
  for (let i = 0; i < values.length; i += 1) {
    velocity[i] = MOMENTUM * velocity[i] + gradient[i];
    values[i] -= RATE * velocity[i];
  }
}

export class Network {
  constructor() {
    const random = randomNumbers(88172645);
    const weights = Float32Array.from({ length: PIXELS * HIDDEN }, () => random(Math.sqrt(6 / PIXELS)));
    this.first = new Layer(PIXELS, HIDDEN, weights);
    // With zeros, all digits are equally likely before the first step.
    this.second = new Layer(HIDDEN, CLASSES, new Float32Array(HIDDEN * CLASSES));
  }

  #hidden(pixels, rows) {
    const hidden = this.first.forward(pixels, rows);
    for (let i = 0; i < hidden.length; i += 1) hidden[i] = Math.max(0, hidden[i]);
    return hidden;
  }

  logits(pixels, rows) {
    return this.second.forward(this.#hidden(pixels, rows), rows);
  }

  /** One step of training. `lossOf` takes the logits, and its promise becomes something with their `gradient`. */
  async step(pixels, rows, lossOf) {
    const hidden = this.#hidden(pixels, rows);
    const found = await lossOf(this.second.forward(hidden, rows));
    const ofHidden = this.second.back(found.gradient, rows);
    for (let i = 0; i < hidden.length; i += 1) if (hidden[i] === 0) ofHidden[i] = 0;
    this.second.step(hidden, rows, found.gradient);
    this.first.step(pixels, rows, ofHidden);
    return found;
  }
}
