// The UCI digits: fetched compressed, shuffled by a fixed seed and split, as examples/digits/data.rs does it.

export const CLASSES = 10;
/** The pixels of an image of 8 rows and 8 columns, each 0 (white) to 1 (black). */
export const PIXELS = 64;
const TRAIN = 1347;

/** 1,347 images to train with, in three batches of 449, and 450 to test with. Each is `{ pixels, digits, count }`. */
export async function load(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: ${response.status} ${response.statusText}`);
  const text = await new Response(response.body.pipeThrough(new DecompressionStream('gzip'))).text();
  return split(text);
}

export function split(text) {
  const rows = text.trim().split('\n').map((line) => line.split(',').map(Number));
  shuffle(rows, 2463534242);
  const [train, test] = [rows.slice(0, TRAIN), rows.slice(TRAIN)];
  const size = TRAIN / 3;
  return { batches: [0, 1, 2].map((i) => images(train.slice(i * size, (i + 1) * size))), test: images(test) };
}

/** A Fisher-Yates shuffle, with a xorshift generator. */
function shuffle(items, seed) {
  let state = seed;
  for (let i = items.length - 1; i > 0; i -= 1) {
    state = (state ^ (state << 13)) >>> 0;
    state = (state ^ (state >>> 17)) >>> 0;
    state = (state ^ (state << 5)) >>> 0;
    const other = state % (i + 1);
    [items[i], items[other]] = [items[other], items[i]];
  }
}

function images(rows) {
  const pixels = new Float32Array(rows.length * PIXELS);
  const digits = new Uint32Array(rows.length);
  rows.forEach((row, i) => {
    for (let pixel = 0; pixel < PIXELS; pixel += 1) pixels[i * PIXELS + pixel] = row[pixel] / 16;
    digits[i] = row[PIXELS];
  });
  return { pixels, digits, count: rows.length };
}
