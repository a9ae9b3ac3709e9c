// The curve of the loss.
import { shape } from './shapes.js';

const HEIGHT = 264;
const MARGIN = { left: 42, right: 12, top: 14, bottom: 40 };
const MOST = 2.5;
/** The loss of a network that knows nothing. */
const GUESSING = Math.log(10);

export class Curve {
  #svg;
  #losses = [];

  constructor(svg) {
    this.#svg = svg;
    // Text keeps its size, whatever the width.
    new ResizeObserver(() => this.#draw()).observe(svg);
  }

  show(losses) {
    this.#losses = losses;
    this.#draw();
  }

  #draw() {
    const width = this.#svg.clientWidth || 480;
    const losses = this.#losses;
    const steps = Math.max(100, Math.ceil(losses.length / 100) * 100);
    const x = (step) => MARGIN.left + (step / steps) * (width - MARGIN.left - MARGIN.right);
    const y = (loss) => HEIGHT - MARGIN.bottom - (Math.min(loss, MOST) / MOST) * (HEIGHT - MARGIN.top - MARGIN.bottom);
    const parts = [0, 0.5, 1, 1.5, 2, 2.5].flatMap((loss) => [
      shape('line', { class: 'grid', x1: x(0), x2: x(steps), y1: y(loss), y2: y(loss) }),
      shape('text', { x: x(0) - 8, y: y(loss) + 4, 'text-anchor': 'end' }, loss.toFixed(1)),
    ]);
    for (let part = 0; part <= 4; part += 1) {
      const step = (steps * part) / 4;
      const anchor = part === 4 ? 'end' : 'middle';
      parts.push(shape('text', { x: x(step), y: HEIGHT - MARGIN.bottom + 18, 'text-anchor': anchor }, step));
    }
    parts.push(
      shape('text', { x: (x(0) + x(steps)) / 2, y: HEIGHT - 4, 'text-anchor': 'middle' }, 'step'),
      shape('line', { class: 'guessing', x1: x(0), x2: x(steps), y1: y(GUESSING), y2: y(GUESSING) }),
      shape('text', { x: x(steps), y: y(GUESSING) + 15, 'text-anchor': 'end' }, 'guessing: ln 10 = 2.303'),
    );
    if (losses.length > 0) {
      const points = losses.map((loss, i) => `${x(i + 1).toFixed(1)},${y(loss).toFixed(1)}`);
      parts.push(shape('polyline', { class: 'loss', points: points.join(' ') }));
    }
    this.#svg.setAttribute('viewBox', `0 0 ${width} ${HEIGHT}`);
    this.#svg.setAttribute('aria-label', this.#description());
    this.#svg.replaceChildren(...parts);
  }

  #description() {
    const losses = this.#losses;
    if (losses.length === 0) return 'The curve of the loss: no steps yet.';
    return `The curve of the loss: ${losses[0].toFixed(3)} at the first step, ${losses.at(-1).toFixed(3)} at step ${losses.length}.`;
  }
}
