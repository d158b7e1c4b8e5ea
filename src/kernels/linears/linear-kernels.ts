import type { Device } from '../../gpu/device.ts';
import type { Kernel } from '../../gpu/kernel.ts';
import { linearDecodeKernel, type LinearDecodeOptions, type LinearDecodeSize } from '../linear-decode.ts';
import { linearPrefillKernel, type LinearPrefillOptions } from '../linear-prefill.ts';
import type { LoraSite } from '../lora-layout.ts';
import { loraPrefillKernel, type LoraPrefillSize } from '../lora-prefill.ts';
import { linearSharedKernel } from './linear-shared.ts';
import { linearTiledKernel } from './linear-tiled.ts';
import { loraTiledKernel } from './lora-tiled.ts';

/** y = W · x of few tokens: a row to an invocation, or shared out, as the device's variant says. */
export function decodeKernel(device: Device, options: LinearDecodeOptions): Kernel<LinearDecodeSize> {
  return device.variant.lanes > 1 ? linearSharedKernel(device, options) : linearDecodeKernel(device, options);
}

/** How many of a step's tokens that kernel is to compute at once. */
export function tokensAtOnce(device: Device, tokens: number): NonNullable<LinearDecodeOptions['tokens']> {
  if (tokens === 1) return 1;
  if (tokens === 2 || device.variant.lanes === 1) return 2;
  return tokens <= 4 ? 4 : 8;
}

/** Most tokens that it computes in less time than the kernel of many, which computes as many as a tile has. */
export const mostDecoded = ({ variant }: Device): number => (variant.lanes === 1 ? 4 : 8);

/** y = W · x of many tokens: in registers, or in tiles that a workgroup shares. */
export function prefillKernel(device: Device, options: LinearPrefillOptions): Kernel<{ rows: number; tokens: number }> {
  return device.variant.tileRows > 0 ? linearTiledKernel(device, options) : linearPrefillKernel(device, options);
}

/** h = A · x of many tokens, in the same way. */
export function loweringKernel(device: Device, columns: number, lowers: LoraSite): Kernel<LoraPrefillSize> {
  return device.variant.tileRows > 0 ? loraTiledKernel(columns, lowers) : loraPrefillKernel(device, columns, lowers);
}
