import { isRecord } from '../../config/is-record.ts';
import type { TuningStore } from '../../gpu/autotuner.ts';
import { Buffers } from '../../gpu/buffers.ts';
import { type Variant, VARIANTS } from '../../gpu/device-variant.ts';
import type { Device } from '../../gpu/device.ts';
import type { Recorder } from '../../gpu/recorder.ts';
import { type CheckGroup, rightVariant } from '../../gpu/self-check.ts';
import { textHash } from '../../gpu/text-hash.ts';
import { kernelChecks } from '../../models/checks/kernel-checks.ts';
import type { ModelPlan } from '../model-plan.ts';
import { samplerChecks } from './sampler-checks.ts';
import { CHECKS } from './version.ts';

/** What is checked of a session. */
export interface Checked {
  device: Device;
  recorder: Recorder;
  plan: ModelPlan;
}

/** Kernels that are checked together, by what they are for, and how. */
interface Case {
  name: string;
  texts: readonly string[];
  groups: (device: Device) => CheckGroup[] | Promise<CheckGroup[]>;
}

/**
 * The variant with which this device computes right what a model runs on, as it was found for these kernels once, or by
 * asking it now. Errors: `wrong_results`, `device_lost`.
 */
export function checkedVariant(session: Checked, store: TuningStore): Promise<Variant> {
  const { recorder, plan } = session;
  return rightFor(session, store, {
    name: 'right',
    texts: textsOf(session.device),
    groups: async (device) => [...(await kernelChecks(device, recorder, plan.config, plan.tensors)), samplerChecks(device, plan.config.vocabSize)],
  });
}

const textsOf = (device: Device): string[] => device.pipelines.texts().map(({ text }) => text);

async function rightFor({ device, recorder }: Checked, store: TuningStore, { name, texts, groups }: Case): Promise<Variant> {
  const key = `${device.name}, ${CHECKS}, ${textHash([...texts].sort().join())}: ${name}`;
  const known = await store.get(key).catch(() => undefined);
  if (isVariant(known)) return known;
  // With a variant and buffers of its own: others may compute meanwhile.
  const apart: Device = { ...device, buffers: new Buffers(device.gpuDevice) };
  try {
    const right = await rightVariant(apart, recorder, await groups(apart));
    await store.set(key, right).catch(() => undefined);
    return right;
  } finally {
    apart.buffers.destroyAll();
  }
}

const isVariant = (value: unknown): value is Variant =>
  isRecord(value) && Object.entries(VARIANTS.gpu).every(([name, known]) => typeof value[name] === typeof known);
