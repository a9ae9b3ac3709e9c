// No two hands write alike, and the data set has 43. So that drawn digits are recognised too, each step shows every image a little
// turned, slanted, stretched and moved. Without this, fewer of some hundred drawn digits were recognised: 87 instead of 90 of 100.
import { PIXELS } from './digits.js';

const SIDE = 8;
const MIDDLE = (SIDE - 1) / 2;

/** Numbers from −`most` to `most`, the same in every run. */
export function randomNumbers(seed) {
  let state = seed;
  return (most) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state / 2 ** 31 - 1) * most;
  };
}

/** Copies of images, each distorted in its own way. */
export function distorted(pixels, count, random) {
  const result = new Float32Array(count * PIXELS);
  for (let image = 0; image < count; image += 1) {
    const part = [image * PIXELS, (image + 1) * PIXELS];
    distort(pixels.subarray(...part), result.subarray(...part), random);
  }
  return result;
}

function distort(from, to, random) {
  const [turn, slant] = [random(0.15), random(0.2)];
  const [wide, high] = [1 + random(0.2), 1 + random(0.1)];
  const [right, down] = [MIDDLE + random(0.5), MIDDLE + random(0.3)];
  const [cosine, sine] = [Math.cos(turn), Math.sin(turn)];
  for (let pixel = 0; pixel < PIXELS; pixel += 1) {
    const [x, y] = [(pixel % SIDE) - MIDDLE, Math.floor(pixel / SIDE) - MIDDLE];
    to[pixel] = between(from, (x * cosine - y * sine) * wide + y * slant + right, (x * sine + y * cosine) * high + down);
  }
}

/** The value between pixels: bilinear, white outside. */
function between(pixels, x, y) {
  const [left, top] = [Math.floor(x), Math.floor(y)];
  const [across, down] = [x - left, y - top];
  const at = (column, row) =>
    column < 0 || row < 0 || column >= SIDE || row >= SIDE ? 0 : pixels[row * SIDE + column];
  const upper = (1 - across) * at(left, top) + across * at(left + 1, top);
  const lower = (1 - across) * at(left, top + 1) + across * at(left + 1, top + 1);
  return (1 - down) * upper + down * lower;
}
