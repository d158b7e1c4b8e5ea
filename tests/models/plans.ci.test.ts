import { describe, expect, test } from 'vitest';
import { meanRank, type ChunkPlan } from '../../src/chunking/chunk-plan.ts';
import { loadPlan, savePlan } from '../../src/chunking/plan-file.ts';
import { eachLogits } from '../../cli/measure/evaluate.ts';
import type { LocalEngine } from '../../src/engine/engine.ts';
import type { AdapterUse, PlanEvent, RankOptions } from '../../src/engine/types.ts';
import { GREEDY } from '../../src/config/sampling.ts';
import { PlanRecorder } from '../../cli/ranks.ts';
import { expectError } from '../support/expect-error.ts';
import { answer } from '../support/answer.ts';
import { countGpu } from '../support/gpu/gpu-counts.ts';
import { nmse } from '../support/nmse.ts';
import { ADAPTER, adaptedEngine, planOf, VARIED_TEXT } from '../support/plan-cases.ts';
import { logitsOf } from '../support/engine-under-test.ts';
import { NMSE } from '../support/tolerances.ts';

/** Suppresses the end of an answer, so that it is always six tokens long. */
const logitBias = new Map(Array.from({ length: 3 }, (_, control) => [control, -100]));
const options = { maxTokens: 6, sampling: { ...GREEDY, logitBias }, stop: [], adapters: [ADAPTER] };

/** Logits of the text, the plan they were computed with, and the mean rank that the GPU counted. */
async function run(engine: LocalEngine, ranks: RankOptions = {}, uses: readonly AdapterUse[] = [ADAPTER]) {
  const recorder = new PlanRecorder();
  const adaptation = await engine.adapt(uses, { ...ranks, onPlan: recorder.add });
  const logits: Float32Array[] = [];
  const tokens = engine.tokenizer.encode(VARIED_TEXT);
  const { meanRank: counted } = await engine.alone((session) =>
    eachLogits(
      session,
      tokens,
      (_start, length, values) => {
        for (let i = 0; i < length; i++)
          logits.push(values.slice((i * values.length) / length, ((i + 1) * values.length) / length));
      },
      { adaptation },
    ),
  );
  return { logits, plan: recorder.plan, counted };
}

const levelsOf = (plan: ChunkPlan): Set<number> => new Set(plan.chunks.map(({ level }) => level));

describe('ranks counted on the GPU match the plan', () => {
  test.each<[string, RankOptions]>([
    ['chunkwise', {}],
    ['rank 3', { ranks: 3 }],
    ['shuffled', { ranks: 'shuffled', planSeed: 3 }],
    ['equal mean rank', { ranks: 'uniform', equalMeanRank: true }],
    ['short chunks, long ramps', { chunks: { budget: 5, minLength: 4 }, rampWidth: 9 }],
  ])('%s', async (_name, ranks) => {
    const engine = await adaptedEngine();
    const { plan, counted } = await run(engine, ranks);
    expect(plan.table).toHaveLength(plan.tokens.length);
    expect(counted).toBeCloseTo(meanRank(plan.table, plan.ladder!), 6);
    if (ranks.ranks === undefined) expect(levelsOf(plan).size).toBeGreaterThanOrEqual(3);
  });

  test('with two adapters, one of which changes only some linears', async () => {
    const engine = await adaptedEngine([
      { seed: 22, rank: 8, gain: 0.1, targets: ['q_proj', 'down_proj'] },
      { seed: 23, rank: 16, gain: 0.1 },
    ]);
    const { plan, counted } = await run(engine, {}, [ADAPTER, { name: 'b', scale: 0.5 }]);
    expect(counted).toBeCloseTo(meanRank(plan.table, plan.ladder!), 6);
  });

  test('for an answer, over prompt and decoded tokens', async () => {
    const engine = await adaptedEngine();
    const recorder = new PlanRecorder();
    const { end, tokens } = await answer(engine.complete(VARIED_TEXT, { ...options, onPlan: recorder.add }));
    const { plan } = recorder;
    expect(plan.tokens).toEqual([...engine.tokenizer.encode(VARIED_TEXT), ...tokens]);
    // The last token is not computed.
    expect(end.report.meanRank).toBeCloseTo(meanRank(plan.table.slice(0, -1), plan.ladder!), 6);
    const base = await answer(engine.complete(VARIED_TEXT, { ...options, adapters: [] }));
    expect(base.end.report.meanRank).toBeUndefined();
  });
});

describe('plans', () => {
  test('an equal plan, also saved and loaded, gives equal logits; another plan gives others', async () => {
    const engine = await adaptedEngine();
    const first = await run(engine);
    expect((await run(engine)).logits).toEqual(first.logits);
    const plan = loadPlan(savePlan(first.plan), 'plan.json');
    const replayed = await run(engine, { plan });
    expect(replayed.logits).toEqual(first.logits);
    expect(replayed.plan).toEqual(first.plan);
    expect((await run(engine, { ranks: 'shuffled' })).logits).not.toEqual(first.logits);
  });

  test.each<[string, RankOptions]>([
    ['equal mean rank', { ranks: 'uniform', equalMeanRank: true }],
    ['a budget', { rankErrorBudget: 0.8 }],
  ])('with %s include their level table', async (_name, ranks) => {
    const engine = await adaptedEngine();
    const first = await run(engine, ranks);
    const replayed = await run(engine, { plan: first.plan });
    expect(replayed.logits).toEqual(first.logits);
    expect(replayed.counted).toBe(first.counted);
  });

  test('full rank equals the whole adapter, and rank 0 the base', async () => {
    const engine = await adaptedEngine();
    const tokens = engine.tokenizer.encode(VARIED_TEXT);
    const whole = await logitsOf(engine, tokens, { adapters: [ADAPTER] });
    expect((await run(engine, { ranks: 16 })).logits).toEqual(whole);
    expect(nmse((await run(engine, { ranks: 0 })).logits, await logitsOf(engine, tokens))).toBeLessThan(NMSE.sameModel);
    expect(nmse((await run(engine)).logits, whole)).toBeGreaterThan(1e-6);
  });

  test('a plan for another text is refused', async () => {
    const engine = await adaptedEngine();
    const tokens = engine.tokenizer.encode(VARIED_TEXT);
    const changed = planOf(tokens.with(40, tokens[40] === 9 ? 8 : 9), [0, 1], 0.5);
    const field = 'plan';
    await expectError(() => run(engine, { plan: changed }), 'bad_request', { field });
    await expectError(() => run(engine, { plan: planOf(tokens.slice(1), [0, 1], 0.5) }), 'bad_request', { field });
    await expectError(() => run(engine, { plan: planOf(tokens.slice(0, 50), [1], 0.5) }), 'bad_request', { field });
  });

  test('options out of range are refused, unfused ranks too, and the next request works', async () => {
    const engine = await adaptedEngine();
    const ask = (ranks: RankOptions) => answer(engine.complete('Hello', { ...options, ...ranks }));
    await expectError(() => ask({ chunks: { minLength: 0 } }), 'bad_request', { field: 'minLength' });
    await expectError(() => ask({ rankErrorBudget: 2 }), 'bad_request', { field: 'rankErrorBudget' });
    await expectError(() => ask({ equalMeanRank: true }), 'bad_request', { field: 'equalMeanRank' });
    await expectError(() => ask({ rampWidth: -1 }), 'bad_request', { field: 'rampWidth' });
    await ask({});
    const plain = await adaptedEngine(undefined, { lora: 'unfused' });
    await expectError(() => answer(plain.complete('Hello', { ...options, ranks: 3 })), 'unsupported', {
      field: 'ranks',
    });
    await answer(plain.complete('Hello', options));
  });
});

describe('a request', () => {
  test('reports chunks and ranks as they become known, in the answer too', async () => {
    const engine = await adaptedEngine();
    const told: PlanEvent[] = [];
    const ranks: unknown[] = [];
    for await (const event of engine.complete(VARIED_TEXT, { ...options, onPlan: (event) => told.push(event) })) {
      if (event.type === 'token') ranks.push([event.level, event.meanRank, event.complexity]);
    }
    const prompt = engine.tokenizer.encode(VARIED_TEXT).length;
    expect(told.length).toBeGreaterThan(2);
    told.forEach(({ start, end, rows, chunks }, i) => {
      expect(start).toBe(told[i - 1]?.end ?? 0);
      expect(rows).toHaveLength(end - start);
      for (const chunk of chunks) expect(chunk.meanRank).toBe(told[0]?.ladder?.[chunk.level]);
    });
    expect(told.at(-1)?.end).toBe(prompt + 6);
    const chunks = told.flatMap((event) => event.chunks);
    chunks.forEach(({ start }, i) => expect(start).toBe(chunks[i - 1]?.end ?? 0));
    expect(ranks).toHaveLength(6);
    for (const values of ranks) expect(values).toEqual([expect.any(Number), expect.any(Number), expect.any(Number)]);
  });

  test('reuses prefixes of equal plan options only, and creates no buffers', async () => {
    const engine = await adaptedEngine(undefined, { model: { contextLength: 4096 } });
    const cached = async (ranks: RankOptions) =>
      (await answer(engine.complete(VARIED_TEXT, { ...options, ...ranks }))).end.usage.cachedTokens;
    for (const ranks of [{}, { ranks: 'uniform' }, { ranks: 4 }, { rankErrorBudget: 0.3 }, { rampWidth: 0 }] as const) {
      expect(await cached(ranks)).toBe(0);
    }
    const gpu = countGpu();
    expect(await cached({ ranks: 4 })).toBeGreaterThan(100);
    expect(await cached({ rankErrorBudget: 0.3 })).toBeGreaterThan(100);
    expect(gpu).toMatchObject({ pipelines: 0, bindGroups: 0, buffersCreated: 0, buffersDestroyed: 0 });
    expect(await cached({ ranks: 5 })).toBe(0);
  });

  test('gives equal answers with and without a cache', async () => {
    const engine = await adaptedEngine();
    const ask = (text: string) => answer(engine.complete(text, options));
    const more = `${VARIED_TEXT} Then 7 more: q#9 x!2 and the same words again and again.`;
    await ask(VARIED_TEXT);
    const warm = await ask(more);
    expect(warm.end.usage.cachedTokens).toBeGreaterThan(100);
    const cold = await answer((await adaptedEngine()).complete(more, options));
    expect(warm.tokens).toEqual(cold.tokens);
  });
});

describe('an adapter with a higher rank than its levels', () => {
  const LARGE = { seed: 24, rank: 48, gain: 0.1 };
  const SMALL = { seed: 25, rank: 3, gain: 0.1 };
  const text = (engine: LocalEngine) => engine.tokenizer.encode(VARIED_TEXT).slice(0, 70);

  test('keeps only the components of its levels on the GPU; the first request for the whole adapter uploads the rest', async () => {
    const engine = await adaptedEngine([LARGE, SMALL]);
    const bytes = (): number => engine.memory().adapters;
    const [large, small] = [[ADAPTER], [{ name: 'b', scale: 1 }]];
    const before = {
      chunkwise: (await run(engine)).logits,
      small: await logitsOf(engine, text(engine), { adapters: small }),
    };
    const few = bytes();
    const [told] = engine.adapters().map((info) => info.bytes);
    const whole = await logitsOf(engine, text(engine), { adapters: large });
    expect(bytes()).toBeGreaterThan(1.3 * few);
    expect(engine.adapters()[0]?.bytes).toBe((told ?? NaN) + bytes() - few);
    const unfused = await adaptedEngine([LARGE], { lora: 'unfused' });
    expect(nmse(whole, await logitsOf(unfused, text(engine), { adapters: large }))).toBeLessThan(NMSE.sameModel);
    expect((await run(engine)).logits).toEqual(before.chunkwise);
    expect(await logitsOf(engine, text(engine), { adapters: small })).toEqual(before.small);
    expect(await logitsOf(engine, text(engine), { adapters: large })).toEqual(whole);
    const all = bytes();
    await logitsOf(engine, text(engine), { adapters: large, ranks: 40 });
    expect(bytes()).toBe(all);
  });

  test('does not disturb a running answer if another request uses the whole adapter', async () => {
    const engine = await adaptedEngine([LARGE]);
    const want = [
      await answer(engine.complete('Snow', { ...options, maxTokens: 24 })),
      await answer(engine.complete('Sea', { ...options, ranks: 'uniform' })),
    ];
    const other = await adaptedEngine([LARGE]);
    const first = other.complete('Snow', { ...options, maxTokens: 24 });
    const begun = await first.next();
    const second = answer(other.complete('Sea', { ...options, ranks: 'uniform' }));
    expect(`${begun.value?.text}${(await answer(first)).text}`).toBe(want[0]?.text);
    expect((await second).text).toBe(want[1]?.text);
  });
});
