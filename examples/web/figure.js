// From strokes to the image that the network sees, made as the data set was: a bitmap of 32 × 32 that the figure fills, of which each
// block of 4 × 4 is counted. The data set's digits are 32 high and about 24 wide, and have about the same ink, a 1 as much as an 8;
// so the pen is as thick as that takes.

const BITMAP = 32;
const BLOCK = 4;
const SIDE = BITMAP / BLOCK;
/** How wide a figure is at most. */
const WIDTH = 24;
/** Black pixels of a bitmap, the mean of the data set. */
const INK = 312;
/** The pen's width in pixels of the bitmap, at first and at least and at most. */
const [PEN, THINNEST, THICKEST] = [6, 3, 9];

/** The 64 pixels, 0 to 1, of strokes that are lists of points `[x, y]`, in whatever unit. Without a point, all are 0. */
export function imageOf(strokes) {
  const pixels = new Float32Array(SIDE * SIDE);
  if (strokes.flat().length === 0) return pixels;
  const nearest = distances(fitted(strokes, PEN)).sort();
  const pen = Math.min(THICKEST, Math.max(THINNEST, 2 * nearest[INK]));
  distances(fitted(strokes, pen)).forEach((distance, at) => {
    const [x, y] = [at % BITMAP, Math.floor(at / BITMAP)];
    const block = Math.floor(y / BLOCK) * SIDE + Math.floor(x / BLOCK);
    if (distance <= pen / 2) pixels[block] += 1 / (BLOCK * BLOCK);
  });
  return pixels;
}

/** The segments of the strokes, moved and scaled so that with the pen's width they fill the bitmap and are in its middle. */
function fitted(strokes, pen) {
  const points = strokes.flat();
  const range = (axis) => {
    const values = points.map((point) => point[axis]);
    return [Math.min(...values), Math.max(...values)];
  };
  const [[left, right], [top, bottom]] = [range(0), range(1)];
  const [width, height] = [right - left, bottom - top];
  // What is much wider than high, as a dash, stays so.
  const size = Math.max((width * WIDTH) / BITMAP, height);
  const down = size > 0 ? (BITMAP - pen) / size : 0;
  const across = width > 0 ? Math.min(down, (WIDTH - pen) / width) : 0;
  const place = ([x, y]) => [
    BITMAP / 2 + (x - (left + right) / 2) * across,
    BITMAP / 2 + (y - (top + bottom) / 2) * down,
  ];
  return strokes.flatMap((stroke) => stroke.map((point, i) => [place(stroke[Math.max(i - 1, 0)]), place(point)]));
}

/** How far the middle of each pixel of the bitmap is from the nearest segment. */
function distances(segments) {
  return Float32Array.from({ length: BITMAP * BITMAP }, (_, at) => {
    const [x, y] = [(at % BITMAP) + 0.5, Math.floor(at / BITMAP) + 0.5];
    return Math.sqrt(segments.reduce((least, segment) => Math.min(least, squaredDistance(x, y, segment)), Infinity));
  });
}

function squaredDistance(x, y, [[ax, ay], [bx, by]]) {
  const [dx, dy] = [bx - ax, by - ay];
  const length = dx * dx + dy * dy;
  const along = length > 0 ? Math.min(1, Math.max(0, ((x - ax) * dx + (y - ay) * dy) / length)) : 0;
  return (x - ax - along * dx) ** 2 + (y - ay - along * dy) ** 2;
}
