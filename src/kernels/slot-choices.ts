import type { Activation } from '../config/model-config.ts';
import type { Device } from '../gpu/device.ts';
import type { Constant, Kernel } from '../gpu/kernel.ts';
import type { Heads } from './heads.ts';
import activationGelu from '../../shaders/slots/activation/gelu.wgsl?raw';
import activationSilu from '../../shaders/slots/activation/silu.wgsl?raw';
import inputBroadcast4 from '../../shaders/slots/load-block/broadcast4.wgsl?raw';
import inputBroadcast8 from '../../shaders/slots/load-block/broadcast8.wgsl?raw';
import inputDirect from '../../shaders/slots/load-block/direct.wgsl?raw';
import lowBroadcast4 from '../../shaders/slots/low-columns/broadcast4.wgsl?raw';
import lowBroadcast8 from '../../shaders/slots/low-columns/broadcast8.wgsl?raw';
import lowPart from '../../shaders/parts/lora/lora-low.wgsl?raw';
import loraPair from '../../shaders/parts/lora/lora-pair.wgsl?raw';
import runOnePair from '../../shaders/slots/lora-run/one-pair.wgsl?raw';
import runPairs from '../../shaders/slots/lora-run/pairs.wgsl?raw';
import runVectors from '../../shaders/slots/lora-run/vectors.wgsl?raw';
import lowDirect from '../../shaders/slots/low-columns/direct.wgsl?raw';
import squaresBroadcast4 from '../../shaders/slots/load-squares/broadcast4.wgsl?raw';
import squaresBroadcast8 from '../../shaders/slots/load-squares/broadcast8.wgsl?raw';
import squaresDirect from '../../shaders/slots/load-squares/direct.wgsl?raw';
import bytesNative from '../../shaders/slots/unpack-bytes/native.wgsl?raw';
import bytesShifted from '../../shaders/slots/unpack-bytes/shifted.wgsl?raw';
import reduceSingle from '../../shaders/slots/reduce-sum/single.wgsl?raw';
import reduceWorkgroup from '../../shaders/slots/reduce-sum/workgroup.wgsl?raw';
import halfNative from '../../shaders/slots/half4/native.wgsl?raw';
import halfPacked from '../../shaders/slots/half4/packed.wgsl?raw';
import scaleByPlace from '../../shaders/slots/score-scale/by-place.wgsl?raw';
import scaleOne from '../../shaders/slots/score-scale/one.wgsl?raw';
import windowLatest from '../../shaders/slots/window/latest.wgsl?raw';
import windowNone from '../../shaders/slots/window/none.wgsl?raw';

/** Libraries of `activation`. */
export const ACTIVATIONS: Record<Activation, string> = { silu: activationSilu, gelu: activationGelu };

/** Library and constants of which keys a token sees: the latest `tokens`, or all. */
export const windowOf = (tokens?: number): Pick<Kernel, 'constants'> & { source: string } =>
  tokens === undefined
    ? { source: windowNone, constants: {} }
    : { source: windowLatest, constants: { WINDOW: tokens } };

/** Library and constants of what scores are multiplied by before their softmax. */
export function scoreScaling(heads: Heads): Pick<Kernel, 'constants'> & { source: string } {
  const { headDim, attentionScale = 1 / Math.sqrt(headDim), rotaryDim = headDim, rotaryScale = 1, temperature } = heads;
  const SCALE = { f32: attentionScale * rotaryScale ** 2 };
  const isPartial = rotaryDim < headDim && rotaryScale !== 1;
  if (!isPartial && !temperature) return { source: scaleOne, constants: { SCALE } };
  const { beta, tokens } = temperature ?? { beta: 0, tokens: 1 };
  const passed = { PASSED_SCALE: { f32: attentionScale }, ROTATED4: rotaryDim / 8 };
  return {
    source: scaleByPlace,
    constants: { SCALE, ...passed, TEMPERATURE: { f32: beta }, TEMPERATURE_TOKENS: tokens },
  };
}

/** Library and constants of `reduce_sum` on this device. */
export function reduction(
  device: Device,
): Pick<Kernel, 'constants'> & { source: string; workgroup: number; rowsPerGroup: number } {
  const { rowWorkgroup, lanes } = device.variant;
  const constants = { WORKGROUP: rowWorkgroup, LANES: lanes, KEPT: 0 };
  const rowsPerGroup = rowWorkgroup / lanes;
  return { source: lanes === 1 ? reduceSingle : reduceWorkgroup, constants, workgroup: rowWorkgroup, rowsPerGroup };
}

/** Library and directives of `half4` and `pack_half4` on this device. */
export function halfPrecision(device: Device): Pick<Kernel, 'enables'> & { source: string } {
  return device.features.has('shader-f16') ? { source: halfNative, enables: ['f16'] } : { source: halfPacked };
}

/** Library of `unpack_bytes` on this device. */
export const byteUnpacking = (device: Device): string =>
  device.features.has('packed_4x8_integer_dot_product') ? bytesNative : bytesShifted;

/**
 * Libraries and directives of `load_block`, `load_squares` and `low_columns`: how invocations that each do rows of their
 * own, and so need the same inputs, come by them. Where they share out a row instead, each needs others.
 */
export function inputLoading(
  device: Device,
): Pick<Kernel, 'enables'> & { input: string; squares: string; low: string } {
  const shared = device.variant.lanes === 1 && device.features.has('subgroups');
  if (shared && device.subgroupSize === 8) {
    return { input: inputBroadcast8, squares: squaresBroadcast8, low: lowBroadcast8, enables: ['subgroups'] };
  }
  if (shared && device.subgroupSize === 4) {
    return { input: inputBroadcast4, squares: squaresBroadcast4, low: lowBroadcast4, enables: ['subgroups'] };
  }
  return { input: inputDirect, squares: squaresDirect, low: lowDirect };
}

/** Pairs of components of h that an invocation of one row computes: what its inputs cost is paid once for all of them. */
const PAIRS = 4;

/** Libraries and constants of `lora_low` on this device, and how many components of h a workgroup computes with it. */
export function loraLow(device: Device): {
  sources: readonly string[];
  constants: Record<string, Constant>;
  components: number;
} {
  if (device.variant.lanes > 1) return { sources: [runVectors, lowPart], constants: {}, components: 4 };
  const pairs = 2 * reduction(device).rowsPerGroup;
  // Several pairs take branches, and lavapipe, whose subgroups have eight invocations, is known to jump over those.
  if (device.subgroupSize === 8)
    return { sources: [loraPair, runPairs, lowPart], constants: { PAIRS }, components: PAIRS * pairs };
  return { sources: [loraPair, runOnePair, lowPart], constants: {}, components: pairs };
}
