import type { ModelConfig } from '../../config/model-config.ts';
import type { Device } from '../../gpu/device.ts';
import type { Check } from '../../gpu/self-check.ts';
import { PAGE_TOKENS, pageBytes } from '../../kernels/heads.ts';
import { halfToFloat } from '../../weights/float-tensor.ts';
import { attended, attentionInputs, type AttentionInputs, keysAndValues } from './attention-answers.ts';
import { CheckedLayer, type Span } from './checked-layer.ts';
import { storedRows } from './plain-math.ts';

/** A page and some of the next; then one more. */
const PREFILLED = 41;
const TOKENS = PREFILLED + 1;

/** That of a layer with one: less than a page, and than the text. */
const WINDOW = 20;

const PROMPT: Span = { kind: 'prefill', start: 0, end: PREFILLED, halfOnly: true };
/** So few tokens that their pages may be split. */
const END: Span = { ...PROMPT, start: PREFILLED - 11 };
const BEFORE_END: Span = { ...PROMPT, end: END.start };
const STEP: Span = { kind: 'decode', start: PREFILLED, end: TOKENS, halfOnly: true };
const STEP_BESIDE_LONG: Span = { ...STEP, longest: 2048 };

/** A layer's keys and values are stored, normed and rotated as the model's are, and attended to: by many tokens, by few behind them, and by one; in one go and in splits. */
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
