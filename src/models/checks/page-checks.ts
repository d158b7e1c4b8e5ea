import type { Copy, LayerPage } from '../../cache/cache-page.ts';
import type { ModelConfig } from '../../config/model-config.ts';
import type { Device } from '../../gpu/device.ts';
import type { Recorder } from '../../gpu/recorder.ts';
import type { Check } from '../../gpu/self-check.ts';
import { CODE_BITS, type QuantizedForm } from '../../kernels/formats/page-forms.ts';
import { PAGE_TOKENS } from '../../kernels/heads.ts';
import { FOUND_BYTES, FOUND_FLOATS } from '../../kernels/pages.ts';
import { type PagedAttention, PageForms } from '../../layers/attention.ts';
import { floatToHalf } from '../../weights/float-tensor.ts';
import {
  attentionInputs,
  type AttentionInputs,
  CheckedLayer,
  keysAndValues,
  scaleOf,
  softmax,
  type Span,
  turned,
} from './attention-checks.ts';
import { anyNumbers, dot, rotatedValue, storedRows } from './known-values.ts';

/** Keys, then values, `[numKvHeads, entries]` each. */
type PageContents = Float32Array[];

/** Step of the value codes, in standard deviations of a normal distribution; see quantize-page.wgsl. */
const BELL_STEPS: Record<number, number> = { 2: 0.9957, 3: 0.586, 4: 0.3352 };

/** A page that a form stores almost exactly: every number is the value of a code, and all codes occur. */
export function codedPage({ numKvHeads, headDim }: ModelConfig, form: QuantizedForm, seed: number): PageContents {
  const { key, value } = CODE_BITS[form];
  const next = anyNumbers();
  for (let i = 0; i < seed; i++) next();
  return Array.from({ length: 2 * numKvHeads * PAGE_TOKENS }, (_, i) => {
    const token = i % PAGE_TOKENS;
    if (i < numKvHeads * PAGE_TOKENS)
      return Float32Array.from({ length: headDim }, (__, c) => keyOf(c, token, { bits: key, headDim, next }));
    return rotatedValue(
      codedValue(token, { bits: value, headDim, next }).map((number) => number * (0.5 + (token % 3) / 8)),
    );
  });
}

interface Coded {
  bits: number;
  headDim: number;
  next: () => number;
}

/** A key channel's number. Channels come in groups of eight with different ranges and codes; the first two tokens are the range's ends. */
function keyOf(channel: number, token: number, { bits, headDim, next }: Coded): number {
  const eights = headDim / 8;
  const eight = Math.floor(channel / 4) % eights;
  const rank = eight % 2 === 0 ? eight / 2 : eights - (eight + 1) / 2;
  const largest = 2 ** (bits === 8 ? bits : bits + wider(rank, eights)) - 1;
  const code = token < 2 ? token * largest : Math.floor(next() * (largest + 1));
  return -0.75 + (channel % 3) / 8 + (1.5 - rank / eights) * (code / largest);
}

/** Extra bits: +1 for the quarter of the groups of 16 channels with the largest range, −1 for the quarter with the smallest. */
function wider(rank: number, eights: number): number {
  const sixteens = Math.floor(eights / 2);
  const quarter = Math.floor(sixteens / 4);
  const place = Math.floor(rank / 2);
  return Number(place < quarter) - Number(place >= sixteens - quarter);
}

/** A stored value: centred codes in random order, uniform for 8 bits, normally distributed for fewer. */
function codedValue(token: number, { bits, headDim, next }: Coded): Float32Array {
  const largest = 2 ** bits - 1;
  const step = BELL_STEPS[bits] ?? 2 / largest;
  const offset = (token + 0.5) / PAGE_TOKENS;
  const shares = Array.from({ length: largest + 1 }, (_, code) =>
    bits === 8 ? 1 : Math.exp(-(((code - largest / 2) * step) ** 2) / 2),
  );
  const whole = shares.reduce((sum, share) => sum + share, 0);
  const value = new Float32Array(headDim);
  let [code, below] = [0, 0];
  for (let i = 0; i < headDim; i++) {
    while (code < largest && below + shares[code]! < ((i + offset) / headDim) * whole) below += shares[code++]!;
    const place = Math.floor(next() * (i + 1));
    value[i] = value[place]!;
    value[place] = (code - largest / 2) * step;
  }
  return value;
}

/** A page that takes other forms, and part of the next page. */
const TOKENS = PAGE_TOKENS + 10;
export const PROMPT: Span = { kind: 'prefill', start: PAGE_TOKENS + 1, end: TOKENS, allF16: false };
const STEP: Span = { kind: 'decode', start: TOKENS - 1, end: TOKENS, allF16: false };
const FORMS: readonly QuantizedForm[] = ['q8', 'q4', 'q3', 'k3v2'];

/** Checks quantization of pages, attention to them, and the probe of a changed page. */
export function pageChecks(device: Device, { window: _, ...config }: ModelConfig): Check[] {
  const { numHeads, headDim } = config;
  const { inputs, layer, next } = twoPages(device, config);
  const copies = layer.cache.copies(
    layer.pages,
    FORMS.map((form) => ({ page: 0, layer: 0, form, entries: PAGE_TOKENS })),
  );
  const row = numHeads * headDim;
  const attends = (form: QuantizedForm, place: number): Check[] => {
    const [copy, contents] = [copies[place] as Copy, [codedPage(config, form, 1), next]];
    return [STEP, PROMPT].map((span) => ({
      name: `attention to pages in ${form}, ${numHeads} / ${config.numKvHeads} × ${headDim}`,
      make() {
        const [forms, attend] = [new PageForms(layer.place, layer.buffers), layer.attention()];
        return (recorder) => {
          writePages(device, layer, contents);
          layer.cache.writeTasks(layer.pages, copies);
          forms.quantize(recorder, place, 1);
          recorder.submit();
          attendTo(layer, copy.to, attend, { recorder, span });
        };
      },
      result: [{ buffer: layer.activations.attended, offset: 0, size: (span.end - span.start) * row * 4 }],
      read: (bytes) => new Float32Array(bytes),
      expected: Array.from({ length: span.end - span.start }, (_, i) =>
        attendedTo(config, inputs, span.start + i, contents).flatMap(({ output }) => [...output]),
      ).flat(),
      row,
    }));
  };
  const probed = [codedPage(config, 'q8', 1), next, codedPage(config, 'q8', 2)];
  return [...FORMS.flatMap(attends), probeCheck(layer, device, { config, inputs, contents: probed })];
}

/** The inputs of a text of two pages, the second of which is not full, and the layer that attends to it. */
export function twoPages(device: Device, config: ModelConfig) {
  const inputs = attentionInputs({ ...config, qkNorm: false }, TOKENS); // queries are normed before they come here
  const layer = new CheckedLayer(device, config, inputs);
  layer.hold(3 * PAGE_TOKENS);
  return { inputs, layer, next: nextPage(config, inputs) };
}

/** Attends with `first` in place of the first page. */
export function attendTo(
  layer: CheckedLayer,
  first: LayerPage,
  attend: PagedAttention,
  { recorder, span }: { recorder: Recorder; span: Span },
): void {
  layer.cache.show(0, [{ base: 0, layers: [first] }, ...layer.pages.slice(1)]);
  layer.run(recorder, attend, span);
}

/** Checks the change of the latest query's output with the third page in place of the first. */
function probeCheck(
  layer: CheckedLayer,
  device: Device,
  { config, inputs, contents }: { config: ModelConfig; inputs: AttentionInputs; contents: PageContents[] },
): Check {
  const [first, second, third] = contents as [PageContents, PageContents, PageContents];
  const [from, , to] = layer.layerPages() as [LayerPage, LayerPage, LayerPage];
  const now = attendedTo(config, inputs, TOKENS - 1, [first, second]);
  const then = attendedTo(config, inputs, TOKENS - 1, [third, second]);
  const expected = now.map(({ output }, head) => {
    const moved = then[head]!.output.map((value, i) => value - output[i]!);
    return Math.sqrt(dot(moved, moved) / dot(output, output));
  });
  return {
    name: `probe-page ${config.numHeads} / ${config.numKvHeads} × ${config.headDim}`,
    make() {
      const [forms, attend] = [new PageForms(layer.place, layer.buffers), layer.attention()];
      return (recorder) => {
        writePages(device, layer, contents);
        attendTo(layer, from, attend, { recorder, span: STEP });
        layer.cache.writeTasks(layer.pages, [{ page: 0, layer: 0, form: 'q8', from, to }]);
        forms.probe(recorder, 0, 1, { slot: 0, queries: 1, position: TOKENS - 1 });
      };
    },
    result: [{ buffer: layer.buffers.errors, offset: 0, size: expected.length * FOUND_BYTES }],
    read: (bytes) => relativeChanges(new Float32Array(bytes)),
    expected,
    row: 1,
  };
}

/** The relative change of each head's output, from probe-page's results. */
const relativeChanges = (found: Float32Array): Float32Array =>
  Float32Array.from({ length: found.length / FOUND_FLOATS }, (_, i) =>
    Math.sqrt(found[i * FOUND_FLOATS]! / found[i * FOUND_FLOATS + 1]!),
  );

/** Contents of the second page: the stored tokens after the first page. */
function nextPage(config: ModelConfig, inputs: AttentionInputs): PageContents {
  const { numKvHeads, headDim } = config;
  const stored = keysAndValues({ ...config, qkNorm: false }, inputs, PAGE_TOKENS);
  return Array.from({ length: 2 * numKvHeads * PAGE_TOKENS }, (_, i) => {
    const [part, head, token] = [
      Math.floor(i / (numKvHeads * PAGE_TOKENS)),
      Math.floor(i / PAGE_TOKENS) % numKvHeads,
      PAGE_TOKENS + (i % PAGE_TOKENS),
    ];
    return token < TOKENS ? stored[(part * TOKENS + token) * numKvHeads + head]! : new Float32Array(headDim);
  });
}

/** Writes the contents of the first pages. */
export function writePages(device: Device, layer: CheckedLayer, contents: readonly PageContents[]): void {
  const ranges = layer.buffers.pages.ranges(layer.layerPages());
  contents.forEach((page, i) => {
    const { buffer, offset } = ranges[i]!;
    const halves = Uint16Array.from(
      storedRows(page).flatMap((row) => [...row]),
      floatToHalf,
    );
    device.gpuDevice.queue.writeBuffer(buffer, offset, halves);
  });
}

/** Attention of a token after the first page, by head: its output, and the scores of all entries. */
export function attendedTo(
  config: ModelConfig,
  { qkv, rope }: AttentionInputs,
  token: number,
  pages: readonly PageContents[],
) {
  const { numHeads, numKvHeads, headDim } = config;
  const width = (numHeads + 2 * numKvHeads) * headDim;
  return Array.from({ length: numHeads }, (_, head) => {
    const query = qkv.subarray(token * width + head * headDim, token * width + (head + 1) * headDim);
    const shared = Math.floor((head * numKvHeads) / numHeads);
    const rows = (part: number): Float32Array[] =>
      pages
        .slice(0, 2)
        .flatMap((page) =>
          page.slice((part * numKvHeads + shared) * PAGE_TOKENS, (part * numKvHeads + shared + 1) * PAGE_TOKENS),
        )
        .slice(0, token + 1);
    const scale = scaleOf(config, token);
    const scaled = (rotated: Float32Array): Float32Array => rotated.map((value, i) => value * scale(i));
    const scores = rows(0).map((key, past) =>
      dot(scaled(turned(query, rope, token - (past < PAGE_TOKENS ? 0 : PAGE_TOKENS))), key),
    );
    return { ...softmax(scores, rows(1)), scores };
  });
}
