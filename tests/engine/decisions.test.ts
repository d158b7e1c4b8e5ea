import { expect, test } from 'vitest';
import { serveStream, readStream } from '../../workers/wire.ts';
import { calibrate } from '../../src/api/decisions/calibrate.ts';
import { decide, type DecisionClient } from '../../src/api/decisions/decide.ts';
import { probabilities } from '../../src/api/decisions/distribution.ts';
import type { Decision, DecisionChoice, DecisionRequest } from '../../src/api/decisions/types.ts';
import type { LocalEngine } from '../../src/engine/engine.ts';
import type { LabelScores } from '../../src/engine/types.ts';
import { USER } from '../support/answer.ts';
import { engineUnderTest, logitsOf } from '../support/engine-under-test.ts';
import { expectError } from '../support/expect-error.ts';
import {
  adaptedEngine,
  expectReads,
  expectSharedAsAlone,
  expectSharedDispatches,
  LETTERS,
  MANY,
  scores,
  uses,
} from '../support/label-reads.ts';
import { peftSource, tinyAdapter } from '../support/models/tiny-adapter.ts';
import { tinyModel } from '../support/models/tiny-model.ts';

const MODEL = tinyModel({ architecture: 'llama', type: 'F32', seed: 71, contextLength: 1024, neverEnds: true });

test("probabilities equal the reference's, mixed adapters equal one at a time, and the input is read once", async () =>
  expectReads(await adaptedEngine(MODEL), MODEL));

test('questions in shared batches give the results of one at a time', async () =>
  expectSharedAsAlone(await adaptedEngine(MODEL), MANY));

test('five questions with different adapters take fewer than twice the dispatches of one', async () =>
  expectSharedDispatches(await adaptedEngine(MODEL)));

test('reports whether a label is the likeliest token, and refuses invalid labels', async () => {
  const engine = await engineUnderTest(tinyModel({ architecture: 'llama', type: 'F32', seed: 71, contextLength: 256 }));
  const { tokenizer } = engine;
  const printable = Array.from({ length: 94 }, (_, i) => String.fromCharCode(33 + i));
  const ask = (labels: readonly string[], content = 'So?') => {
    const scored = engine.scoreLabels([USER(content)], [{ text: 'Question: it?', labels }], {});
    return scored.next().then(({ value }) => value as LabelScores);
  };
  const { logprobs, isLikeliest, promptTokens } = await ask(printable);
  const all = (await logitsOf(engine, promptTokens)).at(-1)!;
  const likeliest = all.indexOf(all.reduce((most, logit) => Math.max(most, logit)));
  const best = printable[logprobs.indexOf(Math.max(...logprobs))]!;
  expect(isLikeliest).toBe(tokenizer.encode(best)[0] === likeliest);
  const others = printable.filter((label) => label !== best);
  expect((await ask(others)).isLikeliest).toBe(false);
  await expectError(() => ask(['A', 'AB']), 'bad_request', { field: 'labels', reason: /"A" begins "AB"/ });
  await expectError(() => ask(['A', 'A']), 'bad_request', { field: 'labels' });
  await expectError(() => ask(['A'], 'long '.repeat(100)), 'context_overflow', { field: 'input' });
  const thinking = "{{ messages[0]['content'] }}\n<think>\n";
  const reasons = await engineUnderTest(
    tinyModel({ architecture: 'llama', type: 'F32', seed: 71, metadata: { 'tokenizer.chat_template': thinking } }),
  );
  const read = reasons.scoreLabels([USER('So?')], [{ text: 'it?', labels: ['A'] }], {});
  await expectError(() => read.next(), 'unsupported', { field: 'tokenizer.chat_template', reason: /reasoning/ });
});

test('an activated adapter whose invocation is not in the question, and one named twice, are refused, and the engine continues', async () => {
  const engine = await adaptedEngine(MODEL);
  const read = { text: 'Which?', labels: LETTERS, ...uses('late') };
  await expectError(() => scores(engine, [read]), 'bad_request', { field: 'adapter', reason: /late/ });
  const twice = { ...read, adapters: [1, 0.5].map((scale) => ({ name: 'plain', scale })) };
  await expectError(() => scores(engine, [twice]), 'bad_request', { field: 'adapter', reason: /plain is named twice/ });
  engine.unloadAdapter('late');
  expect(await scores(engine, [{ ...read, adapters: [] }])).toHaveLength(1);
});

/** A client as the page has it, without threads. */
const clientOf = (engine: LocalEngine): DecisionClient => ({
  adapters: async () => engine.adapters(),
  scoreLabels(messages, reads, { signal }) {
    const { port1, port2 } = new MessageChannel();
    void serveStream(port2, (ended) => engine.scoreLabels(messages, reads, { signal: ended }));
    return readStream(port1, { signal, gone: new AbortController().signal });
  },
});

test('decisions: label orders are averaged, temperatures come from adapters or are fitted, and a low mass is refused', async () => {
  const engine = await engineUnderTest(MODEL);
  const { config } = (await engine.session()).plan;
  const decision_temperatures = { choice: 2.5 };
  await engine.loadAdapter(
    'own',
    peftSource(tinyAdapter(config, { seed: 3, gain: 0.1, config: { decision_temperatures } })),
  );
  const client = clientOf(engine);
  const ask = (request: Partial<DecisionRequest>): Promise<Decision> =>
    decide(client, 'tiny', { input: 'Seven winds blow.', questions: [], ...request }, undefined);
  const sharesOf = ({ answers: [answer] }: Decision): Record<string, number> => {
    if (answer?.type !== 'choice') throw new Error('no choice');
    expect(answer.probabilities.reduce((sum, { probability }) => sum + probability, 0)).toBeCloseTo(1, 9);
    return Object.fromEntries(
      answer.probabilities.map(({ value, probability }): [string, number] => [`${value}`, probability]),
    );
  };
  const choice = (values: readonly string[], more: Partial<DecisionChoice> = {}): DecisionChoice => ({
    ...{ type: 'choice', instructions: 'Which?', choices: values.map((value) => ({ value })) },
    ...more,
  });

  const turned: Record<string, number>[] = [];
  for (const order of ['xyz', 'yzx', 'zxy']) turned.push(sharesOf(await ask({ questions: [choice([...order])] })));
  const averaged = sharesOf(await ask({ questions: [choice(['x', 'y', 'z'])], permutations: 3 }));
  for (const value of ['x', 'y', 'z'])
    expect(averaged[value]).toBeCloseTo(turned.reduce((sum, own) => sum + own[value]!, 0) / 3, 5);
  expect(turned[0]!['x']).not.toBeCloseTo(turned[1]!['x']!, 3);

  const plain = sharesOf(await ask({ questions: [choice(['x', 'y'], { adapter: 'own', temperature: 1 })] }));
  const tempered = sharesOf(await ask({ questions: [choice(['x', 'y'])], adapter: 'own' }));
  const logs = [Math.log(plain['x']!), Math.log(plain['y']!)];
  expect(tempered['x']).toBeCloseTo(probabilities([logs], 2.5)[0]!, 5);

  const many = Array.from({ length: 31 }, (_, i) => `v${i}`);
  const ofMany = await ask({ questions: [choice(many)], return_prompt_token_ids: true });
  expect(Object.keys(sharesOf(ofMany))).toEqual(many);
  const [answer] = ofMany.answers;
  expect(answer!.prompt_token_ids).toHaveLength(ofMany.usage.input_tokens);
  expect(answer!.label_mass).toBeLessThan(1);
  const refused = await ask({ questions: [{ type: 'predicate', instructions: 'So?' }], min_label_mass: 1 });
  expect(refused.answers).toMatchObject([{ type: 'refusal', name: null }]);

  const answers = ['x', 'y', 'y'];
  const examples = answers.map((right, i) => ({ input: `Wind ${i}.`, question: choice(['x', 'y']), answer: right }));
  const { choice: fitted, predicate } = await calibrate(client, { examples }, undefined);
  expect(predicate).toBeUndefined();
  expect(fitted!.examples).toBe(3);
  expect(fitted!.nll.after).toBeLessThanOrEqual(fitted!.nll.before);
  let nll = 0;
  for (const { input, question, answer: right } of examples) {
    const shares = sharesOf(await ask({ input, questions: [{ ...question, temperature: fitted!.temperature }] }));
    nll -= Math.log(shares[right]!) / examples.length;
  }
  expect(nll).toBeCloseTo(fitted!.nll.after, 4);
});
