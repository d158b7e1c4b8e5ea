import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { decide } from '../../src/api/decisions/decide.ts';
import type { Decision, DecisionQuestion } from '../../src/api/decisions/types.ts';
import type { LocalEngine } from '../../src/engine/engine.ts';
import { engineUnderTest } from '../support/engine-under-test.ts';
import { bytesOf, peftFolder } from '../support/peft-fixtures.ts';

/** Written by tools/fixtures/decision_probabilities.py. */
const FOLDER = join(import.meta.dirname, '../fixtures/decisions');

interface Case {
  model: string;
  adapter: string | null;
  question: DecisionQuestion;
  tokens: number[];
  shares: number[];
  mass: number;
}

const cases = JSON.parse(readFileSync(join(FOLDER, 'cases.json'), 'utf8')) as Case[];
const models = [...new Set(cases.map(({ model }) => model))];

const ask = (engine: LocalEngine, asked: readonly Case[]): Promise<Decision> => {
  const client = { adapters: async () => engine.adapters(), scoreLabels: engine.scoreLabels.bind(engine) };
  const questions = asked.map(({ question, adapter }) => ({ ...question, ...(adapter !== null && { adapter }) }));
  return decide(client, 'tiny', { input: 'Seven winds.', questions, return_prompt_token_ids: true }, undefined);
};

function sharesOf(answer: Decision['answers'][number]): number[] {
  if (answer.type === 'predicate') return [answer.probability, 1 - answer.probability];
  return answer.type === 'choice' ? answer.probabilities.map(({ probability }) => probability) : [];
}

test.each(models)(
  '%s: decisions without an adapter, with an ordinary and with an activated one, alone and in one request, are those of transformers and PEFT',
  async (model) => {
    const engine = await engineUnderTest(bytesOf(join(FOLDER, `../peft/${model}.gguf`)));
    for (const name of ['early', 'late']) await engine.loadAdapter(name, peftFolder(join(FOLDER, model, name)));
    const asked = cases.filter((one) => one.model === model);
    const mixed = await ask(engine, asked);
    for (const [i, one] of asked.entries()) {
      (await engine.session()).sequences.makeRoom(Infinity);
      const alone = await ask(engine, [one]);
      for (const answer of [mixed.answers[i]!, alone.answers[0]!]) {
        const name = `${one.adapter}: ${one.question.type}`;
        expect(answer.prompt_token_ids, name).toEqual(one.tokens);
        one.shares.forEach((share, at) => expect(Math.abs(sharesOf(answer)[at]! - share), name).toBeLessThan(1e-4));
        expect(Math.abs(Math.log(answer.label_mass / one.mass)), name).toBeLessThan(0.02);
      }
    }
    // What an adapter without effect would miss.
    const base = asked.filter(({ adapter }) => adapter === null);
    for (const adapter of ['early', 'late']) {
      const own = asked.filter((one) => one.adapter === adapter);
      const changes = own.map(({ shares }, at) => Math.abs(shares[0]! - base[at]!.shares[0]!));
      expect(Math.max(...changes), adapter).toBeGreaterThan(4e-4);
    }
  },
);
