import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { BytesSource } from '../support/bytes-source.ts';
import { engineUnderTest, logitsOf } from '../support/engine-under-test.ts';
import { nmse } from '../support/nmse.ts';
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

/** Not a Buffer, whose slices share its memory. */
const read = (...path: string[]): Uint8Array => Uint8Array.from(readFileSync(join(FOLDER, ...path)));

function peftFolder(...path: string[]) {
  const file = (name: string) => new BytesSource(name, read(...path, name));
  return { config: file('adapter_config.json'), weights: file('adapter_model.safetensors') };
}

/** `[tokens][vocabSize]`, as transformers and PEFT computed them. */
function peftLogits(file: string): Float32Array[] {
  const all = new Float32Array(read(file).buffer);
  const vocabSize = all.length / tokens.length;
  return tokens.map((_, t) => all.subarray(t * vocabSize, (t + 1) * vocabSize));
}

describe.each([...new Set(cases.map(({ model }) => model))])('logits of %s with adapters are those of PEFT', (model) => {
  const ofModel = cases.filter((one) => one.model === model);
  const base = peftLogits(`${model}/base.f32`);
  let worst = 0;
  afterAll(() => console.log(`${model}: worst NMSE ${worst.toExponential(1)}`));

  test.each(ofModel)('$name', async ({ adapters, logits }) => {
    const expected = peftLogits(logits);
    if (adapters.length > 0) expect(nmse(expected, base)).toBeGreaterThan(1e-3);
    const engine = await engineUnderTest(read(`${model}.gguf`));
    for (const { name } of adapters) {
      const { warnings } = await engine.loadAdapter(name, peftFolder(model, name));
      expect(warnings).toEqual([]);
    }
    const error = nmse(await logitsOf(engine, tokens, { adapters }), expected);
    worst = Math.max(worst, error);
    expect(error).toBeLessThan(NMSE.reference);
  });
});
