// Where one draws: with a mouse, a finger, a pen or the keyboard.
import { shape } from './shapes.js';

/** The pad is so many units wide and high, and a key moves the pen by so many. */
const SIZE = 100;
const KEY_STEP = 4;
/** Points that are nearer to the last one add nothing. */
const LEAST = 1;

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class Pad {
  #svg;
  #tell;
  #say;
  #strokes = [];
  #lines = [];
  #pen = { x: SIZE / 2, y: SIZE / 5, isDown: false, mark: shape('circle', { class: 'pen', r: 3 }) };

  /** `tell` is called with the strokes after each change, `say` with what the keyboard's pen does. */
  constructor(svg, tell, say) {
    this.#svg = svg;
    this.#tell = tell;
    this.#say = say;
    svg.append(this.#pen.mark);
    this.#movePen(0, 0);
    svg.addEventListener('pointerdown', (event) => this.#press(event));
    svg.addEventListener('pointermove', (event) => this.#drag(event));
    for (const end of ['pointerup', 'pointercancel']) svg.addEventListener(end, (event) => this.#release(event));
    svg.addEventListener('keydown', (event) => this.#key(event));
  }

  clear() {
    this.#lines.forEach((line) => line.remove());
    [this.#strokes, this.#lines] = [[], []];
    this.#lift();
    this.#tell(this.#strokes);
  }

  get isEmpty() {
    return this.#strokes.length === 0;
  }

  #begin(point) {
    this.#strokes.push([point]);
    const line = shape('polyline', { class: 'stroke' });
    this.#lines.push(line);
    this.#pen.mark.before(line);
    this.#draw();
  }

  #add(point) {
    const stroke = this.#strokes.at(-1);
    const [x, y] = stroke.at(-1);
    if (Math.hypot(point[0] - x, point[1] - y) < LEAST) return;
    stroke.push(point);
    this.#draw();
  }

  #draw() {
    const stroke = this.#strokes.at(-1);
    // A line from a point to itself is drawn as a dot.
    this.#lines.at(-1).setAttribute('points', [...stroke, stroke.at(-1)].map((point) => point.join()).join(' '));
    this.#tell(this.#strokes);
  }

  #where({ clientX, clientY }) {
    const box = this.#svg.getBoundingClientRect();
    const inside = (value) => Math.min(SIZE, Math.max(0, value * SIZE));
    return [inside((clientX - box.x) / box.width), inside((clientY - box.y) / box.height)];
  }

  #press(event) {
    if (event.button !== 0) return;
    this.#svg.setPointerCapture(event.pointerId);
    this.#lift();
    this.#begin(this.#where(event));
  }

  #drag(event) {
    if (!this.#svg.hasPointerCapture(event.pointerId)) return;
    const events = event.getCoalescedEvents?.() ?? [];
    for (const one of events.length > 0 ? events : [event]) this.#add(this.#where(one));
  }

  #release(event) {
    if (this.#svg.hasPointerCapture(event.pointerId)) this.#svg.releasePointerCapture(event.pointerId);
  }

  #key(event) {
    const arrow = ARROWS[event.key];
    if (arrow) this.#movePen(...arrow);
    else if (event.key === ' ') this.#turnPen(event.repeat);
    else if (event.key === 'Escape' || event.key === 'Delete') this.clear();
    else return;
    event.preventDefault();
  }

  #movePen(right, down) {
    const pen = this.#pen;
    const inside = (value) => Math.min(SIZE - 4, Math.max(4, value));
    [pen.x, pen.y] = [inside(pen.x + right * KEY_STEP), inside(pen.y + down * KEY_STEP)];
    pen.mark.setAttribute('cx', pen.x);
    pen.mark.setAttribute('cy', pen.y);
    if (pen.isDown) this.#add([pen.x, pen.y]);
  }

  #turnPen(isRepeated) {
    if (isRepeated) return;
    if (this.#pen.isDown) {
      this.#lift();
      this.#say('The pen is up.');
    } else {
      this.#pen.isDown = true;
      this.#pen.mark.classList.add('down');
      this.#begin([this.#pen.x, this.#pen.y]);
      this.#say('The pen is down.');
    }
  }

  #lift() {
    this.#pen.isDown = false;
    this.#pen.mark.classList.remove('down');
  }
}
