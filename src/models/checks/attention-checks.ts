import type { CachePage, LayerPage } from '../../cache/cache-page.ts';
import { KvCache } from '../../cache/kv-cache.ts';
import type { LayerPages } from '../../cache/layer-pages.ts';
import { type ModelConfig, windowOfLayer } from '../../config/model-config.ts';
import type { Device } from '../../gpu/device.ts';
import { createOperation, type Operation, type Recorder } from '../../gpu/recorder.ts';
import type { Check } from '../../gpu/self-check.ts';
import { PAGE_TOKENS, pageBytes } from '../../kernels/heads.ts';
import { storeKvKernel } from '../../kernels/pages.ts';
import { type Activations, createActivations, type LayerPlace } from '../../layers/activation-buffers.ts';
import { type AttentionBuffers, PagedAttention } from '../../layers/attention.ts';
import { type Batch, batchTable } from '../../layers/batch.ts';
import { halfToFloat } from '../../weights/float-tensor.ts';
import { ropeTable } from '../rope-table.ts';
import { anyHalves, anyNumbers, bufferOf, dot, rmsNormed, storedRows } from './known-values.ts';

/** Approximate standard deviation of the scores, so that attention is not uniform. */
const LOUD = 2;

/** Inputs of an attention layer. */
export interface AttentionInputs {
  /** `[tokens, (numHeads + 2 numKvHeads) headDim]` */
  qkv: Float32Array<ArrayBuffer>;
  rope: Float32Array<ArrayBuffer>;
  /** Norm weights of queries and keys, with qkNorm. */
  queryNorm: Float32Array<ArrayBuffer>;
  keyNorm: Float32Array<ArrayBuffer>;
}

export function attentionInputs(config: ModelConfig, tokens: number): AttentionInputs {
  const { numHeads, numKvHeads, headDim, qkNorm } = config;
  const next = anyNumbers();
  const width = (numHeads + 2 * numKvHeads) * headDim;
  const gain = LOUD / (scaleOf(config, 0)(0) * Math.sqrt(headDim));
  const qkv = anyHalves(tokens * width, next).map((value, i) =>
    !qkNorm && i % width < numHeads * headDim ? gain * value : value,
  );
  const queryNorm = anyHalves(headDim, next).map((weight) => gain * weight);
  return { qkv, rope: ropeTable(config, tokens), queryNorm, keyNorm: anyHalves(headDim, next) };
}

/** Keys, rotated by their position within pages of `pageTokens`, and values: `[2, tokens, numKvHeads, headDim]`. */
export function keysAndValues(config: ModelConfig, inputs: AttentionInputs, pageTokens: number): Float32Array[] {
  const { numHeads, numKvHeads } = config;
  const heads = headsOf(config, inputs.qkv);
  const tokens = heads.length / (numHeads + 2 * numKvHeads);
  const ones = new Float32Array(config.headDim).fill(1);
  const all = Array.from({ length: 2 * tokens * numKvHeads }, (_, i): Float32Array => {
    const [token, head] = [Math.floor(i / numKvHeads) % tokens, i % numKvHeads];
    const at = token * (numHeads + 2 * numKvHeads) + numHeads + head;
    if (i >= tokens * numKvHeads)
      return config.valueNorm ? rmsNormed(heads[at + numKvHeads]!, ones, config.rmsNormEps) : heads[at + numKvHeads]!;
    return turned(normed(config, heads[at]!, inputs.keyNorm), inputs.rope, token % pageTokens);
  });
  return all;
}

/** Reference attention of the model's first layer `[tokens, numHeads headDim]`. */
export function attended(config: ModelConfig, inputs: AttentionInputs): Float32Array {
  const { numHeads, numKvHeads, headDim } = config;
  const heads = headsOf(config, inputs.qkv);
  const width = numHeads + 2 * numKvHeads;
  const tokens = heads.length / width;
  const stored = keysAndValues(config, inputs, tokens);
  const all = new Float32Array(tokens * numHeads * headDim);
  for (let token = 0; token < tokens; token++) {
    for (let head = 0; head < numHeads; head++) {
      const scale = scaleOf(config, token);
      const query = turned(normed(config, heads[token * width + head]!, inputs.queryNorm), inputs.rope, token).map(
        (value, i) => value * scale(i),
      );
      const own = stored.filter((_, i) => i % numKvHeads === Math.floor((head * numKvHeads) / numHeads));
      const first = Math.max(0, token + 1 - (windowOfLayer(config, 0) ?? Infinity));
      const { output } = softmax(
        own.slice(first, token + 1).map((key) => dot(query, key)),
        own.slice(tokens + first),
      );
      all.set(output, (token * numHeads + head) * headDim);
    }
  }
  return all;
}

/** Softmax-weighted mean of the values, and the weights. */
export function softmax(
  scores: readonly number[],
  values: readonly Float32Array[],
): { output: Float32Array; weights: number[] } {
  const powers = scores.map((score) => Math.exp(score));
  const sum = powers.reduce((total, power) => total + power, 0);
  const output = new Float32Array(values[0]!.length);
  powers.forEach((power, past) => values[past]!.forEach((value, i) => (output[i]! += (power / sum) * value)));
  return { output, weights: powers.map((power) => power / sum) };
}

/** Scale of the i-th component of a rotated query at `position`. */
export function scaleOf(config: ModelConfig, position: number): (i: number) => number {
  const {
    headDim,
    attentionScale = 1 / Math.sqrt(headDim),
    rotaryDim = headDim,
    rotaryScale = 1,
    temperature,
  } = config;
  const scale =
    attentionScale * (temperature ? 1 + temperature.beta * Math.log(1 + Math.floor(position / temperature.tokens)) : 1);
  return (i) => (i % (headDim / 2) < rotaryDim / 2 ? scale * rotaryScale ** 2 : scale);
}

/** Applies RoPE with the table's row of `position`. */
export function turned(x: Float32Array, rope: Float32Array, position: number): Float32Array {
  const half = x.length / 2;
  const row = rope.subarray(position * x.length, (position + 1) * x.length);
  return x.map((value, i) =>
    i < half ? value * row[i]! - x[half + i]! * row[half + i]! : value * row[i - half]! + x[i - half]! * row[i]!,
  );
}

const normed = ({ qkNorm, rmsNormEps }: ModelConfig, x: Float32Array, weight: Float32Array): Float32Array =>
  qkNorm ? rmsNormed(x, weight, rmsNormEps) : x;

function headsOf({ headDim }: ModelConfig, qkv: Float32Array): Float32Array[] {
  return Array.from({ length: qkv.length / headDim }, (_, i) => qkv.subarray(i * headDim, (i + 1) * headDim));
}

/** More pages than a check needs, so that pages never move. */
const PAGES = 8;
/** Tokens of the activations; more than a check needs. */
const MOST_TOKENS = 64;

/** Tokens of a text from `start` up to `end`, as a batch. */
export interface Span {
  kind: Batch['kind'];
  start: number;
  end: number;
  /** All pages are in f16. */
  allF16: boolean;
  /** Tokens of the batch's longest text; default: `end`. Long texts are computed in splits, which are merged. */
  longest?: number;
  measured?: Batch['measured'];
}

/** One attention layer of a model with a KV cache, for checks. */
export class CheckedLayer {
  readonly cache: KvCache;
  readonly pages: CachePage[] = [];
  readonly activations: Activations;
  readonly place: LayerPlace;
  readonly buffers: AttentionBuffers;
  readonly #norms: Record<string, GPUBuffer>;

  constructor(
    private readonly device: Device,
    model: ModelConfig,
    private readonly inputs: AttentionInputs,
  ) {
    const parts = {
      convolution: undefined,
      deltaNet: undefined,
      gatesAttention: false,
      experts: undefined,
      sharedKeys: undefined,
      perLayerInputs: undefined,
    };
    const config = { ...model, ...parts, numLayers: 1, hiddenSize: 32, intermediateSize: 32, vocabSize: 32 };
    const cache = new KvCache(device, config, { numPages: PAGES });
    this.cache = cache;
    this.activations = createActivations(device, config, MOST_TOKENS);
    this.place = { device, layer: 0, config, activations: this.activations };
    const { tasks, errors, probes, sparse, numPages: slotPages } = cache;
    const [pages, table] = [cache.layers[0] as LayerPages, cache.tables[0] as GPUBuffer];
    this.buffers = { pages, table, slotPages, tasks, errors, probes, sparse, rope: bufferOf(device, inputs.rope) };
    this.#norms = config.qkNorm
      ? { query_norm_weight: bufferOf(device, inputs.queryNorm), key_norm_weight: bufferOf(device, inputs.keyNorm) }
      : {};
  }

  /** Allocates pages for a text of `tokens` tokens. */
  hold(tokens: number): void {
    this.cache.resize(this.pages, tokens);
    this.cache.show(0, this.pages);
  }

  /** The layer's pages. */
  layerPages(): LayerPage[] {
    return this.pages.map(({ layers }) => layers[0] as LayerPage);
  }

  storing(): Operation<{ tokens: number }> {
    const { device, buffers, activations } = this;
    const { batchTable: batch_table, qkv } = activations;
    const { pages, table, rope } = buffers;
    return createOperation(device, storeKvKernel(device, this.place.config), {
      batch_table,
      qkv,
      kv: pages.buffer,
      pages: table,
      rope,
      ...this.#norms,
    });
  }

  attention(): PagedAttention {
    return new PagedAttention(this.place, this.buffers);
  }

  /** Uploads the inputs of these tokens. */
  write({ start, end }: Pick<Span, 'start' | 'end'>): void {
    const { qkv, rope } = this.inputs;
    const width = (qkv.length / rope.length) * this.place.config.headDim;
    const places = Array.from({ length: end - start }, (_, i) => ({
      place: 0,
      position: start + i,
      firstPage: 0,
      page: Math.floor((start + i) / PAGE_TOKENS),
    }));
    const { queue } = this.device.gpuDevice;
    queue.writeBuffer(this.activations.batchTable, 0, batchTable(places));
    queue.writeBuffer(this.activations.qkv, 0, qkv, start * width, (end - start) * width);
  }

  /** Stores keys and values with `store`, unless the attention kernel does, attends, and submits. */
  run(recorder: Recorder, attend: PagedAttention, span: Span, store?: Operation<{ tokens: number }>): void {
    const { kind, start, end, allF16, longest = end, measured } = span;
    const batch = {
      kind,
      tokens: end - start,
      length: longest,
      onePerSequence: kind === 'decode',
      allF16,
      measured,
    };
    this.write(span);
    if (store && !attend.stores(batch)) recorder.run(store, store.groups(batch));
    attend.record(recorder, batch);
    recorder.submit();
  }
}

/** Prefilled tokens: a page and part of the next; one decoded token follows. */
const PREFILLED = 41;
const TOKENS = PREFILLED + 1;

/** Window of the check: shorter than a page and the text. */
const WINDOW = 20;

const PROMPT: Span = { kind: 'prefill', start: 0, end: PREFILLED, allF16: true };
/** Few enough tokens for attention in splits. */
const END: Span = { ...PROMPT, start: PREFILLED - 11 };
const BEFORE_END: Span = { ...PROMPT, end: END.start };
const STEP: Span = { kind: 'decode', start: PREFILLED, end: TOKENS, allF16: true };
const STEP_BESIDE_LONG: Span = { ...STEP, longest: 2048 };

/** Checks storing keys and values, with norm and RoPE, and attention to them: by many tokens, by a few later ones and by one; whole and in splits. */
export function attentionChecks(device: Device, { window, ...config }: ModelConfig): Check[] {
  const all = checksOf(device, config);
  if (!window) return all;
  const { headDim = config.headDim } = window;
  return [...all, ...checksOf(device, { ...config, headDim, window: { tokens: WINDOW, layers: [0] } })];
}

function checksOf(device: Device, config: ModelConfig): Check[] {
  const { numHeads, numKvHeads, headDim } = config;
  const shape = `${numHeads} / ${numKvHeads} × ${headDim}`;
  const inputs = attentionInputs(config, TOKENS);
  const layer = new CheckedLayer(device, config, inputs);
  layer.hold(TOKENS);
  const expected = attended(config, inputs);
  const row = numHeads * headDim;
  const attends = (spans: readonly Span[], { start, end }: Span): Check => ({
    name: `attention ${shape}`,
    make() {
      const [store, attend] = [layer.storing(), layer.attention()];
      return (recorder) => {
        for (const span of spans) layer.run(recorder, attend, span, store);
      };
    },
    result: [{ buffer: layer.activations.attended, offset: 0, size: (end - start) * row * 4 }],
    read: (bytes) => new Float32Array(bytes),
    expected: expected.subarray(start * row, end * row),
    row,
  });
  return [
    storeCheck(layer, shape, config, inputs),
    attends([PROMPT], PROMPT),
    attends([BEFORE_END, END], END),
    attends([PROMPT, STEP], STEP),
    attends([PROMPT, STEP_BESIDE_LONG], STEP),
  ];
}

function storeCheck(layer: CheckedLayer, shape: string, config: ModelConfig, inputs: AttentionInputs): Check {
  const { numKvHeads, headDim } = config;
  const expected = storedRows(keysAndValues(config, inputs, PAGE_TOKENS));
  const pageHalves = pageBytes(config) / 2;
  // Keys, then values of a page are `[numKvHeads, PAGE_TOKENS, headDim]`.
  const start = (row: number): number => {
    const [part, token] = [Math.floor(row / (TOKENS * numKvHeads)), Math.floor(row / numKvHeads) % TOKENS];
    const head = part * numKvHeads + (row % numKvHeads);
    return Math.floor(token / PAGE_TOKENS) * pageHalves + (head * PAGE_TOKENS + (token % PAGE_TOKENS)) * headDim;
  };
  return {
    name: `store-kv ${shape}`,
    make() {
      const store = layer.storing();
      return (recorder) => {
        layer.write({ start: 0, end: TOKENS });
        recorder.run(store, store.groups({ tokens: TOKENS }));
      };
    },
    result: layer.buffers.pages.ranges(layer.layerPages()),
    read(bytes) {
      const halves = new Uint16Array(bytes);
      return expected.flatMap((_, row) => Array.from(halves.subarray(start(row), start(row) + headDim), halfToFloat));
    },
    expected: expected.flatMap((row) => [...row]),
    row: headDim,
  };
}
