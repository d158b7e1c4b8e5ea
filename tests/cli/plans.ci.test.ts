import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { generate } from '../../cli/commands/generate.ts';
import { logits } from '../../cli/commands/logits.ts';
import { perplexity } from '../../cli/commands/perplexity.ts';
import { meanRank } from '../../src/chunking/chunk-plan.ts';
import { loadPlan } from '../../src/chunking/plan-file.ts';
import { VARIED_TEXT } from '../support/plan-cases.ts';
import { expectError } from '../support/expect-error.ts';
import { tinyFiles } from './tiny-files.ts';

const planIn = (path: string) => loadPlan(readFileSync(path, 'utf8'), path);

test('a saved plan gives the same logits, byte for byte; other ranks give others', async () => {
  const { at, flags } = await tinyFiles({});
  const run = async (out: string, ...more: string[]): Promise<Buffer> => {
    await logits([...flags, '--text', VARIED_TEXT, '--out', at(out), ...more]);
    return readFileSync(at(out));
  };
  const first = await run('a', '--save-plan', at('plan.json'));
  expect((await run('b', '--plan', at('plan.json'))).equals(first)).toBe(true);
  expect((await run('c', '--ranks', 'uniform')).equals(first)).toBe(false);
  const plan = planIn(at('plan.json'));
  expect(new Set(plan.chunks.map(({ level }) => level)).size).toBeGreaterThanOrEqual(3);
  await expectError(
    () => logits([...flags, '--text', 'Other', '--out', at('d'), '--plan', at('plan.json')]),
    'bad_request',
    {
      field: 'plan',
    },
  );
});

test('perplexity reports mean ranks; its windows are saved as one plan, which can be reused', async () => {
  const { at, flags } = await tinyFiles({ 'text.txt': VARIED_TEXT });
  type Result = { perplexity: number; tokens: number; meanRank: number };
  const run = async (...more: string[]) =>
    (await perplexity([...flags, '--text', at('text.txt'), '--context', '150', ...more])).json as Result;
  const chunkwise = await run('--save-plan', at('plan.json'));
  const plan = planIn(at('plan.json'));
  expect(plan.tokens.length).toBeGreaterThan(300);
  expect(chunkwise.meanRank).toBeCloseTo(meanRank(plan.table, plan.ladder!), 5);
  expect(await run('--plan', at('plan.json'))).toMatchObject({
    perplexity: chunkwise.perplexity,
    meanRank: chunkwise.meanRank,
  });
  expect((await run('--ranks', '5')).meanRank).toBe(5);
  const equal = await run('--ranks', 'uniform', '--equal-mean-rank');
  expect(Math.abs(equal.meanRank - chunkwise.meanRank)).toBeLessThan(0.5);
  expect((await run('--rank-error-budget', '0.05')).meanRank).toBeGreaterThan(chunkwise.meanRank);
});

test('an answer with a saved plan is the same', async () => {
  const { at, flags } = await tinyFiles({});
  const run = async (...more: string[]) =>
    (await generate([...flags, '--prompt', VARIED_TEXT, '--max-tokens', '8', ...more])).json as {
      tokens: number[];
      meanRank: number;
    };
  const first = await run('--save-plan', at('plan.json'));
  const again = await run('--plan', at('plan.json'), '--save-plan', at('again.json'));
  expect(again.tokens).toEqual(first.tokens);
  expect(again.meanRank).toBe(first.meanRank);
  expect(planIn(at('again.json')).table).toEqual(planIn(at('plan.json')).table);
});

test('flags out of range are refused', async () => {
  const { at, flags } = await tinyFiles({});
  const run =
    (...more: string[]) =>
    () =>
      logits([...flags, '--text', 'Hi', '--out', at('x'), ...more]);
  await expectError(run('--ranks', 'many'), 'bad_request', { field: '--ranks' });
  await expectError(run('--rank-error-budget', '2'), 'bad_request', { field: '--rank-error-budget' });
  await expectError(run('--equal-mean-rank'), 'bad_request', { field: 'equalMeanRank' });
  await expectError(run('--plan', at('none.json')), 'bad_file', { file: at('none.json') });
});
