// Softmax, cross-entropy and sampling on the GPU of a browser, from the Rust crate wgpu-softmax.
//
// A matrix is a Float32Array of rows one after the other, each of `classes` numbers. Every call that fails rejects with an Error
// whose message says what was wrong; the next call is as good as if it had not been made. After a lost device, call `init` again.

/** Told, while a call runs, how many rows are done and how many there are. */
export type Progress = (done: number, rows: number) => void;

/** What is fetched, if it is not `wgpu_softmax_web_bg.wasm` beside this file. */
export type WasmSource = string | URL | Request | Response | BufferSource | WebAssembly.Module;

export interface InitOptions {
  /** The WebAssembly module, or where it is. */
  wasm?: WasmSource;
  /** Bytes that travel to the GPU at once, 8 MiB by default: smaller parts stop the page for less time. */
  partBytes?: number;
}

/** The adapter that the browser gave. */
export interface Adapter {
  /** As far as the browser tells it. */
  name: string;
  /** `software` is a fallback adapter; most browsers do not tell more than that, and say `other`. */
  kind: 'discrete' | 'integrated' | 'virtual' | 'software' | 'other';
  /** Whether the kernels use subgroup operations. */
  subgroups: boolean;
  /** Bytes that travel at once. */
  partBytes: number;
  /** The version of wgpu-softmax. */
  version: string;
}

/**
 * Loads the module and takes the browser's fastest adapter. All other calls need it. Called again, it takes a new device, which the
 * calls from then on use.
 */
export function init(options?: InitOptions): Promise<Adapter>;

/**
 * The device that the calls run on, for a page that has buffers of its own: `softmaxBuffer` takes those made with it. Typed as
 * `unknown`, because not every version of TypeScript knows WebGPU: `device() as GPUDevice`.
 */
export function device(): unknown;

/** What is done to each logit first: `softcap(scale · x + bias)`, with `softcap(v) = cap · tanh(v / cap)`. */
export interface Adjust {
  /** 1 by default; the inverse of a temperature. */
  scale?: number;
  /** A number for each class. */
  bias?: Float32Array;
  /** None by default. */
  softcap?: number;
  /** A number for each class, added last; −Infinity excludes a class. */
  mask?: Float32Array;
}

/** What a row of −Infinity alone gives: NaN by default, zeros, or what a row of equal logits gives. */
export type FullyMasked = 'nan' | 'zeros' | 'uniform';

export interface SoftmaxOptions extends Adjust {
  /** Log-probabilities instead of probabilities. */
  log?: boolean;
  /** Fewer instructions; the bits are then no longer the same on every GPU. */
  fast?: boolean;
  fullyMasked?: FullyMasked;
  progress?: Progress;
}

/** The probabilities of each row, laid out as the logits are. */
export function softmax(logits: Float32Array, classes: number, options?: SoftmaxOptions): Promise<Float32Array>;

/** A GPUBuffer, without the types of WebGPU. */
export interface Buffer {
  readonly size: number;
  readonly usage: number;
}

/**
 * Softmax of a buffer of the page's own into another of the same size, both made with `device()`; nothing comes to the host. The
 * logits need `COPY_SRC`, the result `COPY_DST`: they are copied on the GPU, because wgpu 30 binds no buffer that it has not made.
 * It resolves once the browser has found no error in the commands; what is submitted from then on sees the result.
 */
export function softmaxBuffer(
  logits: Buffer,
  result: Buffer,
  classes: number,
  options?: Omit<SoftmaxOptions, 'progress'>,
): Promise<void>;

export interface CrossEntropyOptions extends Adjust {
  /** Whether the gradient of the loss with respect to the logits is wanted. */
  gradient?: boolean;
  /** How the rows' losses become one: `mean` by default. */
  reduction?: 'mean' | 'sum' | 'none';
  /** A weight for each class. */
  weights?: Float32Array;
  /** The share of each target that is spread over all classes, 0 to 1. */
  labelSmoothing?: number;
  /** What the square of each row's lse is multiplied by before it is added to the loss. */
  zLoss?: number;
  /** Rows with this target take no part: −100 by default. */
  ignoreIndex?: number;
  /** The loss of each row. */
  rowLosses?: boolean;
  /** The logarithm of the sum of exponentials of each row. */
  lse?: boolean;
  /** The log-probability of each row's target. */
  logProb?: boolean;
  /** The entropy of each row's probabilities. */
  entropy?: boolean;
  /** The largest class of each row. */
  argmax?: boolean;
  /** How many rows have their target as largest class. */
  correct?: boolean;
  /** Fewer instructions; the bits are then no longer the same on every GPU. */
  fast?: boolean;
  fullyMasked?: FullyMasked;
  progress?: Progress;
}

/** What was asked for; the rest is undefined. */
export interface CrossEntropyOutput {
  /** Unless the reduction is `none`. */
  loss?: number;
  /** The part of the loss that is the z-loss. */
  zLoss?: number;
  /** Laid out as the logits are. */
  gradient?: Float32Array;
  rowLosses?: Float32Array;
  lse?: Float32Array;
  logProb?: Float32Array;
  entropy?: Float32Array;
  argmax?: Uint32Array;
  correct?: number;
  /** Rows that were not ignored. */
  counted: number;
}

/**
 * The cross-entropy of rows and their target classes, and its gradient. A target that is no class and not `ignoreIndex` is an Error
 * that names the row.
 */
export function crossEntropy(
  logits: Float32Array,
  targets: Uint32Array | Int32Array,
  classes: number,
  options?: CrossEntropyOptions,
): Promise<CrossEntropyOutput>;

/** A number for all rows, or one for each. */
export type PerRow = number | readonly number[] | Float32Array | Uint32Array;

export interface SampleOptions extends Adjust {
  /** 1 by default; 0 takes the largest class. */
  temperature?: PerRow;
  /** How many classes are kept at most; 0, the default, keeps all. */
  topK?: PerRow;
  /** The share of the probability that is kept; 1, the default, keeps all. */
  topP?: PerRow;
  /** The least probability that is kept, as a share of the largest; 0, the default, keeps all. */
  minP?: PerRow;
  /** Whether `topP` is a share of all classes, rather than of those that `topK` and `minP` leave. */
  joint?: boolean;
  /**
   * A whole number, 0 by default, for all rows or for each. Equal logits with equal seeds and positions have equal tokens; rows
   * that are to differ need different seeds.
   */
  seed?: number | bigint | readonly (number | bigint)[];
  /** The number of the token in its sequence, 0 by default: another one for each step. */
  position?: number | bigint | readonly (number | bigint)[];
  repetitionPenalty?: PerRow;
  presencePenalty?: PerRow;
  frequencyPenalty?: PerRow;
  /** The tokens so far, as many for each row; 0xFFFFFFFF fills up shorter ones. */
  history?: Uint32Array;
  /** How many of the history's tokens are the prompt. */
  promptLength?: PerRow;
  /** A bit for each class that may be drawn, 32 to a word: the same for all rows, or for each. */
  allowed?: Uint32Array;
  /** Whose log-probabilities are reported: the model's, or those that the token was drawn with. */
  logProbs?: 'model' | 'final';
  /** The number of classes before each token, in the order of falling probability. */
  ranks?: boolean;
  /** The number of classes that the filters left of each row. */
  kept?: boolean;
  /** How many of the largest classes are reported of each row, at most 128; needs `logProbs`. */
  topN?: number;
  /** The probabilities that the tokens were drawn with. */
  probs?: boolean;
  progress?: Progress;
}

/** What was asked for; the rest is undefined. */
export interface SampleOutput {
  /** A class for each row, or 0xFFFFFFFF where a row has none. */
  tokens: Uint32Array;
  logProbs?: Float32Array;
  ranks?: Uint32Array;
  kept?: Uint32Array;
  /** `topN` for each row. */
  topIds?: Uint32Array;
  topLogProbs?: Float32Array;
  /** Laid out as the logits are. */
  probs?: Float32Array;
}

/** Draws a class of each row. The same logits and options give the same tokens on every GPU. */
export function sample(logits: Float32Array, classes: number, options?: SampleOptions): Promise<SampleOutput>;

/** What one check found. */
export interface Check {
  /** For example `softmax/f32` or `twin/sample`. */
  name: string;
  /** Results compared, each a whole array. */
  cases: number;
  /** How many of them were not as promised. */
  failed: number;
  /** Cases of more elements than `mostElements`. */
  skipped: number;
  /** The largest error, in units in the last place. */
  maxUlp?: number;
  meanUlp?: number;
  /** Of the bits, 16 hexadecimal digits: the same on every adapter. */
  hash?: string;
  /** The first case that failed. */
  firstFailure?: string;
}

export interface VerifyOptions {
  /** Only checks in whose name this is: `twin`, say. */
  only?: string;
  /** Cases of more logits are skipped, and counted as skipped: for slow adapters. 2,097,152 by default. */
  mostElements?: number;
  /** Called with each check as it ends, the number of checks done, and how many there are. */
  progress?: (check: Check, done: number, checks: number) => void;
}

export interface VerifyOutput {
  checks: Check[];
  /** Failed cases of all checks: 0 if all is well. */
  failed: number;
  /** The checks as a table of text, as the command line prints it. */
  table: string;
}

/**
 * Checks on this adapter what the crate promises; 'twin' in a minute, everything in some minutes. The small package has no `verify`
 * in it, and rejects.
 */
export function verify(options?: VerifyOptions): Promise<VerifyOutput>;
