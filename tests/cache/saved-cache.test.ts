import { expect, test } from 'vitest';
import { layerPageUnits, type PageState, type SavedPage, savedPageUnits } from '../../src/cache/cache-page.ts';
import { decodeSavedCache, encodeSavedCache, type SavedCache, SAVED_VERSION } from '../../src/cache/saved-cache.ts';
import { type DeltaNet, stateBytes } from '../../src/config/model-config.ts';
import { pageUnits, UNIT_BYTES } from '../../src/kernels/formats/page-forms.ts';
import { Random } from '../support/random.ts';

const CONFIG = { numLayers: 2, numKvHeads: 1, headDim: 16, hiddenSize: 32, vocabSize: 300 };
const FOR = { hash: 'abc', config: CONFIG };
const PRELUDE = 16;

const page = (form: PageState['form']): SavedPage => ({ form, entries: 32 });
const SPARSE = { form: 'sparse', entries: 20, slots: [{ from: 32, entries: 20 }] } as const;
const MEASURED = { ...page('k3v2'), slots: [{ from: 0, entries: 32 }] };
/** Three pages of two layers, in every form. */
const PAGES: SavedPage[][] = [
  [page('f16'), page('q3')],
  [page('q4'), { ...SPARSE, squared: true }],
  [MEASURED, { ...page('q8'), squared: true }],
];

const LOSS = { layer: 1, form: 'q4' as const, change: 0.5, size: 2, queries: 3, bytes: 512 };
const PROBED = { pages: 12, losses: [LOSS] };

const SPANS = [
  { from: 0, key: '' },
  { from: 60, key: 'f00×1 {}' },
];

function saved(): SavedCache {
  const random = new Random(1);
  const layers = [0, 1].map((layer) => {
    const units = PAGES.reduce((sum, layers) => sum + savedPageUnits(CONFIG, layer, layers[layer]!), 0);
    const measures = [32, 20 + 20 + 32][layer]!;
    return Uint8Array.from({ length: units * UNIT_BYTES + measures * 4 }, () => random.below(256));
  });
  const tokens = Array.from({ length: 70 }, () => random.below(300));
  return {
    text: {
      ...{ model: 'abc', tokens, adapters: SPANS, policy: 'policy 0.1', pages: PAGES, probed: PROBED },
      sparse: { first: 1, count: 1 },
    },
    layers,
  };
}

const decode = (bytes: Uint8Array<ArrayBuffer>, model = FOR) => decodeSavedCache(bytes.slice().buffer, 'story', model);

/** The same bytes with a valid digest, as if they had been saved like this. */
async function signed(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  const changed = bytes.slice();
  changed.set(new Uint8Array(await crypto.subtle.digest('SHA-256', changed.subarray(0, -32))), changed.length - 32);
  return changed;
}

const refused = (field: string | RegExp) => ({
  code: 'bad_file',
  detail: {
    file: 'story',
    field: typeof field === 'string' ? field : (expect.stringMatching(field) as string),
    reason: expect.any(String) as string,
  },
});

test('a saved text is restored unchanged', async () => {
  expect(await decode(await encodeSavedCache(saved()))).toEqual(saved());
});

test('a file truncated anywhere, or with an extra byte, is refused', async () => {
  const whole = await encodeSavedCache(saved());
  for (let length = 0; length < whole.length; length += length < 64 ? 1 : 97) {
    await expect(decode(whole.slice(0, length)), `${length} bytes`).rejects.toMatchObject(
      refused(/^(length|checksum)$/),
    );
  }
  await expect(decode(new Uint8Array([...whole, 0]))).rejects.toMatchObject(refused('checksum'));
});

test('a flipped bit anywhere is detected', async () => {
  const whole = await encodeSavedCache(saved());
  const random = new Random(2);
  for (let i = 0; i < 300; i++) {
    const at = i < 64 ? i : random.below(whole.length);
    const bytes = whole.with(at, whole[at]! ^ (1 << random.below(8)));
    await expect(decode(bytes), `byte ${at}`).rejects.toMatchObject(refused(/^(magic|version|checksum)$/));
  }
});

test('another version and another model are refused with their own errors', async () => {
  const whole = await encodeSavedCache(saved());
  const newer = await signed(whole.with(4, SAVED_VERSION + 1));
  await expect(decode(newer)).rejects.toMatchObject(refused('version'));
  await expect(decode(whole, { hash: 'other', config: CONFIG })).rejects.toMatchObject(refused('model'));
});

test.each<[string, string, unknown]>([
  ['model', 'model', 7],
  ['tokens', 'tokens', []],
  ['tokens', 'tokens', [1, -1]],
  ['tokens', 'tokens', [1, 300]],
  ['tokens', 'tokens', [1, 0.5]],
  ['tokens', 'pages', [1, 2]],
  ['adapters', 'adapters', null],
  ['adapters', 'adapters', []],
  ['adapters', 'adapters 0', [null]],
  ['adapters', 'adapters 0', [{ from: 1, key: '' }]],
  ...[{ from: 70, key: 'a' }, { from: 0, key: 'a' }, { from: 2.5, key: 'a' }, { from: 60 }, 'a'].map(
    (odd): [string, string, unknown] => ['adapters', 'adapters 1', [SPANS[0], odd]],
  ),
  ['policy', 'policy', undefined],
  ['pages', 'pages', {}],
  ['pages', 'page 1', [PAGES[0], [page('f16')], PAGES[2]]],
  ['pages', 'page 1 of layer 0', [PAGES[0], [null, page('q4')], PAGES[2]]],
  ...[
    ...[{ form: 'f8' }, { entries: 31 }, { entries: 0 }, { form: 'sparse' }, { slots: [] }, { slots: [null] }],
    { slots: [{ from: 32, entries: 32 }] },
    { squared: false },
    { squared: 1 },
    { slots: [{ from: 0, entries: 20 }] },
    ...[{ entries: 19 }, { slots: {} }, { slots: [] }, { slots: [null] }, { slots: [{ from: 32, entries: 0 }] }].map(
      (odd) => ({ ...SPARSE, ...odd }),
    ),
    ...[-1, 0.5, 2 ** 23].map((from) => ({ ...SPARSE, slots: [{ from, entries: 20 }] })),
    { ...SPARSE, slots: [{ from: 0, entries: 33 }], entries: 33 },
  ].map((odd): [string, string, unknown] => [
    'pages',
    'page 1 of layer 0',
    [PAGES[0], [{ ...page('q8'), ...odd }, page('q4')], PAGES[2]],
  ]),
  ...[{ first: -1, count: 2 }, { first: 0, count: 0 }, { first: 1, count: 3 }, { first: 0.5, count: 1 }, []].map(
    (odd): [string, string, unknown] => ['sparse', 'sparse', odd],
  ),
  ['pages', 'length', [PAGES[0], [page('q4'), page('q4')], PAGES[2]]],
  ['pages', 'length', [PAGES[0], [{ ...page('q4'), squared: true }, PAGES[1]![1]], PAGES[2]]],
  ['pages', 'length', [PAGES[0], [page('f16'), page('f16')], PAGES[2]]],
  ...[null, [LOSS], { losses: [LOSS] }, { pages: 0.5, losses: [LOSS] }, { pages: 12 }].map(
    (odd): [string, string, unknown] => ['probed', 'probed', odd],
  ),
  ...[
    { layer: 2 },
    { form: 'f8' },
    { change: -1 },
    { change: null },
    { size: -1 },
    { size: '2' },
    { queries: 0 },
    { bytes: 0.5 },
  ].map((odd): [string, string, unknown] => ['probed', 'probed 0', { pages: 12, losses: [{ ...LOSS, ...odd }] }]),
])('an intact file with an invalid %s is refused, naming %s', async (key, field, value) => {
  const { text, layers } = saved();
  const odd = await encodeSavedCache({ text: { ...text, [key]: value }, layers });
  await expect(decode(odd)).rejects.toMatchObject(refused(field));
});

test('a sliding-window layer omits exactly the pages outside its window', async () => {
  const config = { ...CONFIG, convolution: { taps: 3, layers: [0] } };
  const gone = { form: 'f16', entries: 0 } as const;
  const pages = [gone, gone, page('f16'), page('f16'), page('f16')].map((first) => [first, page('f16')]);
  const tokens = Array.from({ length: 140 }, (_, i) => i);
  const decoded = async (changed: PageState[][]): Promise<unknown> => {
    const layers = [0, 1].map(
      (layer) =>
        new Uint8Array(
          changed.reduce(
            (sum, states) => sum + layerPageUnits(config, layer, states[layer]!.form, states[layer]!.entries),
            0,
          ) * UNIT_BYTES,
        ),
    );
    return decode(await encodeSavedCache({ text: { ...saved().text, tokens, pages: changed }, layers }), {
      hash: 'abc',
      config,
    });
  };
  expect(await decoded(pages)).toMatchObject({ text: { pages } });
  const put = (at: number, states: PageState[]): PageState[][] => pages.with(at, states);
  await expect(decoded(put(1, [page('f16'), page('f16')]))).rejects.toMatchObject(refused('page 1 of layer 0'));
  await expect(decoded(put(2, [gone, page('f16')]))).rejects.toMatchObject(refused('page 2 of layer 0'));
  await expect(decoded(put(0, [gone, gone]))).rejects.toMatchObject(refused('page 0 of layer 1'));
  await expect(decoded(put(4, [page('q8'), page('f16')]))).rejects.toMatchObject(refused('page 4 of layer 0'));
});

test('a text that is not a JSON object, or is longer than the file, is refused', async () => {
  const whole = await encodeSavedCache(saved());
  await expect(decode(await signed(whole.with(PRELUDE, 0x78)))).rejects.toMatchObject(refused('text'));
  await expect(decode(await signed(whole.with(11, 0x7f)))).rejects.toMatchObject(refused('prelude'));
  await expect(decode(await signed(whole.with(12, 1)))).rejects.toMatchObject(refused('prelude'));
});

test('recurrent states of delta-net layers are saved instead of pages', async () => {
  const deltaNet: DeltaNet = {
    numKeyHeads: 1,
    numValueHeads: 4,
    headDim: 16,
    taps: 4,
    valueHeads: 'tiled',
    layers: [1],
  };
  const model = { hash: 'abc', config: { ...CONFIG, deltaNet } };
  const text = {
    ...saved().text,
    pages: PAGES.map(() => [page('f16'), { form: 'f16' as const, entries: 0 }]),
    states: [40, 70],
  };
  const bytes = (length: number): Uint8Array<ArrayBuffer> => Uint8Array.from({ length }, (_, i) => i % 251);
  const layers = [bytes(3 * pageUnits('f16', CONFIG) * UNIT_BYTES), bytes(2 * stateBytes(deltaNet))];
  expect(await decode(await encodeSavedCache({ text, layers }), model)).toEqual({ text, layers });
  const edited = async (change: object) =>
    decode(await encodeSavedCache({ text: { ...text, ...change }, layers }), model);
  for (const states of [[0, 70], [70, 40], [40, 71], [40, 40], [40.5, 70], [1, 2, 3, 4], 'x'])
    await expect(edited({ states }), JSON.stringify(states)).rejects.toMatchObject(refused('states'));
  await expect(edited({ states: [70] })).rejects.toMatchObject(refused('length'));
  await expect(edited({ pages: PAGES.map(() => [page('f16'), page('f16')]) })).rejects.toMatchObject(refused(/page 0/));
  await expect(
    decode(await encodeSavedCache({ text: { ...saved().text, states: [70] }, layers: saved().layers })),
  ).rejects.toMatchObject(refused('states'));
});
