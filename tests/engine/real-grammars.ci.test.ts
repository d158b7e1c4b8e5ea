import { expect, onTestFinished, test } from 'vitest';
import { FileSource } from '../../src/node/file-source.ts';
import { GREEDY } from '../../src/config/sampling.ts';
import { SCHEMAS } from '../support/grammars/schemas.ts';
import { faultsOf } from '../support/grammars/validate.ts';
import { REAL_MODEL } from '../support/models/real-model.ts';
import { answer, USER } from '../support/answer.ts';
import { engineUnderTest } from '../support/engine-under-test.ts';

/** Short schemas, as many as answers share a step; the benchmark covers all. */
const NAMES = ['array with bounds', 'one of, by a tag', 'patterns', 'dates'];

test('the default model answers four schemas validly at temperature 1', async () => {
  const source = await FileSource.open(REAL_MODEL);
  onTestFinished(() => source.close());
  const engine = await engineUnderTest(source, { contextLength: 512 });
  const answers = await Promise.all(
    NAMES.map(async (name, seed) => {
      const schema = SCHEMAS[name] ?? {};
      const options = { sampling: { ...GREEDY, temperature: 1, seed }, stop: [], maxTokens: 160 };
      const { text, end } = await answer(
        engine.chat([USER(`Give me JSON: ${name}`)], { ...options, responseFormat: { type: 'json_schema', schema } }),
      );
      return {
        name,
        text,
        finishReason: end.finishReason,
        faults: end.finishReason === 'stop' ? faultsOf(text, schema) : [],
      };
    }),
  );
  expect(answers.filter(({ finishReason, faults }) => finishReason !== 'stop' || faults.length > 0)).toEqual([]);
}, 300_000);
