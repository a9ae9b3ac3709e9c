// The page: what happens when something is pressed.
import { CLASSES, PIXELS, load } from './digits.js';
import { Curve } from './curve.js';
import { failures } from './failures.js';
import { imageOf } from './figure.js';
import { ready, watch, withGpu } from './gpu.js';
import { largeBatch } from './large.js';
import { Pad } from './pad.js';
import { Bars, drawImage, element } from './shapes.js';
import { Training } from './training.js';
import { verification } from './verification.js';

/** Steps after which training ends by itself; another press adds as many. */
const STEPS = 300;
const SAMPLES = 10;

const $ = (id) => document.getElementById(id);
const bars = new Bars($('bars'));
const curve = new Curve($('curve'));
let [data, training, firstSample, verifying] = [undefined, undefined, 0, undefined];
let [isTraining, isStopping] = [false, false];
/** What is classified: the pixels, and the digit if it is known. */
let shown = { pixels: new Float32Array(PIXELS), isEmpty: true };

// What went wrong, and what to do.

function remedy(message) {
  if (/lost|stopped/.test(message)) return 'Press any button: the page asks the browser for the GPU again.';
  if (/fetch|Worker|\.gz|import/.test(message)) return 'Check the connection and reload the page.';
  return 'Nothing else is harmed: go on, the next action works as before.';
}

function report(error) {
  const text = `${error?.message ?? error}`;
  $('message-text').textContent = text.length > 600 ? `${text.slice(0, 600)}…` : text;
  $('message-remedy').textContent = remedy(text);
  $('message').hidden = false;
}

/** Runs what a button is for. A failure is shown, and the button can be pressed again. */
async function attempt(action) {
  $('message').hidden = true;
  try {
    return await action();
  } catch (error) {
    report(error);
  }
}

function onPress(id, action) {
  $(id).addEventListener('click', () => attempt(action));
}

// The network's opinion.

let [isWanted, isBusy] = [false, false];

/** Classifies what is shown. While this runs, later wishes become one. */
async function classify() {
  isWanted = true;
  if (isBusy || !training) return;
  isBusy = true;
  try {
    while (isWanted) {
      isWanted = false;
      const { pixels, isEmpty } = shown;
      const logits = training.network.logits(pixels, 1);
      const probabilities = isEmpty ? undefined : await withGpu(({ softmax }) => softmax(logits, CLASSES));
      if (pixels === shown.pixels) answer(probabilities);
    }
  } finally {
    isBusy = false;
  }
}

function answer(probabilities) {
  bars.show(probabilities);
  $('answer').textContent = probabilities ? sentence([...probabilities]) : 'Draw a digit, or choose one.';
}

function sentence(probabilities) {
  if (training.steps === 0) return 'Untrained, it takes all digits for equally likely. Press Train.';
  const most = Math.max(...probabilities);
  const digit = probabilities.indexOf(most);
  const truth = shown.digit === undefined || shown.digit === digit ? '' : ` It is a ${shown.digit}.`;
  return `${most < 0.6 ? 'Perhaps' : 'This is'} a ${digit}: ${(100 * most).toFixed(1)} %.${truth}`;
}

function show(picture) {
  shown = picture;
  drawImage($('seen'), picture.pixels);
  attempt(classify);
}

// Training.

function showTraining() {
  const { steps, losses, right, milliseconds } = training;
  curve.show(losses);
  $('steps').textContent = steps;
  $('loss').textContent = steps > 0 ? losses.at(-1).toFixed(4) : '–';
  $('accuracy').textContent = right ? `${((100 * right.correct) / right.count).toFixed(1)} %` : '–';
  $('milliseconds').textContent = milliseconds
    ? `${milliseconds.all.toFixed(1)} ms, ${milliseconds.ofLoss.toFixed(1)} of them crossEntropy`
    : '–';
  $('train').textContent = isTraining ? 'Pause' : 'Train';
  // What changes many times a second is not read aloud.
  $('answer').setAttribute('aria-live', isTraining ? 'off' : 'polite');
}

async function train() {
  if (isTraining) {
    isStopping = true;
    return;
  }
  isTraining = true;
  showTraining();
  const until = training.steps + STEPS;
  try {
    while (!isStopping && training.steps < until) {
      await training.step();
      showTraining();
      await classify();
      await new Promise((resolve) => setTimeout(resolve));
    }
    if (training.steps > 0) await training.test();
    $('heard').textContent = `${training.steps} steps of training.`;
  } finally {
    [isTraining, isStopping] = [false, false];
    showTraining();
  }
}

async function reset() {
  isStopping = isTraining;
  training.reset();
  showTraining();
  await classify();
}

// The test digits.

function showSamples() {
  const buttons = Array.from({ length: SAMPLES }, (_, i) => {
    const at = (firstSample + i) % data.test.count;
    const pixels = data.test.pixels.slice(at * PIXELS, (at + 1) * PIXELS);
    const digit = data.test.digits[at];
    const picture = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
    picture.setAttribute('aria-hidden', true);
    drawImage(picture, pixels);
    const button = element('button', { type: 'button', className: 'sample', ariaLabel: `test digit: a ${digit}` }, picture);
    button.dataset.digit = digit;
    button.addEventListener('click', () => {
      if (!pad.isEmpty) pad.clear();
      show({ pixels, digit });
    });
    return button;
  });
  $('samples').replaceChildren(...buttons);
}

// Everything else.

async function verify() {
  if (verifying) {
    verifying.abort();
    return;
  }
  verifying = new AbortController();
  $('verify').textContent = 'Stop';
  $('verification').hidden = false;
  const [body, progress, said] = [$('checks'), $('verify-progress'), $('verified')];
  try {
    said.textContent = await verification($('which').value, { body, progress, said, signal: verifying.signal });
  } catch (error) {
    said.textContent = 'Not finished.';
    throw error;
  } finally {
    verifying = undefined;
    progress.value = 1;
    $('verify').textContent = 'Verify';
  }
}

async function large() {
  $('large').disabled = true;
  $('large-progress').hidden = false;
  $('large-said').textContent = 'Under way: go on drawing.';
  try {
    $('large-said').textContent = await largeBatch($('large-progress'));
  } catch (error) {
    $('large-said').textContent = 'Not finished.';
    throw error;
  } finally {
    $('large').disabled = false;
    $('large-progress').hidden = true;
  }
}

function showAdapter({ name, kind, subgroups, version }) {
  const called = name || 'no name given by the browser';
  const kernels = subgroups ? 'with subgroups' : 'without subgroups';
  $('adapter').textContent = `${called} (${kind}), ${kernels}; wgpu-softmax ${version}`;
  $('slow').hidden = kind !== 'software';
}

function switchTheme() {
  const isDark = getComputedStyle(document.documentElement).colorScheme.startsWith('dark');
  const wasDark = document.documentElement.dataset.theme ? isDark : matchMedia('(prefers-color-scheme: dark)').matches;
  document.documentElement.dataset.theme = wasDark ? 'light' : 'dark';
}

/** Without WebGPU, only what is to be done about it is shown. */
async function start() {
  document.body.classList.remove('without');
  try {
    await ready();
  } catch (error) {
    document.body.classList.add('without');
    $('without-text').textContent = error.message;
    return;
  }
  data ??= await load(new URL('data/digits.csv.gz', import.meta.url));
  training ??= new Training(data);
  showSamples();
  showTraining();
  // There is something to look at before anything was drawn.
  if (shown.isEmpty) $('samples').firstChild.click();
  document.querySelector('main').inert = false;
  document.body.classList.add('ready');
}

const pad = new Pad(
  $('pad'),
  (strokes) => show({ pixels: imageOf(strokes), isEmpty: strokes.length === 0 }),
  (text) => ($('heard').textContent = text),
);
watch(showAdapter, report);
onPress('clear', () => pad.clear());
onPress('train', train);
onPress('reset', reset);
onPress('verify', verify);
onPress('large', large);
onPress('again', start);
onPress('theme', switchTheme);
onPress('more', () => {
  firstSample += SAMPLES;
  showSamples();
});
for (const [name, fail] of Object.entries(failures)) onPress(`fail-${name}`, fail);
$('dismiss').addEventListener('click', () => ($('message').hidden = true));
addEventListener('unhandledrejection', ({ reason }) => report(reason));
attempt(start);
