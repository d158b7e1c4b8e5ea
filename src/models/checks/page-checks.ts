import type { Copy, LayerPage } from '../../cache/cache-page.ts';
import type { ModelConfig } from '../../config/model-config.ts';
import type { Device } from '../../gpu/device.ts';
import type { Recorder } from '../../gpu/recorder.ts';
import type { Check } from '../../gpu/self-check.ts';
import { PAGE_TOKENS } from '../../kernels/heads.ts';
import type { QuantizedForm } from '../../kernels/formats/page-forms.ts';
import { FOUND_BYTES, FOUND_FLOATS } from '../../kernels/probe-page.ts';
import { PageForms } from '../../layers/page-forms.ts';
import type { PagedAttention } from '../../layers/paged-attention.ts';
import { floatToHalf } from '../../weights/float-tensor.ts';
import { attentionInputs, type AttentionInputs, keysAndValues, scaleOf, softmax, turned } from './attention-answers.ts';
import { CheckedLayer, type Span } from './checked-layer.ts';
import { codedPage, type PageContents } from './coded-page.ts';
import { dot, storedRows } from './plain-math.ts';

/** A page, which takes other forms, some tokens of the next, and a whole one that stands in for the first. */
const TOKENS = PAGE_TOKENS + 10;
const PROMPT: Span = { kind: 'prefill', start: PAGE_TOKENS + 1, end: TOKENS, halfOnly: false };
const STEP: Span = { kind: 'decode', start: TOKENS - 1, end: TOKENS, halfOnly: false };
const FORMS: readonly QuantizedForm[] = ['q8', 'q4', 'q3', 'k3v2'];

/** Pages of codes are written and attended to, and what another page would change is found. */
export function pageChecks(device: Device, { window: _, ...config }: ModelConfig): Check[] {
  const { numHeads, headDim } = config;
  const inputs = attentionInputs({ ...config, qkNorm: false }, TOKENS); // queries are normed before they come here
  const next = nextPage(config, inputs);
  const layer = new CheckedLayer(device, config, inputs);
  layer.hold(3 * PAGE_TOKENS);
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

/** With this page in place of the first. */
function attendTo(
  layer: CheckedLayer,
  first: LayerPage,
  attend: PagedAttention,
  { recorder, span }: { recorder: Recorder; span: Span },
): void {
  layer.cache.show(0, [{ base: 0, layers: [first] }, ...layer.pages.slice(1)]);
  layer.run(recorder, attend, span);
}

/** How far the latest query's outputs would move with the third page in place of the first, and what that has of them. */
function probeCheck(
  layer: CheckedLayer,
  device: Device,
  { config, inputs, contents }: { config: ModelConfig; inputs: AttentionInputs; contents: PageContents[] },
): Check {
  const [first, second, third] = contents as [PageContents, PageContents, PageContents];
  const [from, , to] = layer.layerPages() as [LayerPage, LayerPage, LayerPage];
  const now = attendedTo(config, inputs, TOKENS - 1, [first, second]);
  const then = attendedTo(config, inputs, TOKENS - 1, [third, second]);
  const expected = now.flatMap(({ output, weights }, head) => {
    const moved = then[head]!.output.map((value, i) => value - output[i]!);
    return [
      Math.sqrt(dot(moved, moved) / dot(output, output)),
      weights.slice(0, PAGE_TOKENS).reduce((sum, weight) => sum + weight, 0),
    ];
  });
  return {
    name: `probe-page ${config.numHeads} / ${config.numKvHeads} × ${config.headDim}`,
    make() {
      const [forms, attend] = [new PageForms(layer.place, layer.buffers), layer.attention()];
      return (recorder) => {
        writePages(device, layer, contents);
        attendTo(layer, from, attend, { recorder, span: STEP });
        layer.cache.writeTasks(layer.pages, [{ page: 0, layer: 0, form: 'q8', entries: PAGE_TOKENS, from, to }]);
        forms.probe(recorder, 0, 1, { slot: 0, queries: 1, position: TOKENS - 1 });
      };
    },
    result: [{ buffer: layer.buffers.errors, offset: 0, size: (expected.length / 2) * FOUND_BYTES }],
    read: (bytes) => relativeChanges(new Float32Array(bytes)),
    expected,
    row: 2,
  };
}

/** Of what probe-page finds: the relative change and the share of attention. */
const relativeChanges = (found: Float32Array): Float32Array =>
  Float32Array.from({ length: (2 * found.length) / FOUND_FLOATS }, (_, i) => {
    const at = (i >> 1) * FOUND_FLOATS;
    return i % 2 === 0 ? Math.sqrt(found[at]! / found[at + 1]!) : found[at + 2]!;
  });

/** What storing the tokens behind the first page makes of their own. */
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

/** Those of the first pages. */
function writePages(device: Device, layer: CheckedLayer, contents: readonly PageContents[]): void {
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

/** Of a token behind the first page, head by head. */
function attendedTo(
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
    return softmax(scores, rows(1));
  });
}
