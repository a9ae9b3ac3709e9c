// Pictures in SVG, which take their colours from the style sheet.
import { CLASSES } from './digits.js';

const SIDE = 8;

/** An element of SVG. */
export function shape(name, attributes = {}, text = '') {
  const element = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.textContent = text;
  return element;
}

/** An element of HTML. */
export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

/** Draws an image of 8 × 8 pixels, 0 to 1, into an `<svg>`. */
export function drawImage(svg, pixels) {
  svg.setAttribute('viewBox', `0 0 ${SIDE} ${SIDE}`);
  const squares = [...pixels].map((value, i) =>
    shape('rect', { class: 'pixel', x: i % SIDE, y: Math.floor(i / SIDE), width: 1, height: 1, 'fill-opacity': value }),
  );
  svg.replaceChildren(...squares);
}

/** The table of the ten probabilities. */
export class Bars {
  #rows;

  constructor(body) {
    this.#rows = Array.from({ length: CLASSES }, (_, digit) => {
      const bar = element('span', { className: 'bar' });
      const percent = element('td', { className: 'percent' });
      const row = element('tr', {});
      row.append(
        element('th', { scope: 'row', textContent: digit }),
        element('td', { className: 'track' }, bar),
        percent,
      );
      body.append(row);
      return { row, bar, percent };
    });
  }

  /** Without probabilities, all are empty. */
  show(probabilities) {
    const best = probabilities ? probabilities.indexOf(Math.max(...probabilities)) : -1;
    const even = probabilities?.every((probability) => probability === probabilities[0]);
    this.#rows.forEach(({ row, bar, percent }, digit) => {
      const share = probabilities ? 100 * probabilities[digit] : 0;
      bar.style.width = `${share.toFixed(2)}%`;
      percent.textContent = probabilities ? `${share.toFixed(1)} %` : '–';
      row.classList.toggle('best', digit === best && !even);
    });
  }
}
