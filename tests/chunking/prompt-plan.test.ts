import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { planChunks } from '../support/plan-chunks.ts';
import { type PlannedPart, type PlanSettings, PromptPlan } from '../../src/chunking/prompt-plan.ts';
import { tokenizer, vocabulary } from './real-vocabulary.ts';

const prose = await readFile(new URL('../support/prose.txt', import.meta.url), 'utf8');
const tokens = tokenizer.encode(prose).slice(0, 700);
const texts = new Map(tokens.map((token) => [token, vocabulary.text(token)]));
const ladder = [2, 3, 4, 6, 8, 16];

const promptPlan = (options: PlanSettings, from = 0, prompt = tokens): PromptPlan =>
  new PromptPlan({ tokens: prompt, from, texts, vocabSize: vocabulary.size, options: { ladder, ...options } });

function partsOf(plan: PromptPlan, batch: number): PlannedPart[] {
  const parts: PlannedPart[] = [];
  for (let start = 0; start < tokens.length; start += batch) {
    parts.push(plan.part(Math.min(start + batch, tokens.length)));
  }
  return parts;
}

describe.each<[string, PlanSettings]>([
  ['chunkwise', {}],
  ['uniform', { ranks: 'uniform' }],
  ['rank 3', { ranks: 3 }],
  ['shuffled', { ranks: 'shuffled' }],
  ['equal mean rank', { ranks: 'uniform', equalMeanRank: true }],
])('%s', (_name, options) => {
  const whole = planChunks(tokens, { vocabulary, ladder, ...options });

  it.each([1, 64, 100, 700])('made in parts of %i tokens, equals the plan made at once', (batch) => {
    const plan = promptPlan(options);
    const parts = partsOf(plan, batch);
    expect(parts.flatMap(({ rows }) => rows)).toEqual(whole.table);
    expect(parts.flatMap(({ complexity }) => complexity)).toEqual(whole.complexity);
    expect(parts.flatMap(({ chunks }) => chunks)).toEqual(whole.chunks);
    expect(parts.map(({ start }) => start)).toEqual(parts.map((_, i) => i * batch));
    expect(plan.levels).toMatchObject({ levels: whole.levels, ladder: whole.ladder });
  });
});

it('looks ahead no further than needed', () => {
  const { rows } = promptPlan({}).part(64);
  // The rows of 64 tokens depend on two chunks' length and the slack after them.
  expect(promptPlan({}, 0, tokens.slice(0, 64 + 2 * 128 + 16)).part(64).rows).toEqual(rows);
});

it('returns no rows of cached tokens; later rows do not depend on the cache', () => {
  const whole = planChunks(tokens, { vocabulary, ladder });
  for (const from of [1, 300, 699]) {
    const { start, end, rows, chunks } = promptPlan({}, from).part(700);
    expect([start, end]).toEqual([from, 700]);
    expect(rows).toEqual(whole.table.slice(from));
    expect(chunks).toEqual(whole.chunks.filter((chunk) => chunk.end > from));
  }
});
