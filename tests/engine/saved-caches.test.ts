import { describe, expect, test } from 'vitest';
import type { KvOptions } from '../../src/cache/policy.ts';
import { GREEDY } from '../../src/config/sampling.ts';
import type { LocalEngine } from '../../src/engine/engine.ts';
import { modelHash } from '../../src/engine/saved-sequences.ts';
import type { GenerateOptions } from '../../src/engine/types.ts';
import { readGguf } from '../../src/weights/gguf/gguf-reader.ts';
import { BytesSource } from '../support/bytes-source.ts';
import { tinyModel } from '../support/models/tiny-model.ts';
import { answer, type Answer } from '../support/answer.ts';
import { engineUnderTest, sourceOf } from '../support/engine-under-test.ts';
import { fixedMemory } from '../support/fixed-memory.ts';
import { countGpu } from '../support/gpu/gpu-counts.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { ADAPTER, adaptedEngine, planOf, VARIED_TEXT } from '../support/plan-cases.ts';

const TINY = { architecture: 'llama', type: 'Q4_1', contextLength: 1024, neverEnds: true } as const;
const model = (seed: number) => tinyModel({ ...TINY, seed });
const bytes = model(51);
const STORY = 'Seven winds blow over the sea, and the eighth waits in a cave. '.repeat(5);
const questionAfter = (story: string): string => `${story}What does the eighth wind wait for, and who told it to?`;
const QUESTION = questionAfter(STORY);

const ask = (engine: LocalEngine, prompt: string, options: Partial<GenerateOptions> = {}): Promise<Answer> =>
  answer(engine.complete(prompt, { sampling: GREEDY, stop: [], maxTokens: 40, ...options }));

/** A store that holds `story`, and the answer of the saved engine to the question. */
async function savedStory(kv: KvOptions = {}, story = STORY) {
  const savedCaches = new MemoryStore();
  const engine = await engineUnderTest(bytes, { savedCaches });
  await ask(engine, story, { ...kv, maxTokens: 2 });
  const saved = await engine.savedCaches.save('story');
  const next = await ask(engine, questionAfter(story), kv);
  engine.dispose();
  return { savedCaches, saved, next };
}

const KINDS: [string, KvOptions, string][] = [
  ['policy', { kv: 'policy', kvErrorBudget: 1 }, STORY],
  ['sparse', { kv: 'sparse' }, STORY],
  ['policy below the floor', { kv: 'policy', kvMemoryBudget: 135_000 }, STORY.repeat(2)],
];
// Pages of a policy have several forms, f16 among them; layers of a sparse cache gave up some.
describe.each(KINDS)('%s', (_name, kv, story) => {
  test('another visit continues a saved text as this one would', async () => {
    const { savedCaches, saved, next } = await savedStory(kv, story);
    expect(saved.bytes).toBe(savedCaches.files.get('story')?.length);
    const gpu = countGpu();
    const engine = await engineUnderTest(bytes, { savedCaches });
    const fixed = fixedMemory(engine.memory());
    expect(await engine.savedCaches.load('story')).toEqual(saved);
    expect(fixedMemory(engine.memory())).toEqual(fixed);
    expect(engine.memory().total).toBe(gpu.liveBytes());
    const again = await ask(engine, questionAfter(story), kv);
    const shared = engine.tokenizer.encode(story).length;
    expect(again.end.usage).toEqual(next.end.usage);
    // The page where the two texts diverge is in f16.
    expect(again.end.usage.cachedTokens).toBeGreaterThan(shared - 3);
    expect(again.tokens).toEqual(next.tokens);
    expect(again.end.report.kv.pages).toEqual(next.end.report.kv.pages);
    expect(again.end.report.kv.mergedTokens > 0).toBe(kv.kvMemoryBudget !== undefined);
    expect(again.end.report.kv.droppedTokens).toBe(0);
    if (kv.kv && !kv.kvMemoryBudget)
      expect(again.end.report.kv.bytes.f16).toBeLessThan(0.8 * again.end.report.kv.peakBytes);
  });
});

test('only requests of the same kind reuse a saved text', async () => {
  const { savedCaches, next } = await savedStory({ kv: 'q4' });
  const engine = await engineUnderTest(bytes, { savedCaches });
  await engine.savedCaches.load('story');
  expect((await ask(engine, QUESTION, { maxTokens: 1 })).end.usage.cachedTokens).toBe(0);
  expect((await ask(engine, QUESTION, { kv: 'q8', maxTokens: 1 })).end.usage.cachedTokens).toBe(0);
  const { tokens, end } = await ask(engine, QUESTION, { kv: 'q4' });
  expect(end.usage.cachedTokens).toBeGreaterThan(200);
  expect(tokens).toEqual(next.tokens);
});

test('save waits for running requests and saves the last text; load adds it beside others', async () => {
  const savedCaches = new MemoryStore();
  const engine = await engineUnderTest(bytes, { savedCaches });
  const running = ask(engine, STORY);
  const saving = engine.savedCaches.save('story');
  const [{ tokens, end }, saved] = await Promise.all([running, saving]);
  expect(saved.tokens).toBe(end.usage.promptTokens + tokens.length - 1);
  const [before] = await Promise.all([ask(engine, QUESTION), engine.savedCaches.load('story')]);
  const after = await ask(engine, QUESTION);
  expect(after.tokens).toEqual(before.tokens);
});

test('a loaded text evicts those longest unused; one that does not fit is refused', async () => {
  const { savedCaches, saved } = await savedStory();
  const small = await engineUnderTest(bytes, { savedCaches, contextLength: saved.tokens - 1 });
  await expect(small.savedCaches.load('story')).rejects.toMatchObject({ code: 'context_overflow' });
  const engine = await engineUnderTest(bytes, { savedCaches, contextLength: saved.tokens + 80 });
  const other = 'Of the mountains little is known. '.repeat(5);
  await ask(engine, other, { maxTokens: 2 });
  await engine.savedCaches.load('story');
  const { transformer } = await engine.session();
  expect(transformer.cache.freePages).toBeGreaterThanOrEqual(0);
  expect((await ask(engine, QUESTION, { maxTokens: 2 })).end.usage.cachedTokens).toBeGreaterThan(200);
  expect((await ask(engine, other, { maxTokens: 2 })).end.usage.cachedTokens).toBe(0);
});

describe('a refused call changes nothing', () => {
  test('damaged files, and files of another version or model', async () => {
    const { savedCaches, next } = await savedStory();
    const whole = savedCaches.files.get('story')!;
    const engine = await engineUnderTest(bytes, { savedCaches });
    await engine.savedCaches.load('story');
    const first = await ask(engine, QUESTION, { maxTokens: 1 });
    const memory = engine.memory();
    const cases: [string, Uint8Array<ArrayBuffer>][] = [
      ['length', new Uint8Array()],
      ['length', whole.slice(0, 20)],
      ...[0.1, 0.5, 0.9].map((part): [string, Uint8Array<ArrayBuffer>] => [
        'checksum',
        whole.slice(0, part * whole.length),
      ]),
      ['checksum', whole.slice(0, -1)],
      ['magic', whole.with(0, 0)],
      ['version', whole.with(4, 9)],
      ['checksum', whole.with(40, whole[40]! ^ 1)],
      ['checksum', whole.with(whole.length - 5000, whole[whole.length - 5000]! ^ 16)],
    ];
    for (const [field, damaged] of cases) {
      savedCaches.files.set('damaged', damaged);
      await expect(engine.savedCaches.load('damaged')).rejects.toMatchObject({
        code: 'bad_file',
        detail: { file: 'damaged', field },
      });
    }
    expect(engine.memory()).toEqual(memory);
    const again = await ask(engine, QUESTION);
    expect(again.end.usage.cachedTokens).toBe(first.end.usage.promptTokens - 1);
    expect(again.tokens).toEqual(next.tokens);

    const another = await engineUnderTest(model(52), { savedCaches });
    const refused = { code: 'bad_file', detail: { file: 'story', field: 'model' } };
    await expect(another.savedCaches.load('story')).rejects.toMatchObject(refused);
    expect((await ask(another, QUESTION)).tokens).toHaveLength(40);
  });

  test('unknown names, an empty cache, an engine without a store', async () => {
    const savedCaches = new MemoryStore();
    const engine = await engineUnderTest(bytes, { savedCaches });
    for (const work of [
      engine.savedCaches.load('none'),
      engine.savedCaches.delete('none'),
      engine.savedCaches.save('story'),
    ]) {
      await expect(work).rejects.toMatchObject({ code: 'bad_request' });
    }
    expect(await engine.savedCaches.list()).toEqual([]);
    await ask(engine, STORY, { maxTokens: 1 });
    const saved = await engine.savedCaches.save('story');
    expect(await engine.savedCaches.list()).toEqual([{ name: 'story', bytes: saved.bytes }]);
    await engine.savedCaches.delete('story');
    expect(await engine.savedCaches.list()).toEqual([]);
    const without = await engineUnderTest(bytes);
    await expect(without.savedCaches.save('story')).rejects.toMatchObject({ code: 'unsupported' });
  });
});

test('a text that exceeded its context is not saved', async () => {
  const savedCaches = new MemoryStore();
  const engine = await engineUnderTest(bytes, { savedCaches, contextLength: 128 });
  const { end } = await ask(engine, STORY.slice(0, 90), { kv: 'policy', maxTokens: 80 });
  expect(end.report.kv.droppedTokens).toBeGreaterThan(0);
  await expect(engine.savedCaches.save('long')).rejects.toMatchObject({
    code: 'unsupported',
    detail: { field: 'pages' },
  });
});

test('the hash of a model depends on its header and the start of its tensors, not on its name', async () => {
  const hash = await modelHash([sourceOf(bytes)]);
  expect(await modelHash([new BytesSource('renamed.gguf', bytes)])).toBe(hash);
  const { tensors } = await readGguf(sourceOf(bytes));
  const { offset } = tensors.at(-1)!;
  const others = [
    bytes.with(offset, bytes[offset]! ^ 1),
    tinyModel({ ...TINY, seed: 51, ropeTheta: 10_001 }),
    model(52),
  ];
  for (const other of others) expect(await modelHash([sourceOf(other)])).not.toBe(hash);
  expect(await modelHash([sourceOf(bytes), sourceOf(others[0]!)])).toBe(
    await modelHash([sourceOf(others[0]!), sourceOf(bytes)]),
  );
});

describe('with adapters', () => {
  const SPECTRA = [
    { seed: 21, rank: 16, gain: 0.1 },
    { seed: 22, rank: 16, gain: 0.1 },
  ];
  /** A context in which other texts do not evict the loaded one. */
  const ROOMY = { contextLength: 2048 };
  const longer = `${VARIED_TEXT}And so it went on.`;

  test('a text is reused with an adapter of the same content and scale, under any name', async () => {
    const savedCaches = new MemoryStore();
    const engine = await adaptedEngine(SPECTRA, { savedCaches, model: ROOMY });
    await ask(engine, VARIED_TEXT, { adapters: [ADAPTER], maxTokens: 2 });
    await engine.savedCaches.save('adapted');
    const next = await ask(engine, longer, { adapters: [ADAPTER] });
    const later = await adaptedEngine([...SPECTRA].reverse(), { savedCaches, model: ROOMY });
    await later.savedCaches.load('adapted');
    const cachedWith = async (adapters: GenerateOptions['adapters']) =>
      (await ask(later, longer, { adapters, maxTokens: 1 })).end.usage.cachedTokens;
    expect(await cachedWith([ADAPTER])).toBe(0);
    expect(await cachedWith([{ name: 'b', scale: 0.5 }])).toBe(0);
    const again = await ask(later, longer, { adapters: [{ name: 'b', scale: 1 }] });
    expect(again.end.usage).toEqual(next.end.usage);
    expect(again.end.usage.cachedTokens).toBeGreaterThan(100);
    expect(again.tokens).toEqual(next.tokens);
  });

  test('a text that follows a recorded plan is not saved', async () => {
    const savedCaches = new MemoryStore();
    const engine = await adaptedEngine(SPECTRA, { savedCaches });
    const plan = planOf([...engine.tokenizer.encode(VARIED_TEXT), 0, 0], [0, 1, 2], 0.9);
    await ask(engine, VARIED_TEXT, { adapters: [ADAPTER], plan, maxTokens: 2 });
    await expect(engine.savedCaches.save('planned')).rejects.toMatchObject({
      code: 'unsupported',
      detail: { field: 'plan' },
    });
    expect(savedCaches.files.size).toBe(0);
  });
});
