import { openAsBlob } from 'node:fs';
import { readFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { plan } from '../../cli/commands/plan.ts';
import { loadPlan } from '../../src/chunking/plan-file.ts';
import { planChunks } from '../support/plan-chunks.ts';
import { BlobSource } from '../../src/weights/byte-source.ts';
import { readGguf } from '../../src/weights/gguf/gguf-reader.ts';
import { readModelConfig } from '../../src/weights/model-config.ts';
import { ggufAdapter, tinyAdapter } from '../support/models/tiny-adapter.ts';
import { expectError } from '../support/expect-error.ts';
import { REAL_MODEL } from '../support/models/real-model.ts';
import { tokenizer, vocabulary } from './real-vocabulary.ts';

const PROSE = fileURLToPath(new URL('../support/prose.txt', import.meta.url));
const ARGS = ['--model', REAL_MODEL, '--text', PROSE];
const expected = planChunks(tokenizer.encode(await readFile(PROSE, 'utf8')), { vocabulary });

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'chunkwise-plan-'));
});
afterAll(() => rm(folder, { recursive: true }));

it('gives the plan as JSON, streamed or not', async () => {
  const { json } = await plan([...ARGS, '--json']);
  expect(json).toEqual({
    tokens: expected.tokens,
    complexity: expected.complexity,
    chunks: expected.chunks.map((chunk) => ({ ...chunk, meanRank: null })),
    ladder: null,
    ramps: expected.table,
  });
  expect(JSON.stringify((await plan([...ARGS, '--stream', '--json'])).json)).toBe(JSON.stringify(json));
});

it('prints one line per chunk, and streams chunks as they become final', async () => {
  const { text } = await plan(ARGS);
  expect(text.split('\n')).toHaveLength(expected.chunks.length);
  const write = vi.spyOn(process.stdout, 'write').mockReturnValue(true);
  try {
    const rest = await plan([...ARGS, '--stream']);
    const printed = write.mock.calls.map(([line]) => line).join('');
    expect(printed + rest.text).toBe(text);
    expect(rest.text.split('\n').length).toBeLessThan(4);
  } finally {
    write.mockRestore();
  }
});

it('saves the plan', async () => {
  const file = join(folder, 'plan.json');
  await plan([...ARGS, '--save-plan', file]);
  expect(loadPlan(await readFile(file, 'utf8'), file)).toEqual(expected);
});

it('prints the ranks of the levels, with an adapter', async () => {
  const config = readModelConfig(await readGguf(new BlobSource('model', await openAsBlob(REAL_MODEL))));
  const adapter = join(folder, 'adapter.gguf');
  await writeFile(
    adapter,
    ggufAdapter(tinyAdapter(config, { seed: 5, rank: 8, targets: ['q_proj'], layers: [0, 1] }), config),
  );
  type Plan = { ladder: number[]; chunks: { level: number; meanRank: number }[] };
  const of = async (...flags: string[]) => (await plan([...ARGS, '--adapter', adapter, ...flags])).json as Plan;
  const { ladder, chunks } = await of();
  expect(ladder).toHaveLength(6);
  expect(ladder.at(-1)).toBe(8);
  expect(ladder[0]).toBeLessThan(8);
  for (const chunk of chunks) expect(chunk.meanRank).toBe(ladder[chunk.level]);
  expect((await of('--ranks', '3')).chunks[0]?.meanRank).toBe(3);
  const narrow = await of('--rank-error-budget', '0.1');
  expect(narrow.ladder[0]).toBeGreaterThan(ladder[0]!);
  const equal = await of('--ranks', 'uniform', '--equal-mean-rank');
  expect(equal.ladder[1]! - equal.ladder[0]!).toBe(1);
});

it('names missing arguments', async () => {
  await expectError(() => plan(['--text', PROSE]), 'bad_request', { field: '--model' });
  await expectError(() => plan(['--model', REAL_MODEL]), 'bad_request', { field: '--text' });
  const lost = join(folder, 'lost.txt');
  await expectError(() => plan(['--model', REAL_MODEL, '--text', lost]), 'bad_file', { file: lost });
  await expectError(() => plan([...ARGS, '--save-plan', join(lost, 'x')]), 'bad_request', { field: '--save-plan' });
});
