import { describe, expect, test } from 'vitest';
import { GREEDY } from '../../src/config/sampling.ts';
import type { GenerateOptions } from '../../src/engine/types.ts';
import { type Answer, answer } from '../support/answer.ts';
import { draftLogits } from '../reference/draft-head.ts';
import { forward } from '../reference/forward.ts';
import { readReferenceDraftHead, readReferenceModel, type ReferenceModel } from '../reference/model.ts';
import { prefillAndSample } from '../../src/measure/steps.ts';
import { type SampledToken, greedy } from '../../src/session/sampling/sampler.ts';
import { Sequence } from '../../src/session/sequence.ts';
import type { Session } from '../../src/session/session.ts';
import { ModelDrafts } from '../../src/session/speculation/model-drafts.ts';
import { openGguf } from '../../src/weights/gguf/gguf-split.ts';
import { readModelConfig } from '../../src/weights/model-config.ts';
import { gpuBytes } from '../../src/session/model-plan.ts';
import { type EngineTestOptions, engineUnderTest, sourceOf } from '../support/engine-under-test.ts';
import { expectError } from '../support/expect-error.ts';
import { FreeSteps } from '../support/drafts/free-steps.ts';
import { BytesSource } from '../support/bytes-source.ts';
import { modelFolder } from '../support/models/safetensors-folder.ts';
import { writeSafetensors } from '../support/models/safetensors-writer.ts';
import { checkTensors, draftHeadTensors } from '../../src/weights/model-tensors.ts';
import { openSafetensorsModel } from '../../src/weights/safetensors/safetensors-model.ts';
import { Random } from '../support/random.ts';
import { tinyModel } from '../support/models/tiny-model.ts';
import { randomTokens } from '../support/random-tokens.ts';

const MODEL = {
  architecture: 'qwen35',
  type: 'F32',
  seed: 5,
  numLayers: 4,
  rotaryDim: 16,
  contextLength: 512,
  neverEnds: true,
  draftHead: true,
} as const;

/** Only these six tokens have embeddings other than zero, so that a random head is sometimes right. */
const FEW = { from: 54, to: 60 };

async function fewTokens(): Promise<Uint8Array> {
  const bytes = tinyModel(MODEL);
  const { tensors } = await openGguf([sourceOf(bytes)]);
  const { offset, bytes: size } = tensors.find(({ name }) => name === 'token_embd.weight')!;
  const row = size / readModelConfig(await openGguf([sourceOf(bytes)])).vocabSize;
  return bytes.fill(0, offset + FEW.to * row, offset + size).fill(0, offset, offset + FEW.from * row);
}

const likeliest = (logits: ArrayLike<number>): number =>
  Array.from(logits).reduce((best, logit, token) => (logit > logits[best]! ? token : best), 0);

/**
 * Compares the head's logits after `text` with the reference; the model has read all but the last token. Returns the
 * length of the reused prefix.
 */
const expectKnown = async (
  session: Session,
  text: readonly number[],
  [model, head]: readonly [ReferenceModel, ReferenceModel],
): Promise<number> => {
  const drafter = session.draftModel!;
  const sequence = drafter.sequences.take(text);
  const { length } = sequence.tokens;
  drafter.transformer.hiddenStates!.keepFrom(text.length, 0);
  let logits: Promise<Float32Array> | undefined;
  await drafter.prefill(sequence, text.slice(length), (start, count) => {
    if (length + start + count === text.length) logits = drafter.logits(count - 1, 1);
  });
  drafter.release(sequence);
  expect(nmse([(await logits)!], [draftLogits(model, head, text).at(-1)!])).toBeLessThan(1e-7);
  return length;
};

describe.each(['cpu', 'gpu'] as const)('a draft head on class %s', (deviceClass) => {
  test('matches the reference', async () => {
    const bytes = tinyModel(MODEL);
    const session = await (await engineUnderTest(bytes, { deviceClass })).session();
    const head = session.draftModel!;
    const tokens = randomTokens(90, 270, 3);
    const text = new Sequence();
    expect(session.keepStates(text)).toBe(true);
    expect(session.keepStates(new Sequence())).toBe(false);
    await session.prefill(text, tokens, () => undefined);
    head.transformer.hiddenStates!.keepFrom(tokens.length, 0);
    const { vocabSize } = head.plan.config;
    const got: Float32Array[] = [];
    await head.prefill(new Sequence(), tokens, async (_start, length) => {
      const logits = await head.logits(0, length);
      for (let t = 0; t < length; t++) got.push(logits.slice(t * vocabSize, (t + 1) * vocabSize));
    });
    const want = draftLogits(
      await readReferenceModel([sourceOf(bytes)]),
      await readReferenceDraftHead([sourceOf(bytes)]),
      tokens,
    );
    expect(got.length).toBe(tokens.length);
    expect(nmse(got, want)).toBeLessThan(1e-7);
  });

  test('matches the reference after drafted tokens, accepted or not', async () => {
    const bytes = await fewTokens();
    const session = await (await engineUnderTest(bytes, { deviceClass })).session();
    const drafter = session.draftModel!;
    const [model, head] = [
      await readReferenceModel([sourceOf(bytes)]),
      await readReferenceDraftHead([sourceOf(bytes)]),
    ];
    const text = randomTokens(40, FEW.to - FEW.from, 3).map((token) => FEW.from + token);
    const sequence = new Sequence();
    const [prompt, last] = [text.slice(0, -1), text.at(-1)!];
    session.keepStates(sequence);
    session.samples.sampler.begin(0, GREEDY, text);
    await session.prefill(sequence, prompt, () => undefined);
    session.device.gpuDevice.queue.writeBuffer(session.transformer.activations.tokens, 0, new Uint32Array([last]));
    const drafts = new ModelDrafts(text, {
      draftModel: drafter,
      slot: 0,
      vocabSize: session.plan.config.vocabSize,
      costs: session.stepCosts,
    });
    drafts.begin();
    await drafts.settled();
    const given: number[] = [];
    /** The first drafted token after each length of the text. */
    const firstDrafted = new Map<number, number>();
    let read = 0;
    for (const count of [3, 7, 1, 7, 2, 7, 3, 7]) {
      read = text.length;
      const drafted = await drafts.next(count);
      expect(drafted).toHaveLength(count);
      firstDrafted.set(read, drafted[0]!);
      const drawn = await session.verify(greedy(sequence, text.length), {
        tokens: drafted,
        rows: undefined,
        text: { prompt: text, answer: [] },
      });
      sequence.tokens.push(text.at(-1)!, ...drafted.slice(0, drawn.length - 1));
      for (const { token } of drawn) drafts.push(token);
      text.push(...drawn.map(({ token }) => token));
      given.push(drawn.length);
    }
    const next = forward(model, text).map(likeliest);
    expect(text.slice(prompt.length + 1)).toEqual(next.slice(prompt.length, -1));
    const draftedNext = draftLogits(model, head, text).map(likeliest);
    for (const [length, token] of firstDrafted) expect(token).toBe(draftedNext[length - 1]);
    expect(Math.max(...given)).toBeGreaterThan(1); // some drafted tokens are accepted
    expect(Math.min(...given)).toBe(1);
    await drafts.close();
    // After all tokens it has read, accepted drafts among them, it has the hidden states of the model.
    const whole = text.slice(0, read + 1);
    expect(await expectKnown(session, whole, [model, head])).toBe(read);
  });
});

describe('a draft head reads the hidden states of the model', () => {
  const opened = async () => {
    const bytes = await fewTokens();
    const session = await (await engineUnderTest(bytes)).session();
    const reference = [
      await readReferenceModel([sourceOf(bytes)]),
      await readReferenceDraftHead([sourceOf(bytes)]),
    ] as const;
    const text = randomTokens(40, FEW.to - FEW.from, 3).map((token) => FEW.from + token);
    const draftsOf = (of: readonly number[]) =>
      new ModelDrafts(of, {
        draftModel: session.draftModel!,
        slot: 0,
        vocabSize: session.plan.config.vocabSize,
        costs: session.stepCosts,
      });
    return { session, reference, text, draftsOf };
  };

  test('after a prompt', async () => {
    const { session, reference, text, draftsOf } = await opened();
    const sequence = new Sequence();
    session.keepStates(sequence);
    await session.prefill(sequence, text, () => undefined);
    const drafts = draftsOf(text);
    drafts.begin();
    await drafts.settled();
    await drafts.close();
    expect(await expectKnown(session, [...text, FEW.from], reference)).toBe(text.length);
  });

  test('in the next turn', async () => {
    const { session, reference, text, draftsOf } = await opened();
    const sequence = new Sequence();
    session.keepStates(sequence);
    session.samples.sampler.begin(0, GREEDY, text);
    let drawn = [await prefillAndSample(session, sequence, text)];
    const drafts = draftsOf(text);
    drafts.begin();
    let read = 0;
    // Until a drafted token is accepted, which the head has read as its own guess.
    do {
      for (const { token } of drawn) drafts.push(token);
      text.push(...drawn.map(({ token }) => token));
      await drafts.settled();
      read = text.length;
      const drafted = await drafts.next(7);
      drawn = await session.verify(greedy(sequence, text.length), {
        tokens: drafted,
        rows: undefined,
        text: { prompt: text, answer: [] },
      });
      sequence.tokens.push(text.at(-1)!, ...drafted.slice(0, drawn.length - 1));
    } while (drawn.length < 2);
    await drafts.close();
    text.push(...drawn.map(({ token }) => token));
    expect(await expectKnown(session, text, reference)).toBe(read);
  });

  test('after steps with other sequences', async () => {
    const { session, reference, text } = await opened();
    const [sequence, other] = [new Sequence(), new Sequence(undefined, 1)];
    session.keepStates(sequence);
    text.push((await prefillAndSample(session, sequence, text)).token);
    await prefillAndSample(session, other, text.slice(0, 30));
    for (let step = 0; step < 4; step++) {
      const drawn = await session.batches.decode([other, sequence].map((each) => greedy(each, each.tokens.length + 1)));
      sequence.tokens.push(text.at(-1)!);
      other.tokens.push(7); // any token: only positions matter
      text.push((drawn[1] as SampledToken).token);
    }
    await expectKnown(session, text, reference);
  });
});

/** NMSE over all rows. */
function nmse(got: readonly ArrayLike<number>[], want: readonly ArrayLike<number>[]): number {
  let [error, power] = [0, 0];
  want.forEach((row, t) =>
    Array.from(row).forEach((value, i) => {
      error += (value - got[t]![i]!) ** 2;
      power += value ** 2;
    }),
  );
  return error / power;
}

const PROMPT = 'Nothing of this stands here twice: a fox, seven jugs, or quartz';

async function opened(options: EngineTestOptions = {}) {
  const engine = await engineUnderTest(await fewTokens(), options);
  (await engine.session()).stepCosts = new FreeSteps();
  const logitBias = new Map(
    Array.from(
      { length: engine.tokenizer.vocabSize },
      (_, token) => [token, token >= FEW.from && token < FEW.to ? 0 : -100] as const,
    ),
  );
  const sampling = { ...GREEDY, logitBias };
  const ask = (more: Partial<GenerateOptions> = {}, prompt = PROMPT): Promise<Answer> =>
    answer(engine.complete(prompt, { sampling, stop: [], maxTokens: 60, speculate: true, ...more }));
  /** Compares answers with and without drafts. Returns tokens per step. */
  const expectSame = async (more: Partial<GenerateOptions> = {}, prompt = PROMPT): Promise<number> => {
    const plain = await ask({ ...more, speculate: false }, prompt);
    const { tokens, end } = await ask(more, prompt);
    expect(tokens).toEqual(plain.tokens);
    return end.report.tokensPerStep;
  };
  return { engine, sampling, ask, expectSame };
}

describe('drafts do not change answers', () => {
  test('in turns', async () => {
    const { engine, ask, expectSame } = await opened();
    expect(await expectSame()).toBeGreaterThan(1.1);
    expect((await engine.session()).draftModel!.sequences.idle).not.toEqual([]); // it has read the text
    const { text } = await ask();
    expect(await expectSame({}, `${PROMPT}${text} and`)).toBeGreaterThan(1.05);
    expect(await expectSame({}, 'Another text, with more, or less')).toBeGreaterThan(1.05);
  });

  test('at temperature, with a grammar, and with a cache policy past the context', async () => {
    const { sampling, expectSame } = await opened();
    await expectSame({ sampling: { ...sampling, temperature: 0.5, seed: 1 } });
    await expectSame({
      sampling: GREEDY,
      responseFormat: { type: 'grammar', grammar: 'root ::= ("ab" | "cd" | "e")+' },
    });
    const short = await opened({ contextLength: 160 });
    await short.expectSame({ kv: 'policy', maxTokens: 140 });
  });

  test('with concurrent sequences, one of them with drafts, and after an abort', async () => {
    const { engine, ask } = await opened();
    const prompts = [PROMPT, 'The tide, a lamp', 'Who goes there'];
    const alone: number[][] = [];
    for (const prompt of prompts) alone.push((await ask({ speculate: false }, prompt)).tokens);
    const together = await Promise.all(prompts.map((prompt, i) => ask({ maxTokens: 40 + 10 * i }, prompt)));
    together.forEach(({ tokens }, i) => expect(tokens).toEqual(alone[i]?.slice(0, 40 + 10 * i)));
    const controller = new AbortController();
    await expectError(() => ask({ signal: controller.signal, onKv: () => controller.abort() }), 'aborted', {});
    const { end, tokens } = await ask();
    expect(tokens).toEqual(alone[0]);
    expect(end.report.tokensPerStep).toBeGreaterThan(1.1);
    expect((await engine.session()).keepStates(new Sequence())).toBe(true); // no drafter keeps any
  });
});

test("a draft head uses the model's device, and its memory counts as the model's", async () => {
  const bytes = tinyModel(MODEL);
  const { engine } = await opened();
  const session = await engine.session();
  expect(session.devices).toEqual([session.device]);
  const without = await engineUnderTest(bytes, { draftModel: [sourceOf(tinyModel({ ...MODEL, draftHead: false }))] });
  const other = await without.session();
  expect(other.draftModel!.device).not.toBe(other.device); // a draft model that the caller names is used instead
  expect(other.transformer.hiddenStates).toBeUndefined();
  const own = [...session.plan.draftHead!.tensors.values()].filter(({ name }) => name.startsWith('blk.'));
  const { weights } = session.device.buffers.report();
  expect(weights - other.device.buffers.report().weights).toBe(own.reduce((sum, tensor) => sum + gpuBytes(tensor), 0));
  engine.dispose();
  expect(session.device.buffers.report().total).toBe(0);
});

test('a draft head is skipped if it does not fit or is unsupported; a damaged one is refused', async () => {
  const bytes = tinyModel(MODEL);
  const { plan } = await (await engineUnderTest(bytes)).session();
  const headOf = async (options: EngineTestOptions, model = bytes) =>
    (await (await engineUnderTest(model, options)).session()).draftModel;
  expect(await headOf({ memoryLimitBytes: plan.totalBytes + plan.draftHead!.totalBytes })).toBeDefined();
  expect(await headOf({ memoryLimitBytes: plan.totalBytes + plan.draftHead!.totalBytes - 1 })).toBeUndefined();
  const renamed = (from: string, to: string): Uint8Array => replaced(bytes, from, to);
  expect(
    await headOf({}, renamed('blk.4.nextn.shared_head_norm.weight', 'blk.4.nextn.shared_head_head.weight')),
  ).toBeUndefined();
  const file = await openGguf([sourceOf(bytes)]);
  const halved = file.tensors.map((tensor) =>
    tensor.name.endsWith('nextn.enorm.weight') ? { ...tensor, type: 'F16' as const, bytes: tensor.bytes / 2 } : tensor,
  );
  expect(draftHeadTensors({ ...file, tensors: halved }, plan.config)).toBeUndefined(); // F32 vectors are supported
  await expectError(() => headOf({}, renamed('blk.4.attn_k.weight', 'blk.5.attn_k.weight')), 'bad_file', {
    field: 'blk.4.attn_k.weight',
  });
});

/** A file with one name replaced by another of equal length. */
function replaced(bytes: Uint8Array, from: string, to: string): Uint8Array {
  const copy = bytes.slice();
  const at = Buffer.from(copy.buffer).indexOf(from);
  copy.set(new TextEncoder().encode(to), at);
  return copy;
}

test('in safetensors files the tensors of a draft head have the prefix mtp', async () => {
  const files = modelFolder('qwen35');
  const without = await openSafetensorsModel(files, 'F16');
  const config = readModelConfig(without);
  const { hiddenSize, intermediateSize, numHeads, numKvHeads, headDim } = config;
  const random = new Random(9);
  const layer = 'mtp.layers.0.';
  const shapes: Record<string, number[]> = {
    ...{
      'mtp.fc.weight': [hiddenSize, 2 * hiddenSize],
      'mtp.pre_fc_norm_embedding.weight': [hiddenSize],
      'mtp.pre_fc_norm_hidden.weight': [hiddenSize],
      'mtp.norm.weight': [hiddenSize],
    },
    ...{ [`${layer}input_layernorm.weight`]: [hiddenSize], [`${layer}post_attention_layernorm.weight`]: [hiddenSize] },
    ...{ [`${layer}self_attn.q_norm.weight`]: [headDim], [`${layer}self_attn.k_norm.weight`]: [headDim] },
    ...{
      [`${layer}self_attn.q_proj.weight`]: [2 * numHeads * headDim, hiddenSize],
      [`${layer}self_attn.o_proj.weight`]: [hiddenSize, numHeads * headDim],
    },
    ...{
      [`${layer}self_attn.k_proj.weight`]: [numKvHeads * headDim, hiddenSize],
      [`${layer}self_attn.v_proj.weight`]: [numKvHeads * headDim, hiddenSize],
    },
    ...{
      [`${layer}mlp.gate_proj.weight`]: [intermediateSize, hiddenSize],
      [`${layer}mlp.up_proj.weight`]: [intermediateSize, hiddenSize],
      [`${layer}mlp.down_proj.weight`]: [hiddenSize, intermediateSize],
    },
    'mtp.layers.1.input_layernorm.weight': [hiddenSize], // only the first of several layers runs
  };
  const tensors = Object.entries(shapes).map(([name, shape]) => ({
    name,
    shape,
    type: 'F32',
    bytes: new Uint8Array(
      random.normals(
        shape.reduce((a, b) => a * b),
        0.1,
      ).buffer as ArrayBuffer,
    ),
  }));
  const more = new BytesSource('mtp.safetensors', writeSafetensors(tensors));
  const header = await openSafetensorsModel([...files, more], 'F16');
  expect(readModelConfig(header)).toEqual(config);
  expect(draftHeadTensors(without, config)).toBeUndefined();
  const head = draftHeadTensors(header, config)!;
  // With unsupported parts, or without its input, the head is omitted, and the model is unchanged.
  const left = [
    [...tensors, { ...tensors[0]!, name: 'mtp.embed_tokens.weight' }],
    [...tensors, { ...tensors[0]!, name: 'mtp.layers.0.mlp.router.weight' }],
    tensors.slice(1),
  ];
  for (const other of left) {
    const whole = await openSafetensorsModel(
      [...files, new BytesSource('mtp.safetensors', writeSafetensors(other))],
      'F16',
    );
    expect(draftHeadTensors(whole, readModelConfig(whole))).toBeUndefined();
    expect([...checkTensors(whole, readModelConfig(whole)).keys()]).toEqual([...checkTensors(without, config).keys()]);
  }
  const norm = head.tensors.get('blk.0.nextn.hnorm.weight')!;
  const found = new Float32Array((await norm.source.read(norm.offset, norm.bytes)).slice().buffer);
  const stored = new Float32Array(tensors.find(({ name }) => name === 'mtp.pre_fc_norm_hidden.weight')!.bytes.buffer);
  expect(found).toEqual(stored.map((weight) => weight + 1)); // the architecture stores norm weights minus one
  const engine = await engineUnderTest([...files, more]);
  expect((await engine.session()).draftModel).toBeDefined();
});
