import { describe, expect, test } from 'vitest';
import type { CachePage, LayerPage } from '../../../src/cache/cache-page.ts';
import {
  type CachePolicy,
  DENSE,
  fixedForm,
  policyOf,
  sparsePolicy,
  withMemoryBudget,
} from '../../../src/cache/policy.ts';
import type { EntryMeasures } from '../../../src/cache/sparse-buffers.ts';
import { UNADAPTED } from '../../../src/engine/adapters.ts';
import { eachLogits } from '../../../cli/measure/evaluate.ts';
import { GREEDY } from '../../../src/config/sampling.ts';
import type { LocalEngine } from '../../../src/engine/engine.ts';
import { Texts } from '../../../src/engine/texts.ts';
import { UNIT_BYTES } from '../../../src/kernels/formats/page-forms.ts';
import { pageBytes, PAGE_TOKENS } from '../../../src/kernels/heads.ts';
import { createTokenizer } from '../../../src/tokenizer/tokenizer.ts';
import { engineUnderTest } from '../../support/engine-under-test.ts';
import { answer } from '../../support/answer.ts';
import { miscompiling } from '../../support/gpu/miscompiling.ts';
import { MemoryTuning } from '../../support/memory-tuning.ts';
import { nmse } from '../../support/nmse.ts';
import { randomTokens } from '../../support/random-tokens.ts';
import { tinyModel } from '../../support/models/tiny-model.ts';

/** `ropeLinearScale`: with 1e6 a token attends to the tokens before it at any distance. */
const model = (numLayers: number, ropeLinearScale = 1) =>
  tinyModel({ architecture: 'llama', type: 'Q4_1', seed: 54, contextLength: 512, numLayers, ropeLinearScale });
const PROMPT = 'Seven winds blow over the sea, and the eighth waits in a cave. '.repeat(4);
const long = randomTokens(600, 270, 9);
const tokens = long.slice(0, 400);

async function lastLogits(engine: LocalEngine, text: readonly number[], policy: CachePolicy) {
  let last = new Float32Array();
  const visit = (_: number, length: number, logits: Float32Array): void =>
    void (last = logits.slice(logits.length - logits.length / length));
  const { kv } = await engine.alone((session) => eachLogits(session, text, visit, { policy, piece: PAGE_TOKENS }));
  return { last, kv };
}

/** The policy of a memory budget with priority, and one that drops the oldest pages to keep it. */
const budgeted = (bytes: number): [CachePolicy, CachePolicy] => [
  policyOf({ kv: 'policy', kvMemoryBudget: bytes }),
  withMemoryBudget(policyOf({ kv: 'policy' }), bytes, true),
];

const areSparse = ({ isSparse }: CachePage): boolean => isSparse === true;

const total = (of: Record<string, number>): number => Object.values(of).reduce((sum, each) => sum + each, 0);

describe('a sparse cache', () => {
  test('answers as the text without the tokens whose entries were evicted', async () => {
    const tuning = new MemoryTuning();
    const engine = await engineUnderTest(model(1, 1e6), { tuning });
    const dense = await lastLogits(engine, tokens, DENSE);
    // Of the pages that are measured, a third of the tokens is to stay, in each head.
    const stays = (at: number): boolean => at % 3 === 0;
    const session = await engine.session();
    session.pageChanges.squaredPages = () => undefined; // shares alone decide
    const measured: number[] = [];
    session.entryShares.measure = (_, { first, count }) => {
      measured.push(first, count);
      const shares = Array.from({ length: count }, (__, page) => {
        const own = Float32Array.from({ length: PAGE_TOKENS }, (___, i) =>
          stays((first + page) * PAGE_TOKENS + i) ? 1 : 0,
        );
        return Array.from({ length: session.plan.config.numKvHeads }, () => own);
      });
      return Promise.resolve([shares]);
    };
    const { last, kv } = await lastLogits(engine, tokens, sparsePolicy());
    expect(measured).toEqual([1, 6]);
    expect([...tuning.known.keys()]).toContainEqual(expect.stringMatching(/: right with sparse pages$/));
    expect(kv).toMatchObject({ mergedTokens: 6 * PAGE_TOKENS * (2 / 3), droppedTokens: 0 });
    const isLeft = (at: number, pages: number): boolean =>
      at < PAGE_TOKENS || at >= (1 + pages) * PAGE_TOKENS || stays(at);
    const left = tokens.filter((_, at) => isLeft(at, 6));
    // The same text in whole pages tells how much quants change.
    const [without, coded] = [await lastLogits(engine, left, DENSE), await lastLogits(engine, left, fixedForm('k3v2'))];
    expect(nmse([last], [without.last])).toBeLessThan(1.4 * nmse([coded.last], [without.last]));
    expect(nmse([last], [without.last])).toBeLessThan(nmse([last], [dense.last]) / 2);

    // A memory budget keeps these entries too, where k3v2 does not fit. Without the oldest pages the answer is another.
    const [policy, dropping] = budgeted(Math.floor(total(dense.kv.bytes) / 4));
    const [floor, dropped] = [await lastLogits(engine, tokens, policy), await lastLogits(engine, tokens, dropping)];
    expect(floor.kv).toMatchObject({ droppedTokens: 0, memoryOverrode: true });
    expect(dropped.kv.droppedTokens).toBeGreaterThan(4 * PAGE_TOKENS);
    const kept = await lastLogits(
      engine,
      tokens.filter((_, at) => isLeft(at, 8)),
      DENSE,
    );
    expect(nmse([floor.last], [kept.last])).toBeLessThan(nmse([dropped.last], [kept.last]) / 2);
    measured.splice(2);

    // Past the context, the oldest entries go. Of twelve measured pages the latest stays, and 96 entries of the others: those
    // are in the first three pages, which are dropped.
    const shifted = await lastLogits(engine, long, sparsePolicy());
    expect(measured.slice(2)).toEqual([1, 6, 7, 6]);
    expect(shifted.kv).toMatchObject({ droppedTokens: 3 * PAGE_TOKENS, mergedTokens: 8 * PAGE_TOKENS });
    const after = long.filter((_, at) => at < PAGE_TOKENS || at >= 12 * PAGE_TOKENS);
    const expected = await lastLogits(engine, after, fixedForm('k3v2'));
    expect(nmse([shifted.last], [expected.last])).toBeLessThan(1e-6);
  });

  test('keeps the budget; its report has the bytes that are allocated, and NaN in freed bytes changes nothing', async () => {
    const plain = await engineUnderTest(model(2));
    const dense = total((await lastLogits(plain, tokens, DENSE)).kv.bytes);
    const budget = Math.floor(0.25 * dense);
    const [policy, dropping] = budgeted(budget);
    expect((await lastLogits(plain, tokens, dropping)).kv.droppedTokens).toBeGreaterThan(0);
    const engine = await engineUnderTest(model(2));
    const { transformer, device } = await engine.session();
    let live = 0;
    let poisoned = 0;
    for (const layer of transformer.cache.layers) {
      const [add, remove] = [layer.add.bind(layer), layer.remove.bind(layer)];
      layer.add = (...of) => {
        const page = add(...of);
        live += page.place.units * UNIT_BYTES;
        return page;
      };
      layer.remove = (page: LayerPage) => {
        remove(page);
        const size = page.place.units * UNIT_BYTES;
        live -= size;
        poisoned++;
        const nans = new Uint16Array(size / 2).fill(0x7e00);
        device.gpuDevice.queue.writeBuffer(layer.buffer, page.place.offset * UNIT_BYTES, nans);
      };
    }
    let atEnd = 0;
    const visit = (): void => void (atEnd = live);
    for (const each of [sparsePolicy(budget), policy]) {
      poisoned = 0;
      const clean = await lastLogits(plain, tokens, each);
      const computed = await engine.alone((session) =>
        eachLogits(session, tokens, visit, { policy: each, piece: PAGE_TOKENS }),
      );
      expect(total(computed.kv.bytes)).toBe(atEnd);
      expect(computed.kv.peakBytes).toBeLessThanOrEqual(budget);
      expect(computed.kv.mergedTokens).toBeGreaterThan(100);
      expect(computed.kv).toMatchObject({ droppedTokens: 0, memoryOverrode: true });
      expect(poisoned).toBeGreaterThan(20);
      const again = await lastLogits(engine, tokens, each);
      expect(again.last).toEqual(clean.last);
      expect(again.last.every(Number.isFinite)).toBe(true);
    }

    // Decoding evicts entries too, and an answer may be continued.
    const kvMemoryBudget = Math.floor(0.2 * dense);
    for (const kv of ['sparse', 'policy'] as const) {
      const asked = {
        ...{ kv, kvMemoryBudget },
        sampling: { ...GREEDY, logitBias: new Map([...plain.tokenizer.eosIds].map((id) => [id, -1000])) },
        stop: [],
        maxTokens: 90,
      };
      const first = await answer(plain.complete(PROMPT, asked));
      expect(first.end.report.kv.peakBytes).toBeLessThanOrEqual(kvMemoryBudget);
      expect(first.end.report.kv.mergedTokens).toBeGreaterThan(50);
      expect(first.end.report.kv.droppedTokens).toBe(0);
      const shadowed = await answer(plain.complete(PROMPT, { ...asked, kvShadow: true, recomputePrompt: true }));
      expect(shadowed.text).toBe(first.text);
      for (const error of shadowed.end.report.kv.shadowErrors ?? [NaN]) {
        expect(error).toBeGreaterThan(0.01);
        expect(error).toBeLessThan(2);
      }
      const more = await answer(plain.complete(PROMPT + first.text + ' and', asked));
      expect(more.end.usage.cachedTokens).toBeGreaterThan(first.end.usage.promptTokens / 2);
      expect(more.end.report.kv.peakBytes).toBeLessThanOrEqual(kvMemoryBudget);
      expect(more.end.report.kv).toMatchObject({ droppedTokens: 0, memoryOverrode: true });
    }
  });

  test.each([
    ['gather-entries', /value_vector\(page, kv_head, entry, i\)/, 'value_vector(page, kv_head, entry, i ^ 1u)'],
    ['entry-attention', /exp\(score - /, 'exp(0.9 * score - '],
    ['entry-attention', /return share \* share;/, 'return share;'],
  ])('a device that computes %s wrong (%s) keeps pages in f16, and says so', async (kernel, find, replace) => {
    const { gpu, changed } = miscompiling(find, replace, [kernel]);
    const engine = await engineUnderTest(model(2), { gpu, tuning: new MemoryTuning() });
    // A memory budget drops the oldest pages there.
    const { config } = (await engine.session()).plan;
    const budget = 7 * pageBytes(config);
    const [policy, dropping] = budgeted(budget);
    const { kv } = await lastLogits(engine, tokens, policy);
    expect(changed()).toBeGreaterThan(0);
    expect(kv).toMatchObject({ mergedTokens: 0, formsRefused: false, memoryOverrode: true });
    expect(kv.droppedTokens).toBeGreaterThan(0);
    expect(kv.peakBytes).toBeLessThanOrEqual(budget);
    expect(await lastLogits(engine, tokens, policy)).toEqual(await lastLogits(engine, tokens, dropping));
    const { end } = await answer(engine.complete(PROMPT, { kv: 'sparse', sampling: GREEDY, stop: [], maxTokens: 2 }));
    expect(changed()).toBeGreaterThan(0);
    expect(end.report.kv.formsRefused).toBe(true);
    expect(end.report.kv.bytes.f16).toBe(total(end.report.kv.bytes));
  });

  test('knows the mean of the squared shares that batches 128 tokens later gave the entries of each page', async () => {
    const engine = await engineUnderTest(model(2));
    const session = await engine.session();
    const { pageChanges, plan } = session;
    const noted: { pages: number; queries: number; sums: EntryMeasures }[] = [];
    const note = pageChanges.noteSquares.bind(pageChanges);
    pageChanges.noteSquares = (sequence, run, sums, queries) => {
      noted.push({ pages: run.pages.length, queries, sums });
      note(sequence, run, sums, queries);
    };
    const sequence = session.sequences.take(tokens, { policy: sparsePolicy() });
    sequence.attach(await UNADAPTED.begin(tokens, 0));
    for (const [from, to] of [
      [0, 200],
      [200, 232],
      [232, 296],
    ])
      await session.prefill(sequence, tokens.slice(from, to), () => undefined);
    // The pages after the first that end 128 tokens before a batch; its queries are at positions 15, 31 and so on.
    expect(noted.map(({ pages, queries }) => [pages, queries])).toEqual([
      [1, 2],
      [2, 4],
    ]);
    const [former, latter] = noted.map(({ sums }) => sums);
    for (let layer = 0; layer < 2; layer++) {
      for (let head = 0; head < plan.config.numKvHeads; head++) {
        const of = (page: number) => sequence.pages[page]?.layers[layer]?.squares?.[head];
        const mean = Float32Array.from(former![layer]![0]![head]!, (sum, i) => {
          const before = sum / 2;
          return before + (4 / 36) * (latter![layer]![0]![head]![i]! / 4 - before);
        });
        expect(of(1)!.every((each, i) => each > 0 && Math.abs(each / mean[i]! - 1) < 1e-5)).toBe(true);
        expect(of(2)).toEqual(latter![layer]![1]![head]!.map((sum) => sum / 4));
        expect(of(3)).toBeUndefined();
      }
    }
    session.sequences.giveBack(sequence);
    // Only texts that may be sparse are measured.
    await lastLogits(engine, tokens, fixedForm('k3v2'));
    expect(noted).toHaveLength(2);
  });

  test('measures entries even if the chat template refuses the request to repeat the text', async () => {
    const { plan } = await (await engineUnderTest(model(2))).session();
    const tokenizer = createTokenizer(plan.tokenizer);
    const refusing = { ...plan.tokenizer, chatTemplate: "{{ raise_exception('no') }}" };
    const [chat, plain] = [plan.tokenizer, refusing].map((own) => new Texts(tokenizer, own, 512).askToRepeat());
    expect(tokenizer.decode(plain!)).toBe('Repeat the text above.');
    expect(chat!.length).toBeGreaterThan(plain!.length);
  });

  test('a text that diverges at its sparse pages continues before the first of them', async () => {
    const engine = await engineUnderTest(model(2));
    const session = await engine.session();
    const policy = sparsePolicy();
    const sequence = session.sequences.take(tokens, { policy });
    sequence.attach(await UNADAPTED.begin(tokens, 0));
    for (let at = 0; at < tokens.length; at += PAGE_TOKENS)
      await session.prefill(sequence, tokens.slice(at, at + PAGE_TOKENS), () => undefined);
    session.sequences.giveBack(sequence);
    const [first, last] = [sequence.pages.findIndex(areSparse), sequence.pages.findLastIndex(areSparse)];
    expect([first, last]).toEqual([1, 6]);
    for (const length of [tokens.length - 40, (last + 1) * PAGE_TOKENS + 5, (last + 1) * PAGE_TOKENS - 5]) {
      const cut = session.sequences.take([...tokens.slice(0, length), 5], { policy });
      const end = Math.floor(length / PAGE_TOKENS);
      // A page in f16 is continued in its middle.
      expect(cut.tokens.length).toBeGreaterThanOrEqual(PAGE_TOKENS * (end > last ? end : first));
      expect(cut.tokens.length).toBeLessThanOrEqual(end > last ? length : PAGE_TOKENS * first);
      session.sequences.giveBack(cut);
    }
  });
});
