import { expect, test } from 'vitest';
import type { CachePage, LayerPage } from '../../src/cache/cache-page.ts';
import { type KvMap, kvMap, KvWatch } from '../../src/cache/kv-cache.ts';
import { PAGE_TOKENS } from '../../src/kernels/heads.ts';
import { PAGE_FORMS, type PageForm, UNIT_BYTES } from '../../src/kernels/formats/page-forms.ts';

const lying = (form: PageForm, units: number): LayerPage => ({
  ...{ form, entries: form === 'sparse' ? 0 : PAGE_TOKENS, place: { offset: 0, units } },
});

const pageOf = (base: number, ...layers: LayerPage[]): CachePage => ({ base, layers });

/** Three pages of two layers. */
const pages = (): CachePage[] => [
  pageOf(0, lying('f16', 100), lying('f16', 100)),
  pageOf(PAGE_TOKENS, lying('q4', 30), lying('sparse', 0)),
  pageOf(2 * PAGE_TOKENS, lying('f16', 100), lying('q8', 55)),
];

test('a map has a row per layer and a column per page, with forms, entries and total bytes', () => {
  const { forms, entries, ...sizes } = kvMap(pages());
  const names = [...forms].map((form) => PAGE_FORMS[form]);
  expect(names).toEqual(['f16', 'q4', 'f16', 'f16', 'sparse', 'q8']);
  const all = PAGE_TOKENS;
  expect([...entries]).toEqual([all, all, all, all, 0, all]);
  expect(sizes).toEqual({ layers: 2, pages: 3, bytes: 385 * UNIT_BYTES, formsRefused: false });
  expect(kvMap([])).toMatchObject({ layers: 0, pages: 0, bytes: 0 });
});

test('survives being sent to another thread', () => {
  const map = kvMap(pages());
  expect(structuredClone(map)).toEqual(map);
});

test('every change is reported once: added and removed pages, and another form in one layer', () => {
  const told: KvMap[] = [];
  const watch = new KvWatch((map) => told.push(map));
  const text: CachePage[] = [];
  watch.look(text);
  expect(told).toHaveLength(0);
  text.push(...pages());
  watch.look(text);
  watch.look(text);
  expect(told.map((map) => map.pages)).toEqual([3]);
  text[2] = pageOf(2 * PAGE_TOKENS, lying('q8', 55), lying('q8', 55));
  watch.look(text);
  watch.look(text);
  expect(told.map(({ bytes }) => bytes / UNIT_BYTES)).toEqual([385, 340]);
  text.push(pageOf(3 * PAGE_TOKENS, lying('f16', 100), lying('f16', 100)));
  watch.look(text);
  text.length = 1;
  watch.look(text);
  watch.look(text);
  expect(told.map((map) => map.pages)).toEqual([3, 3, 4, 1]);
  // A refusal of forms may become known while pages stay unchanged.
  watch.look(text, true);
  watch.look(text, true);
  expect(told.map(({ formsRefused }) => formsRefused)).toEqual([false, false, false, false, true]);
  // Earlier reports stay unchanged.
  expect(told[0]?.forms).toEqual(kvMap(pages()).forms);
});
