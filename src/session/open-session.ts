import { GREEDY } from '../config/sampling.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { autotune, type TuningStore } from '../gpu/autotuner.ts';
import { type Device, type GpuAdapterOptions, noErrors, openDevice, throwIfLost, type Variant } from '../gpu/device.ts';
import type { Compilation } from '../gpu/pipelines.ts';
import { readOnce, Recorder } from '../gpu/recorder.ts';
import { StepsAhead, USUAL_LIMITS } from '../gpu/submissions.ts';
import { kernelCandidates, type Precision } from '../models/kernel-candidates.ts';
import { loadTransformer, loadDraftHead } from '../models/load-transformer.ts';
import type { ByteSource } from '../weights/byte-source.ts';
import { isEncoder } from '../weights/encoder-config.ts';
import { checkedVariant } from './checks/session-checks.ts';
import { planEncoder } from './encoder/encoder-plan.ts';
import {
  type DraftHeadPlan,
  type ModelLimits,
  type ModelPlan,
  planHeader,
  planModel,
  withWeights,
} from './model-plan.ts';
import { mayUsePolicies, residualShares } from './pages/residual-shares.ts';
import { type SampledToken, greedy } from './sampling/sampler.ts';
import { Sequence } from './sequence.ts';
import type { SessionOptions } from './session-options.ts';
import { Session } from './session.ts';

/** Opens a device and loads the model. Errors: those of `openEngine`. */
export async function openSession(options: SessionOptions): Promise<Session> {
  const opened = await openWith(options);
  if (!('right' in opened)) return opened;
  const again = await openWith(options, opened.right);
  if (!('right' in again)) return again;
  throw new Error('self-check: the variant that was right is not');
}

/** Opens with `variant`, or the device's own; if that computes wrong, returns the variant that computes right. */
async function openWith(options: SessionOptions, variant?: Variant): Promise<Session | { right: Variant }> {
  const { onProgress, signal } = options;
  const device = await openDevice(options.gpu, { ...options, onLost: options.onDeviceLost });
  try {
    onProgress?.({ phase: 'header', bytes: 0, total: 0 });
    const plan = options.header
      ? planHeader(device, options.header, options)
      : await planModel(device, options.sources, options);
    const opened = await noErrors(device, plan.file, async () => {
      const recorder = new Recorder(device);
      const { submissions = USUAL_LIMITS } = options;
      recorder.mostDispatches = submissions.submission;
      const { tuning, autotunes = device.deviceClass === 'gpu', precision } = options;
      if (variant) device.variant = variant;
      else if (tuning && autotunes) await tune(device, recorder, plan, { store: tuning, precision });
      const onBytes = uploadProgress(device, plan, options);
      const head = options.withDraftHead ? plan.draftHead : undefined;
      const states = head && draftStates(device, head);
      const transformer = await loadTransformer(device, plan.config, plan.tensors, {
        ...plan,
        onBytes,
        signal,
        recorder,
        states,
      });
      reportKernels(device, options);
      const session = new Session(device, plan, transformer, recorder, options);
      await device.pipelines.ready();
      const right = tuning && (await checkedVariant(session, tuning));
      if (right && JSON.stringify(right) !== JSON.stringify(device.variant)) return { right };
      await warmUp(session);
      if (head) session.draftModel = await openDraftHead(session, { plan, head }, options);
      session.stepsAhead = await StepsAhead.measure(device, submissions.inFlight);
      return session;
    });
    if ('right' in opened) device.close();
    return opened;
  } catch (error) {
    device.close();
    throw error;
  }
}

/** Reports uploaded bytes. Throws `device_lost`, which would otherwise be noticed only after the whole file. */
export function uploadProgress(
  device: Device,
  { tensorBytes: total }: Pick<ModelPlan, 'tensorBytes'>,
  { onProgress }: SessionOptions,
): (more: number) => void {
  let bytes = 0;
  return (more) => {
    throwIfLost(device);
    bytes += more;
    onProgress?.({ phase: 'upload', bytes, total });
  };
}

/** From now on reports compiled kernels. */
export function reportKernels({ pipelines }: Device, { onProgress }: SessionOptions): void {
  const report = (kernels: Compilation): void => onProgress?.({ phase: 'compile', bytes: 0, total: 0, kernels });
  report(pipelines.compilation);
  pipelines.onCompiled = report;
}

async function tune(
  device: Device,
  recorder: Recorder,
  { config, tensors }: ModelPlan,
  { store, precision }: { store: TuningStore; precision: Precision | undefined },
): Promise<void> {
  // The self-check's result is stored by the session's kernels, which must not depend on what was timed before.
  const apart: Device = { ...device, pipelines: device.pipelines.apart() };
  const { tuningCases, release } = kernelCandidates(apart, config, tensors, precision);
  await autotune(apart, recorder, tuningCases, store);
  release();
  device.variant = apart.variant;
}

/**
 * Hidden states of the model before each position of a text, and after its last one: `[contextLength + 1,
 * hiddenSize]`, f32.
 */
export const draftStates = (device: Device, { states }: DraftHeadPlan): GPUBuffer =>
  device.buffers.storage('draft states', 'activations', states);

/**
 * Opens a model's draft head as a session of its own that shares the device, the embeddings and the output. Errors:
 * those of `openSession`.
 */
export async function openDraftHead(
  model: Session,
  { plan, head }: { plan: ModelPlan; head: DraftHeadPlan },
  { signal }: Pick<SessionOptions, 'signal'>,
): Promise<Session> {
  const { device, transformer } = model;
  const own: ModelPlan = { ...plan, ...head };
  const recorder = new Recorder(device);
  const session = new Session(
    device,
    own,
    await loadDraftHead(device, head.config, head.tensors, transformer, { ...own, signal, recorder }),
    recorder,
  );
  await device.pipelines.ready();
  await warmUp(session);
  return session;
}

/** Dispatches of a submission: drivers count compilation as its time, and some lose the device after seconds. */
const FEW_DISPATCHES = 16;

/**
 * Runs one step, because drivers compile at the first dispatch. Throws `bad_file` if logits are not finite:
 * weights may be too large.
 */
export const warmUp = (session: Session): Promise<void> =>
  inSmallSubmissions(session.recorder, () => firstSteps(session));

/** Runs `work`, which dispatches kernels for the first time. */
export async function inSmallSubmissions(recorder: Recorder, work: () => Promise<unknown>): Promise<void> {
  const { mostDispatches } = recorder;
  recorder.mostDispatches = Math.min(mostDispatches, FEW_DISPATCHES);
  try {
    await work();
  } finally {
    recorder.mostDispatches = mostDispatches;
  }
}

async function firstSteps(session: Session): Promise<void> {
  const sequence = new Sequence();
  const tokens = session.plan.contextLength > 2 ? [0, 0] : [0];
  const everyFilter = { ...GREEDY, temperature: 1, topK: 1, topP: 0.5 };
  let sampled: Promise<SampledToken> | undefined;
  await session.prefill(sequence, tokens, (_start, position) => {
    sampled = session.batches.sample(position, { sequence, sampling: everyFilter, position, wantsEntropy: true });
  });
  await sampled;
  if (mayUsePolicies(session)) session.pageChanges.residualShares = await residualShares(session);
  if (tokens.length > 1) {
    await session.batches.decode([greedy(sequence, tokens.length + 1)]);
    await expectFinite(session);
  }
  session.release(sequence);
}

/** Checks the first row of logits, which a greedy sample does not change. */
async function expectFinite({ device, plan, transformer: { activations } }: Session): Promise<void> {
  const row = { buffer: activations.logits, offset: 0, size: plan.config.vocabSize * 4 };
  const logits = new Float32Array(await readOnce(device, 'logits', [row]));
  if (logits.every(Number.isFinite)) return;
  throw new ChunkwiseError('bad_file', {
    file: plan.file,
    field: 'tensors',
    reason: 'the first logits that are computed of them are not finite',
  });
}

/**
 * Refuses a model by its header alone, before its weights are downloaded. Returns its license as the header names it.
 * Errors: `no_webgpu`, and those of `planModel` and `planEncoder`.
 */
export async function checkModel(
  sources: readonly ByteSource[],
  { gpu, gpuAdapter, ...limits }: ModelLimits & { gpu: GPU | undefined; gpuAdapter?: GpuAdapterOptions | undefined },
): Promise<{ license: string | undefined }> {
  const device = await openDevice(gpu, { gpuAdapter });
  try {
    const { license } = await withWeights(sources, limits, (header) =>
      (isEncoder(header) ? planEncoder : planHeader)(device, header, limits),
    );
    return { license };
  } finally {
    device.close();
  }
}
