import unpackBytes from '../../shaders/slots/unpack-bytes/native.wgsl?raw';
import halfNative from '../../shaders/slots/half4/native.wgsl?raw';
import { refusable } from './refusal.ts';
import { type KernelText, renderKernel } from './kernel.ts';

/** What some devices or browsers have, and kernels use where it compiles: features of a device, and of the language. */
export const DEVICE_FEATURES = ['shader-f16', 'subgroups'] as const;
export const LANGUAGE_FEATURES = ['packed_4x8_integer_dot_product'] as const;
export const OPTIONAL_FEATURES = [...DEVICE_FEATURES, ...LANGUAGE_FEATURES];
export type OptionalFeature = (typeof OPTIONAL_FEATURES)[number];

/**
 * For each a module with all that the libraries take of it. A browser may offer a feature whose forms its compiler does
 * not all know.
 */
const TRIALS: Record<OptionalFeature, Pick<KernelText, 'sources' | 'enables' | 'constants'>> = {
  'shader-f16': trial([halfNative], 'half4(pack_half4(vec4f(x)))', ['f16']),
  subgroups: trial([], 'subgroupAdd(subgroupBroadcast(vec4f(x), 0u))', ['subgroups']),
  packed_4x8_integer_dot_product: trial([unpackBytes], 'vec4f(unpack_bytes(local))'),
};

/** `value`: a vec4f, of `x` and `local`. */
function trial(
  libraries: readonly string[],
  value: string,
  enables: readonly string[] = [],
): (typeof TRIALS)[OptionalFeature] {
  const main = `@compute @workgroup_size(LANES) fn main(@builtin(local_invocation_index) local: u32) {
    let x = values[local].x;
    values[local] = ${value};
  }`;
  return { sources: [...libraries, main], enables, constants: { LANES: 32 } };
}

/** The module that decides whether a feature is used. */
export function trialModule(feature: OptionalFeature): string {
  const values = { name: 'values', type: 'array<vec4f>', access: 'read_write' } as const;
  return renderKernel({ name: feature, ...TRIALS[feature], bindings: [values], params: {} });
}

/** Those of `offered` whose module this device's compiler takes. */
export async function usableFeatures(
  gpuDevice: GPUDevice,
  offered: readonly OptionalFeature[],
): Promise<ReadonlySet<OptionalFeature>> {
  const compiled = await Promise.all(offered.map((feature) => compiles(gpuDevice, feature)));
  return new Set(offered.filter((_, i) => compiled[i]));
}

async function compiles(gpuDevice: GPUDevice, feature: OptionalFeature): Promise<boolean> {
  const { refusal } = refusable(gpuDevice, () => {
    const module = gpuDevice.createShaderModule({ label: feature, code: trialModule(feature) });
    gpuDevice.createComputePipeline({ label: feature, layout: 'auto', compute: { module, entryPoint: 'main' } });
  });
  return (await refusal) === undefined;
}
