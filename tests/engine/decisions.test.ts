import { expect, test } from 'vitest';
import { serveStream, readStream } from '../../workers/wire.ts';
import { calibrate } from '../../src/api/decisions/calibrate.ts';
import { decide, type DecisionClient } from '../../src/api/decisions/decide.ts';
import { probabilities } from '../../src/api/decisions/distribution.ts';
import type { Decision, DecisionChoice, DecisionRequest } from '../../src/api/decisions/types.ts';
import type { LocalEngine } from '../../src/engine/engine.ts';
import type { LabelRead, LabelScores } from '../../src/engine/types.ts';
import { forward } from '../reference/forward.ts';
import { readReferenceModel } from '../reference/model.ts';
import { logSumExp } from '../../src/session/sampling/sampler.ts';
import { merged } from '../support/adapters/merged-model.ts';
import { USER } from '../support/answer.ts';
import { BytesSource } from '../support/bytes-source.ts';
import { type EngineTestOptions, engineUnderTest, logitsOf } from '../support/engine-under-test.ts';
import { expectError } from '../support/expect-error.ts';
import { peftSource, tinyAdapter } from '../support/models/tiny-adapter.ts';
import { tinyModel, type TinyModelOptions } from '../support/models/tiny-model.ts';
import { byTier } from '../support/tier.ts';

const STORY = 'Seven winds blow over the sea, and the eighth waits in a cave. ';
/** Labels of one token, labels of two tokens that share the first, and words of several tokens. */
const LETTERS = ['A', 'B', 'C'];
const PAIRS = ['A0', 'A1', 'B0'];
const WORDS = ['yes', 'no'];
const uses = (name: string, scale = 1) => ({ adapters: [{ name, scale }] });

/** An ordinary adapter `plain`, and `late`, which starts at the question. */
async function adaptedEngine(model: Uint8Array, options: EngineTestOptions = {}): Promise<LocalEngine> {
  const engine = await engineUnderTest(model, options);
  const { config } = (await engine.session()).plan;
  await engine.loadAdapter('plain', peftSource(tinyAdapter(config, { seed: 3, gain: 0.1 })));
  const alora_invocation_tokens = engine.tokenizer.encode('Question:');
  await engine.loadAdapter(
    'late',
    peftSource(tinyAdapter(config, { seed: 4, gain: 0.1, config: { alora_invocation_tokens } })),
  );
  return engine;
}

async function scores(engine: LocalEngine, reads: readonly LabelRead[]): Promise<LabelScores[]> {
  const scored: LabelScores[] = [];
  for await (const each of engine.scoreLabels([USER(STORY)], reads, {})) scored[each.read] = each;
  return scored;
}

const READS: LabelRead[] = [
  { text: 'Question: which?', labels: LETTERS },
  { text: 'Question: which?', labels: LETTERS, ...uses('late') },
  { text: 'Question: which?', labels: LETTERS, ...uses('plain', 0.5) },
  { text: 'Question: so?', labels: WORDS, ...uses('late') },
  { text: 'Question: and where?', labels: PAIRS },
  { text: 'Question: and where?', labels: PAIRS, ...uses('plain') },
];

/** Log-probability of each label from the reference's `logits`. */
async function expectedOf(
  engine: LocalEngine,
  { promptTokens }: LabelScores,
  labels: readonly string[],
  logits: (tokens: readonly number[]) => Promise<readonly Float32Array[]>,
): Promise<number[]> {
  const known = new Map<string, readonly Float32Array[]>();
  const logs: number[] = [];
  for (const label of labels) {
    const own = engine.tokenizer.encode(label);
    const before = own.slice(0, -1);
    const all = known.get(before.join()) ?? (await logits([...promptTokens, ...before]));
    known.set(before.join(), all);
    const rows = all.slice(promptTokens.length - 1);
    logs.push(own.reduce((sum, token, i) => sum + rows[i]![token]! - logSumExp(rows[i]!), 0));
  }
  return logs;
}

const exp = (logs: readonly number[]): number[] => logs.map(Math.exp);
const difference = (a: readonly number[], b: readonly number[]): number =>
  Math.max(...a.map((value, i) => Math.abs(value - b[i]!)));

type Model = Partial<TinyModelOptions> & Pick<TinyModelOptions, 'architecture'> & EngineTestOptions;
const MODELS: Record<string, Model> = {
  llama: { architecture: 'llama' },
  'llama on class gpu': { architecture: 'llama', deviceClass: 'gpu' },
  'lfm2, which convolves': { architecture: 'lfm2' },
  'granite, with multipliers': { architecture: 'granite' },
  'qwen35, whose layers have states': {
    ...{ architecture: 'qwen35', numLayers: 3, attending: [1], deltaHeads: [8, 8, 16], headDim: 32, rotaryDim: 16 },
  },
  'gemma3, which attends within a window': { architecture: 'gemma3' },
};

test.each(byTier(Object.keys(MODELS).slice(0, 1), Object.keys(MODELS)))(
  "%s: probabilities equal the reference's, mixed adapters equal one at a time, and the input is read once",
  async (name) => {
    const { deviceClass, ...options } = { contextLength: 1024, neverEnds: true, ...MODELS[name]! };
    const model = tinyModel({ type: 'F32', seed: 71, ...options });
    const engine = await adaptedEngine(model, deviceClass && { deviceClass });
    const together = await scores(engine, READS);
    for (const [i, read] of READS.entries()) {
      const { cachedTokens, readAgain, logprobs } = together[i]!;
      const isPlain = read.adapters?.[0]?.name === 'plain';
      // The prefix is read once for all that start with the base, and once for each scale of the ordinary adapter.
      const isFirst = i === 0 || isPlain;
      if (isFirst) expect([cachedTokens, readAgain > 0], read.text).toEqual([0, isPlain]);
      else expect(cachedTokens, read.text).toBeGreaterThan(engine.tokenizer.encode(STORY).length);
      // Every further read of the base continues before the invocation, and reads that again.
      if (!isPlain) expect(readAgain, read.text).toBeLessThanOrEqual('Question:'.length);
      (await engine.session()).sequences.makeRoom(Infinity);
      const [alone] = await scores(engine, [read]);
      expect(difference(exp(alone!.logprobs), exp(logprobs)), read.text).toBeLessThan(1e-5);
      const { adapters } = read;
      const own = await expectedOf(engine, alone!, read.labels, (tokens) => logitsOf(engine, tokens, { adapters }));
      expect(difference(exp(own), exp(logprobs)), read.text).toBeLessThan(1e-5);
    }
    expect(together[1]!.logprobs).not.toEqual(together[0]!.logprobs);
    const plain = [0, 0] as const;
    const adapted = [2, 0.5] as const;
    for (const [i, scale] of byTier([adapted], [plain, adapted])) {
      const { config } = (await engine.session()).plan;
      const weights = await merged(model, [[tinyAdapter(config, { seed: 3, gain: 0.1 }), scale]]);
      const reference = await readReferenceModel([new BytesSource('tiny.gguf', weights)]);
      const own = await expectedOf(engine, together[i]!, READS[i]!.labels, async (tokens) =>
        forward(reference, tokens).map((row) => Float32Array.from(row)),
      );
      expect(difference(exp(own), exp(together[i]!.logprobs))).toBeLessThan(1e-4);
    }
  },
);

/** Ten questions with labels of two tokens, more than one batch of branches; every third with an adapter that starts late. */
const MANY: LabelRead[] = Array.from({ length: 10 }, (_, i) => ({
  ...{ text: `Question: is it ${i}?`, labels: PAIRS },
  ...(i % 3 === 0 && uses('late')),
}));

/** Longer than the windows of tiny models. */
const LONG = MANY.map((read) => ({ ...read, text: `${read.text}${' And does the wind blow?'.repeat(12)}` }));

const ROOM = ['with room for all branches', MANY, { architecture: 'llama', contextLength: 1024 }] as const;
test.each(
  byTier([ROOM], [
    ROOM,
    ['with room for one branch', MANY, { architecture: 'llama', contextLength: 320 }],
    ['that leaves no page for a branch', MANY, { architecture: 'llama', contextLength: 160 }],
    ['that convolutions do not see', LONG, { architecture: 'lfm2', contextLength: 4096 }],
    ['that windows do not see', LONG, { architecture: 'gemma3', contextLength: 4096 }],
  ] as const),
)('questions in shared batches give the results of one at a time, in a context %s', async (_, reads, options) => {
  const model = tinyModel({ type: 'F32', seed: 71, neverEnds: true, ...options });
  const engine = await adaptedEngine(model);
  const { sequences, transformer } = await engine.session();
  const together = await scores(engine, reads);
  for (const [i, read] of reads.entries()) {
    sequences.makeRoom(Infinity);
    const [alone] = await scores(engine, [read]);
    expect(difference(exp(alone!.logprobs), exp(together[i]!.logprobs)), read.text).toBeLessThan(1e-5);
  }
  sequences.makeRoom(Infinity);
  expect(transformer.cache.freePages).toBe(transformer.cache.numPages); // no branch keeps one
});

test.each(byTier(['cpu'] as const, ['cpu', 'gpu'] as const))(
  'on class %s, five questions with different adapters take fewer than twice the dispatches of one',
  async (deviceClass) => {
    const model = tinyModel({ architecture: 'llama', type: 'F32', seed: 71, contextLength: 1024, neverEnds: true });
    const engine = await adaptedEngine(model, { deviceClass });
    const { recorder } = await engine.session();
    const dispatchesOf = async (reads: readonly LabelRead[]): Promise<number> => {
      const before = recorder.dispatches;
      await scores(engine, reads);
      return recorder.dispatches - before;
    };
    const asked = (word: string): LabelRead => ({ text: `Question: ${word}?`, labels: LETTERS });
    await scores(engine, [asked('so')]); // reads the input
    const one = await dispatchesOf([{ ...asked('a'), ...uses('late') }]);
    const five = await dispatchesOf(
      ['b', 'c', 'd', 'e', 'f'].map((word, i) => ({ ...asked(word), ...(i % 2 === 0 && uses('late', i + 1)) })),
    );
    expect(five).toBeLessThan(2 * one);
  },
);

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
  const options = { architecture: 'llama' as const, contextLength: 1024, neverEnds: true };
  const engine = await adaptedEngine(tinyModel({ type: 'F32', seed: 71, ...options }));
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
  const engine = await engineUnderTest(
    tinyModel({ architecture: 'llama', type: 'F32', seed: 71, contextLength: 1024, neverEnds: true }),
  );
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
