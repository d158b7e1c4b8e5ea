import type { Device } from '../gpu/device.ts';
import { Recorder } from '../gpu/recorder.ts';
import { loadDraftHead } from '../models/load-transformer.ts';
import type { DraftHeadPlan, ModelPlan } from './model-plan.ts';
import { Session } from './session.ts';
import type { SessionOptions } from './session-options.ts';
import { warmUp } from './warm-up.ts';

/** What the model knows before each position of a text, and behind its last one: `[contextLength + 1, hiddenSize]`, f32. */
export const draftStates = (device: Device, { states }: DraftHeadPlan): GPUBuffer =>
  device.buffers.storage('draft states', 'activations', states);

/** Opens a model's draft head as a model of its own, which shares the device, its embeddings and its output. Errors: those of `openSession`. */
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
