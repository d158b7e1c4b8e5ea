import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { LocalEngine } from '../../src/engine/engine.ts';
import { type EngineTestOptions, engineUnderTest, logitsOf } from '../support/engine-under-test.ts';
import { nmse } from '../support/nmse.ts';
import { bytesOf, peftFolder, storedLogits } from '../support/peft-fixtures.ts';
import { NMSE } from '../support/tolerances.ts';

/** Written by tools/fixtures/peft_logits.py. */
const FOLDER = join(import.meta.dirname, '../fixtures/peft');

interface Case {
  name: string;
  model: string;
  adapters: { name: string; scale: number }[];
  logits: string;
}

const { tokens, cases } = JSON.parse(readFileSync(join(FOLDER, 'cases.json'), 'utf8')) as {
  tokens: number[];
  cases: Case[];
};
const models = [...new Set(cases.map(({ model }) => model))];

const peftLogits = (file: string): Float32Array[] => storedLogits(join(FOLDER, file), tokens.length);

const engineOf = (model: string, options: EngineTestOptions = {}): Promise<LocalEngine> =>
  engineUnderTest(bytesOf(join(FOLDER, `${model}.gguf`)), options);

const load = async (engine: LocalEngine, model: string, name: string): Promise<void> =>
  expect((await engine.loadAdapter(name, peftFolder(join(FOLDER, model, name)))).warnings).toEqual([]);

/** An adapter of every linear. */
const whole = (model: string): Case =>
  cases.find((one) => one.model === model && one.adapters.length === 1 && one.adapters[0]?.name === 'rank-4')!;

test.each(models)('logits of %s with adapters match PEFT', async (model) => {
  const engine = await engineOf(model);
  const base = peftLogits(`${model}/base.f32`);
  const plain = await logitsOf(engine, tokens);
  const ofModel = cases.filter((one) => one.model === model);
  for (const name of new Set(ofModel.flatMap(({ adapters }) => adapters.map((one) => one.name))))
    await load(engine, model, name);
  let worst = 0;
  for (const { name, adapters, logits } of ofModel) {
    const expected = peftLogits(logits);
    if (adapters.length > 0) expect(nmse(expected, base), name).toBeGreaterThan(1e-3);
    const error = nmse(await logitsOf(engine, tokens, { adapters }), expected);
    worst = Math.max(worst, error);
    expect(error, name).toBeLessThan(NMSE.reference);
  }
  console.log(`${model}: worst NMSE ${worst.toExponential(1)}`);
  // The kernels of decode, and of drafts.
  const { adapters, logits } = whole(model);
  for (const length of [1, 2]) {
    const inPieces = await logitsOf(engine, tokens, { adapters, pieces: tokens.map(() => length) });
    expect(nmse(inPieces, peftLogits(logits)), `pieces of ${length}`).toBeLessThan(NMSE.reference);
  }
  expect(await logitsOf(engine, tokens)).toEqual(plain);
});

// The linears of other models are those of attention and MLP, which `adapters.test.ts` computes unfused.
test.each(['lfm2', 'qwen35'])('logits of %s with an unfused adapter match PEFT', async (model) => {
  const engine = await engineOf(model, { lora: 'unfused' });
  await load(engine, model, 'rank-4');
  const { adapters, logits } = whole(model);
  expect(nmse(await logitsOf(engine, tokens, { adapters }), peftLogits(logits))).toBeLessThan(NMSE.reference);
});
