import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { engineUnderTest, logitsOf } from '../support/engine-under-test.ts';
import { nmse } from '../support/nmse.ts';
import { bytesOf, peftFolder, storedLogits } from '../support/peft-fixtures.ts';
import { NMSE } from '../support/tolerances.ts';

/** Written by tools/fixtures/alora_logits.py. */
const FOLDER = join(import.meta.dirname, '../fixtures/alora');

interface Case {
  name: string;
  model: string;
  tokens: number[];
  /** Position at which PEFT found the invocation tokens. */
  from: number | null;
  logits: string;
}

const cases = JSON.parse(readFileSync(join(FOLDER, 'cases.json'), 'utf8')) as Case[];
const adapters = [{ name: 'a', scale: 1 }];

test.each([
  ['llama', 'cpu'],
  ['llama', 'gpu'],
  ['granite', 'cpu'],
] as const)(
  'logits of %s, class %s, are those of PEFT, and before the invocation those of the base, to the bit',
  async (model, deviceClass) => {
    const engine = await engineUnderTest(bytesOf(join(FOLDER, '../peft', `${model}.gguf`)), { deviceClass });
    await engine.loadAdapter('a', peftFolder(join(FOLDER, model)));
    for (const { name, tokens, from, logits } of cases.filter((one) => one.model === model)) {
      const expected = storedLogits(join(FOLDER, logits), tokens.length);
      const base = await logitsOf(engine, tokens);
      const whole = await logitsOf(engine, tokens, { adapters });
      expect(nmse(whole, expected), name).toBeLessThan(NMSE.reference);
      const before = from ?? tokens.length;
      expect(whole.slice(0, before), name).toEqual(base.slice(0, before));
      if (from !== null) expect(nmse(whole.slice(from), base.slice(from)), name).toBeGreaterThan(1e-3);
      if (from !== 10) continue;
      // In pieces that end next to the invocation, and token by token.
      for (const pieces of [[9], [10], [3, 9], tokens.map(() => 1)]) {
        expect(nmse(await logitsOf(engine, tokens, { adapters, pieces }), expected), pieces.join()).toBeLessThan(
          NMSE.reference,
        );
      }
    }
  },
);
