import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { engineUnderTest, logitsOf } from '../support/engine-under-test.ts';
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

const peftLogits = (file: string): Float32Array[] => storedLogits(join(FOLDER, file), tokens.length);

describe.each([...new Set(cases.map(({ model }) => model))])('logits of %s with adapters match PEFT', (model) => {
  const ofModel = cases.filter((one) => one.model === model);
  const base = peftLogits(`${model}/base.f32`);
  let worst = 0;
  afterAll(() => console.log(`${model}: worst NMSE ${worst.toExponential(1)}`));

  test.each(ofModel)('$name', async ({ adapters, logits }) => {
    const expected = peftLogits(logits);
    if (adapters.length > 0) expect(nmse(expected, base)).toBeGreaterThan(1e-3);
    const engine = await engineUnderTest(bytesOf(join(FOLDER, `${model}.gguf`)));
    for (const { name } of adapters) {
      const { warnings } = await engine.loadAdapter(name, peftFolder(join(FOLDER, model, name)));
      expect(warnings).toEqual([]);
    }
    const error = nmse(await logitsOf(engine, tokens, { adapters }), expected);
    worst = Math.max(worst, error);
    expect(error).toBeLessThan(NMSE.reference);
  });
});
