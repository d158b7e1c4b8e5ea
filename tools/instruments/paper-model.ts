import type { AdapterModule } from '../../src/adapters/adapter-file.ts';
import { architectureOf } from '../../src/architectures/registry.ts';
import { type CachePolicy, oldPages, oldPagesAs } from '../../src/cache/policy.ts';
import { pagesFor } from '../../src/cache/kv-cache.ts';
import { DEFAULT_THRESHOLDS } from '../../src/chunking/chunk-plan.ts';
import { linearShape, linearsOfLayer, linearsOfModel } from '../../src/architectures/linears.ts';
import type { EncoderConfig } from '../../src/config/encoder-config.ts';
import type { ModelConfig } from '../../src/config/model-config.ts';
import { GREEDY, type SamplingOptions } from '../../src/config/sampling.ts';
import type { Candidate } from '../../src/gpu/autotuner.ts';
import type { OptionalFeature } from '../../src/gpu/device.ts';
import { Recorder } from '../../src/gpu/recorder.ts';
import { loadEncoder } from '../../src/models/load-encoder.ts';
import { type LoadedLora, loadLora } from '../../src/models/load-lora.ts';
import { loadDraftHead, loadTransformer } from '../../src/models/load-transformer.ts';
import { type AdapterMix, NO_ADAPTERS } from '../../src/session/adapter-mix.ts';
import type { ModelPlan } from '../../src/session/model-plan.ts';
import { greedy } from '../../src/session/sampling/sampler.ts';
import { Sequence } from '../../src/session/sequence.ts';
import { Session } from '../../src/session/session.ts';
import { GGML_TYPES, type GgmlType } from '../../src/weights/ggml-types.ts';
import { encoderTensors } from '../../src/weights/encoder-config.ts';
import { wantedTensors } from '../../src/weights/model-tensors.ts';
import type { TensorInfo } from '../../src/weights/tensor-info.ts';
import { type NotedDispatch, openPaperDevice, type PaperOptions } from './paper-gpu.ts';

/** Phases of a model in which dispatches run. */
export type Phase =
  | 'loading'
  | 'prefill'
  | 'decode'
  | 'two streams'
  | 'sampling'
  | 'page forms'
  | 'adapters'
  | 'encoder'
  | 'plain adapters'
  | 'drafts'
  | 'one question'
  | 'five questions';
export const PHASES: readonly Phase[] = [
  'loading',
  'prefill',
  'decode',
  'two streams',
  'sampling',
  'page forms',
  'adapters',
  'encoder',
];
/** Also phases with other shapes of the same kernels: adapters as two linears; verification and drafts of several tokens. */
export const ALL_PHASES: readonly Phase[] = [...PHASES, 'plain adapters', 'drafts'];

export interface PhasedDispatch extends NotedDispatch {
  phase: Phase;
}

export interface PaperRun {
  config: ModelConfig;
  /** Type of every matrix. */
  type: GgmlType;
  features: readonly OptionalFeature[];
  phases?: readonly Phase[];
  /** Tokens of the prompt; default: a few more than one batch. */
  promptTokens?: number;
  /** Whether earlier prompts have measured the device's speed. */
  isMeasured?: boolean;
  /** What the autotuner would have chosen instead of the device's defaults. */
  variant?: Candidate;
  gpu?: PaperOptions;
}

const PROMPT_TOKENS = 300;
/** Most tokens of a sequence, and of the whole cache, in prompts. */
const LONGEST = 3;
const IN_CACHE = 10;
const ADAPTER_RANK = 16;
const QUESTION_TOKENS = 27;
const BERT_HEAD = 64;
/** Larger tensors are read as empty: uploading them would take minutes, and no kernel runs. A convolution's taps are smaller. */
const SMALL_BYTES = 1 << 18;

/** Whether the rows of all of a model's matrices are whole blocks of `type`. */
export const fits = (config: ModelConfig, type: GgmlType): boolean =>
  linearsOfModel(config).every((name) => linearShape(config, name)[1] % GGML_TYPES[type].blockSize === 0);

/** Dispatches of a model with one layer of these shapes in each phase. It always loads and prefills a prompt. */
export async function dispatchesOf({
  config: { ...config },
  type,
  features,
  phases = PHASES,
  promptTokens = PROMPT_TOKENS,
  isMeasured = false,
  variant,
  gpu,
}: PaperRun): Promise<PhasedDispatch[]> {
  config.numLayers = 1;
  config.contextLength = LONGEST * promptTokens;
  const noted: PhasedDispatch[] = [];
  let phase: Phase = 'loading';
  const note = (dispatch: NotedDispatch): void => void noted.push({ ...dispatch, phase });
  const session = await openSession(config, type, features, note, {
    gpu,
    variant,
    keepsHiddenStates: phases.includes('drafts'),
  });
  const prompt = new Array<number>(promptTokens).fill(0);
  const prefill = async (sequence: Sequence): Promise<Sequence> => {
    await session.prefill(sequence, prompt, () => undefined);
    return sequence;
  };
  if (isMeasured) for (const slot of [1, 2]) session.release(await prefill(new Sequence(NO_ADAPTERS, slot)));
  phase = 'prefill';
  const plain = await prefill(new Sequence());
  const decode = async (...sequences: Sequence[]): Promise<void> =>
    void (await session.batches.decode(sequences.map((one) => greedy(one, one.tokens.length + 1))));
  for (phase of phases) {
    if (phase === 'decode') await decode(plain);
    if (phase === 'two streams') await decode(plain, await prefill(new Sequence(NO_ADAPTERS, 1)));
    if (phase === 'sampling') await sampleEveryWay(session, plain);
    if (phase === 'encoder')
      for (const encoder of encodersOf(config, promptTokens)) await encode(session, encoder, type, promptTokens);
    if (phase === 'page forms' && config.perLayerInputs === undefined) {
      const shrunk = await prefill(new Sequence(NO_ADAPTERS, 2, EVERY_FORM));
      await prefill(shrunk);
      await decode(shrunk);
      await session.entryShares.measure(shrunk, { first: 1, count: 2 }, new AbortController().signal);
      session.transformer.layers[0]?.mixer.pageForms?.gather(session.recorder, 2);
    }
    if (phase === 'adapters') {
      const mix = addAdapter(session, config);
      const adapted = [await prefill(new Sequence(mix, 0)), await prefill(new Sequence(mix, 1))] as const;
      await decode(adapted[0]);
      await decode(...adapted);
      const level = { thresholds: DEFAULT_THRESHOLDS, hysteresis: 0, smoothing: 1, rampWidth: 1 };
      await session.batches.decode([{ ...greedy(adapted[0], promptTokens + 1), wantsEntropy: true, level }]);
      await verify(session, adapted[1]);
    }
    if (phase === 'plain adapters') {
      const loras = [{ layers: (await loadPlainAdapter(session, config)).layers, scale: 1 }];
      const adapted = await prefill(new Sequence({ adapters: [], loras, key: 'plain' }, 3));
      await decode(adapted);
      await verify(session, adapted);
    }
    if (phase === 'one question' || phase === 'five questions')
      await ask(session, config, plain, phase === 'one question' ? 1 : 5);
    if (phase === 'drafts') {
      await verify(session, plain);
      if (architectureOf(config).draftParts !== undefined) await draft(session, config, type, prompt);
    }
  }
  session.device.close();
  return noted;
}

/** A BERT of the same sizes, and an encoder of the model's layers with a window; none for models whose layers no encoder has. */
function encodersOf(model: ModelConfig, contextLength: number): EncoderConfig[] {
  if (model.convolution || model.deltaNet || model.experts || model.perLayerInputs) return [];
  const { hiddenSize, intermediateSize, vocabSize } = model;
  const shared = { hiddenSize, vocabSize, contextLength, pooling: 'mean', isNormalized: true } as const;
  const bert = {
    intermediateSize,
    numHeads: hiddenSize / BERT_HEAD,
    headDim: BERT_HEAD,
    numSegments: 2,
    pairs: 'segments',
    layerNormEps: 1e-12,
  } as const;
  const decoder: ModelConfig = {
    ...model,
    architecture: 'gemma-embedding',
    numLayers: 1,
    contextLength,
    qkNorm: true,
    postNorms: true,
    activation: 'gelu',
    window: { tokens: 64, layers: [0] },
  };
  return [
    { ...shared, ...bert, architecture: 'bert', numLayers: 1 },
    { ...shared, architecture: 'gemma-embedding', decoder, denseWidth: 2 * hiddenSize },
  ];
}

/** Encodes a text of `tokens` tokens. */
async function encode(
  { device, recorder }: Session,
  config: EncoderConfig,
  type: GgmlType,
  tokens: number,
): Promise<void> {
  const f32 = /^(position_embd|token_types)/;
  const tensors = new Map(
    [...encoderTensors(config)].map(
      ([name, { shape }]) => [name, tensorOf(name, shape, f32.test(name) ? 'F32' : type)] as const,
    ),
  );
  const batchTokens = Math.ceil(tokens / 64) * 64;
  const encoder = await loadEncoder(device, config, tensors, { batchTokens, contextLength: tokens, recorder });
  encoder.forward(recorder, tokens, 1);
}

/** Quantizes some pages, and probes others in another form. */
const EVERY_FORM: CachePolicy = {
  key: 'every form',
  changes: (view) => oldPagesAs(view, 'q4').filter(({ page }) => page % 2 === 0),
  probes: (view) => ({
    pages: oldPages(view)
      .map(({ page }) => page)
      .filter((page) => page % 2 === 1),
    forms: ['k3v2'],
  }),
};

async function sampleEveryWay(session: Session, sequence: Sequence): Promise<void> {
  const { vocabSize } = session.transformer.config;
  const filters: Partial<SamplingOptions> = { temperature: 1, topK: 40, topP: 0.9, minP: 0.1 };
  const allowed = new Uint32Array(Math.ceil(vocabSize / 32));
  for (const sampling of [{}, filters, { ...filters, repetitionPenalty: 1.1 }]) {
    for (const wantsEntropy of [false, true]) {
      for (const mask of [undefined, allowed]) {
        await session.batches.decode([
          {
            sequence,
            sampling: { ...GREEDY, ...sampling },
            position: sequence.tokens.length + 1,
            wantsEntropy,
            allowed: mask,
          },
        ]);
      }
    }
  }
}

/** Asks questions about a text in one batch, each with an adapter of its own. */
async function ask(session: Session, config: ModelConfig, text: Sequence, count: number): Promise<void> {
  const questions = Array.from({ length: count }, (_, i) => {
    const sequence = session.sequences.branch(text, i);
    sequence.adapters = addAdapter(session, config);
    return { sequence, tokens: new Array<number>(QUESTION_TOKENS).fill(0) };
  });
  await session.prefillTogether(questions);
  for (const { sequence } of questions) session.sequences.prune(sequence);
}

/** Verifies steps of every number of tokens that has its own kernel. */
async function verify(session: Session, sequence: Sequence): Promise<void> {
  for (const count of [1, 3, 7]) {
    const draft = { tokens: new Array<number>(count).fill(0), rows: undefined, text: { prompt: [], answer: [] } };
    await session.verify(greedy(sequence, sequence.tokens.length + 1), draft);
  }
}

/** Runs a draft head of the model's layer. */
async function draft(session: Session, model: ModelConfig, type: GgmlType, prompt: readonly number[]): Promise<void> {
  const { device, plan, transformer } = session;
  const config: ModelConfig = { ...model, isDraftHead: true };
  delete config.deltaNet;
  const recorder = new Recorder(device);
  const head = await loadDraftHead(device, config, tensorsOf(config, type), transformer, { ...plan, recorder });
  const drafts = new Session(device, { ...plan, config }, head, recorder);
  const kept = new Sequence();
  session.keepStates(kept);
  await session.prefill(kept, prompt, () => undefined);
  const sequence = new Sequence();
  await drafts.prefill(sequence, prompt, () => undefined);
  await drafts.batches.decode([greedy(sequence, prompt.length + 1)]);
}

function loadPlainAdapter({ device, recorder, transformer }: Session, config: ModelConfig): Promise<LoadedLora> {
  const modules = linearsOfLayer(config, 0).map((linear): AdapterModule => {
    const [outFeatures, inFeatures] = linearShape(config, linear);
    const [a, b] = [new Float32Array(ADAPTER_RANK * inFeatures), new Float32Array(outFeatures * ADAPTER_RANK)];
    return { name: linear, layer: 0, linear, rank: ADAPTER_RANK, inFeatures, outFeatures, a, b, scale: 1 };
  });
  return loadLora(device, recorder, transformer, modules);
}

function addAdapter({ transformer }: Session, config: ModelConfig): AdapterMix {
  const modules = linearsOfLayer(config, 0).map((linear) => {
    const [outFeatures, inFeatures] = linearShape(config, linear);
    const factors = {
      a: new Uint16Array(ADAPTER_RANK * inFeatures),
      bTransposed: new Uint16Array(ADAPTER_RANK * outFeatures),
    };
    return {
      ...{ name: linear, layer: 0, linear, rank: ADAPTER_RANK, inFeatures, outFeatures },
      ...factors,
      singularValues: new Float64Array(ADAPTER_RANK),
    };
  });
  const adapter = transformer.arena.add(modules, [modules.map(({ rank }) => rank)]);
  return { adapters: [{ adapter, table: '', scale: 1 }], loras: [], key: 'one' };
}

async function openSession(
  config: ModelConfig,
  type: GgmlType,
  features: readonly OptionalFeature[],
  note: (dispatch: NotedDispatch) => void,
  { gpu, variant, keepsHiddenStates }: Pick<PaperRun, 'gpu' | 'variant'> & { keepsHiddenStates: boolean },
): Promise<Session> {
  const device = await openPaperDevice(features, note, gpu);
  device.variant = { ...device.variant, ...variant };
  const tensors = tensorsOf(config, type);
  const { contextLength } = config;
  const sizes = {
    contextLength,
    batchTokens: device.variant.batchTokens,
    numPages: pagesFor((IN_CACHE / LONGEST) * contextLength),
  };
  const recorder = new Recorder(device);
  const states = keepsHiddenStates
    ? device.buffers.storage('states', 'activations', (contextLength + 1) * config.hiddenSize * 4)
    : undefined;
  const transformer = await loadTransformer(device, config, tensors, { ...sizes, recorder, states });
  const unknown = {
    file: 'paper',
    names: [],
    license: undefined,
    tokenizer: { file: 'paper', model: 'gpt2', tokens: [] },
    tensorBytes: 0,
    totalBytes: 0,
  };
  const plan: ModelPlan = { ...unknown, ...sizes, config, tensors };
  return new Session(device, plan, transformer, recorder);
}

const tensorsOf = (config: ModelConfig, type: GgmlType): ReadonlyMap<string, TensorInfo> =>
  new Map(
    [...wantedTensors(config)].flatMap(([name, { shape, optional, readAs = shape }]) =>
      optional ? [] : [[name, tensorOf(name, readAs, type)] as const],
    ),
  );

function tensorOf(name: string, shape: readonly number[], matrixType: GgmlType): TensorInfo {
  const type = shape.length === 1 ? 'F32' : matrixType;
  const { blockSize, blockBytes } = GGML_TYPES[type];
  const bytes = (shape.reduce((product, length) => product * length, 1) / blockSize) * blockBytes;
  const read = async (_offset: number, length: number): Promise<Uint8Array> =>
    new Uint8Array(length > SMALL_BYTES ? 0 : length);
  return { name, shape, type, bytes, offset: 0, source: { name: 'paper', size: bytes, read } };
}
