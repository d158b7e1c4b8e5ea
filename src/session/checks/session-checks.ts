import { isRecord } from '../../config/is-record.ts';
import type { TuningStore } from '../../gpu/autotuner.ts';
import { Buffers } from '../../gpu/buffers.ts';
import { type Variant, VARIANTS } from '../../gpu/device-variant.ts';
import type { Device } from '../../gpu/device.ts';
import { renderKernel } from '../../gpu/kernel.ts';
import type { Recorder } from '../../gpu/recorder.ts';
import { type CheckGroup, rightVariant } from '../../gpu/self-check.ts';
import { textHash } from '../../gpu/text-hash.ts';
import { pageFormKernels } from '../../layers/page-forms.ts';
import { checkUpload, kernelChecks } from '../../models/checks/kernel-checks.ts';
import { pageChecks } from '../../models/checks/page-checks.ts';
import { productChecks } from '../../models/checks/product-checks.ts';
import type { ModelPlan } from '../model-plan.ts';
import { adapterChecks } from './adapter-checks.ts';
import { plainAdapterChecks } from './plain-adapter-checks.ts';
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
    groups: async (device) => [
      ...(await kernelChecks(device, recorder, plan.config, plan.tensors)),
      samplerChecks(device, plan.config.vocabSize),
    ],
  });
}

/**
 * Before the first answer with an adapter: whether this device computes right what adapters run beside a model, as it was
 * found for these kernels once, or by asking it now. The arena is bound. Errors: `wrong_results`, `device_lost`.
 */
export async function checkAdapters(session: Checked, store: TuningStore): Promise<void> {
  const { recorder, plan } = session;
  await rightFor(session, store, {
    name: 'right with adapters',
    texts: textsOf(session.device).filter((text) => text.includes(' lora: ')),
    async groups(device) {
      const { decode, prefill, level } = await adapterChecks(
        device,
        checkUpload(device, recorder),
        plan.config,
        plan.tensors,
      );
      return [{ candidates: [], checks: [...decode, ...prefill, level] }];
    },
  });
}

/** The same of adapters in their plain form, of which one was loaded. Errors: `wrong_results`, `device_lost`. */
export async function checkPlainAdapters(session: Checked, store: TuningStore): Promise<void> {
  const { recorder, plan } = session;
  await rightFor(session, store, {
    name: 'right with plain adapters',
    texts: textsOf(session.device),
    async groups(device) {
      const upload = checkUpload(device, recorder);
      const { decode } = await productChecks(device, upload, plan.config, plan.tensors, 'apart');
      return [{ candidates: [], checks: [...decode, ...(await plainAdapterChecks(device, upload, plan.config))] }];
    },
  });
}

/**
 * The same of what reads and writes pages in other forms than f16, once it is compiled. Errors:
 * `wrong_results`, `device_lost`.
 */
export async function checkPages(session: Checked, store: TuningStore): Promise<void> {
  const { config } = session.plan;
  await rightFor(session, store, {
    name: 'right with page forms',
    texts: pageFormKernels(session.device, config).map(renderKernel),
    groups: (device) => [{ candidates: [], checks: pageChecks(device, config) }],
  });
}

const textsOf = (device: Device): string[] => device.pipelines.texts().map(({ text }) => text);

/** The variant with which the device computes right what a case checks. Errors: `wrong_results`, `device_lost`. */
export async function rightFor(
  { device, recorder }: Pick<Checked, 'device' | 'recorder'>,
  store: TuningStore,
  { name, texts, groups }: Case,
): Promise<Variant> {
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
