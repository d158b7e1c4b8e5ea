import { isRecord } from '../../util/values.ts';
import type { TuningStore } from '../../gpu/autotuner.ts';
import { Buffers } from '../../gpu/buffers.ts';
import { type Variant, VARIANTS, type Device } from '../../gpu/device.ts';
import { textHash } from '../../gpu/kernel.ts';
import type { Recorder } from '../../gpu/recorder.ts';
import { type CheckGroup, rightVariant } from '../../gpu/self-check.ts';
import { pageFormKernels, sparsePageKernels } from '../../layers/attention.ts';
import { checkUpload, kernelChecks } from '../../models/checks/kernel-checks.ts';
import { pageChecks } from '../../models/checks/page-checks.ts';
import { sparseChecks } from '../../models/checks/sparse-checks.ts';
import { productChecks } from '../../models/checks/product-checks.ts';
import type { ModelPlan } from '../model-plan.ts';
import { adapterChecks } from './adapter-checks.ts';
import { plainAdapterChecks } from './plain-adapter-checks.ts';
import { samplerChecks } from './sampler-checks.ts';
import { CHECKS } from './version.ts';

/** The parts of a session that are checked. */
export interface Checked {
  device: Device;
  recorder: Recorder;
  plan: ModelPlan;
}

/** Kernels that are checked together, under one name. */
interface Case {
  name: string;
  texts: readonly string[];
  groups: (device: Device) => CheckGroup[] | Promise<CheckGroup[]>;
}

/**
 * The kernel variant with which this device computes a model right, from the store or by checking now. Errors:
 * `wrong_results`, `device_lost`.
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
 * Before the first answer with an adapter: checks that this device computes adapters right, by the store or now. The
 * arena is bound. Errors: `wrong_results`, `device_lost`.
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

/** The same for adapters in their plain form, once one is loaded. Errors: `wrong_results`, `device_lost`. */
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

/** The same for kernels that are compiled once a text needs them. */
const checksOf =
  (name: string, kernels: typeof pageFormKernels, checks: typeof pageChecks) =>
  async ({ device, recorder, plan: { config } }: Checked, store: TuningStore): Promise<void> => {
    await rightFor({ device, recorder }, store, {
      name,
      texts: kernels(device, config).map((kernel) => device.pipelines.textOf(kernel)),
      groups: (apart) => [{ candidates: [], checks: checks(apart, config) }],
    });
  };

/** For pages in other forms than f16. Errors: `wrong_results`, `device_lost`. */
export const checkPages = checksOf('right with page forms', pageFormKernels, pageChecks);

/** For sparse pages. Errors: `wrong_results`, `device_lost`. */
export const checkSparsePages = checksOf('right with sparse pages', sparsePageKernels, sparseChecks);

const textsOf = (device: Device): string[] => device.pipelines.texts().map(({ text }) => text);

/** The kernel variant with which the device computes a case right. Errors: `wrong_results`, `device_lost`. */
export async function rightFor(
  { device, recorder }: Pick<Checked, 'device' | 'recorder'>,
  store: TuningStore,
  { name, texts, groups }: Case,
): Promise<Variant> {
  const key = `${device.name}, ${CHECKS}, ${textHash([...texts].sort().join())}: ${name}`;
  const known = await store.get(key).catch(() => undefined);
  if (isVariant(known)) return known;
  // Has its own variant and buffers: other work may run meanwhile.
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
