import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { loadPlan, savePlan } from '../../src/chunking/plan-file.ts';
import { planChunks } from '../support/plan-chunks.ts';
import { ChunkwiseError } from '../../src/errors/chunkwise-error.ts';
import { expectError } from '../support/expect-error.ts';
import { Random } from '../support/random.ts';
import { tokenizer, vocabulary } from './real-vocabulary.ts';

const prose = await readFile(new URL('../support/prose.txt', import.meta.url), 'utf8');
const plan = planChunks(tokenizer.encode(prose).slice(0, 200), { vocabulary, ladder: [2, 3, 4, 5, 8, 16] });
const saved = savePlan(plan);

/** The saved plan with the value at a path, such as `chunks.2.level`, replaced. */
function changed(path: string, value: unknown): string {
  const json = JSON.parse(saved) as Record<string, unknown>;
  const keys = path.split('.');
  const last = keys.pop()!;
  const parent = keys.reduce((object, key) => object[key] as Record<string, unknown>, json);
  parent[last] = value;
  return JSON.stringify(json);
}

describe('a saved plan', () => {
  it('is restored unchanged', () => {
    expect(loadPlan(saved, 'plan.json')).toEqual(plan);
    const free = planChunks(plan.tokens, { vocabulary });
    expect(free.ladder).toBeNull();
    expect(loadPlan(savePlan(free), 'plan.json')).toEqual(free);
    for (const levels of [{ ranks: [0, 2, 4, 5, 8, 16] }, { rankErrorBudget: 0.25 }]) {
      expect(loadPlan(savePlan({ ...plan, levels }), 'plan.json').levels).toEqual(levels);
    }
    const empty = planChunks([], { vocabulary });
    expect(loadPlan(savePlan(empty), 'plan.json')).toEqual(empty);
  });

  it.each([
    ['version', 2, 'version'],
    ['version', undefined, 'version'],
    ['tokens', 'none', 'tokens'],
    ['tokens.3', -1, 'tokens[3]'],
    ['tokens.3', 1.5, 'tokens[3]'],
    ['complexity.7', 1.01, 'complexity[7]'],
    ['complexity.7', null, 'complexity[7]'],
    ['complexity', [], 'complexity'],
    ['chunks', [], 'chunks'],
    ['chunks.1', 5, 'chunks[1]'],
    ['chunks.1.start', 3, 'chunks[1].start'],
    ['chunks.1.start', plan.chunks[0]!.end + 1, 'chunks[1].start'],
    ['chunks.0.end', 0, 'chunks[0].end'],
    ['chunks.1.level', 256, 'chunks[1].level'],
    ['chunks.1.level', 6, 'chunks[1].level'],
    ['ladder', [2], 'ladder'],
    ['chunks.1.scale', '1', 'chunks[1].scale'],
    ['table', [], 'table'],
    ['table.5.wLo', null, 'table[5].wLo'],
    ['table.5.levelLo', 3.5, 'table[5].levelLo'],
    ['table.5', { levelLo: 2, levelHi: 1, wLo: 1, wHi: 0 }, 'table[5].levelLo'],
    ['table.5', { levelLo: 2, levelHi: 9, wLo: 1, wHi: 0 }, 'table[5].levelHi'],
    ['ladder', 'steep', 'ladder'],
    ['ladder', [2, 4, -8, 16, 16], 'ladder[2]'],
    ['levels', undefined, 'levels'],
    ['levels', { ranks: [2, 4] }, 'levels'],
    ['levels', { ranks: [2, 4, 8, 1.5] }, 'levels.ranks[3]'],
    ['levels', { ranks: [0, 1, 2, 3, 4, 5, 6] }, 'levels.ranks'],
    ['levels', { rankErrorBudget: 2 }, 'levels.rankErrorBudget'],
  ])('with %s changed to %j is refused, naming %s', (path, value, field) =>
    expectError(() => loadPlan(changed(path, value), 'plan.json'), 'bad_file', { file: 'plan.json', field }),
  );

  it('that is not JSON is refused', async () => {
    for (const text of ['', 'null', '[]', saved.slice(0, -5)]) {
      await expectError(() => loadPlan(text, 'plan.json'), 'bad_file', { file: 'plan.json', field: 'plan' });
    }
  });

  it('with random bytes changed is either read or refused', () => {
    const random = new Random(2);
    for (let i = 0; i < 300; i++) {
      const at = random.below(saved.length);
      const mutated = saved.slice(0, at) + String.fromCharCode(32 + random.below(95)) + saved.slice(at + 1);
      try {
        expect(loadPlan(mutated, 'plan.json').table).toHaveLength(200);
      } catch (error) {
        expect(error).toBeInstanceOf(ChunkwiseError);
      }
    }
  });
});
