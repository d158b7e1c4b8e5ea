import { describe, expect, it } from 'vitest';
import { Random } from '../support/random.ts';
import { byteGrammars, randomAnswer } from '../support/grammars/random-answer.ts';
import { SCHEMAS } from '../support/grammars/schemas.ts';
import { faultsOf } from '../support/grammars/validate.ts';

const grammars = byteGrammars();

describe('whatever a grammar allows parses and is valid', () => {
  it.each(Object.entries(SCHEMAS))('%s', async (_, schema) => {
    const answers = new Set<string>();
    for (let seed = 0; seed < 12; seed++) {
      const answer = await randomAnswer(grammars, { type: 'json_schema', schema }, new Random(seed));
      expect(faultsOf(answer, schema), answer).toEqual([]);
      answers.add(answer);
    }
    expect(answers.size).toBeGreaterThan(1);
  });
});
