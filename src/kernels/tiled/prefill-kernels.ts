import type { Device } from '../../gpu/device.ts';
import type { Kernel } from '../../gpu/kernel.ts';
import { linearPrefillKernel, type LinearPrefillOptions } from '../linear-prefill.ts';
import type { LoraSite } from '../lora-layout.ts';
import { loraPrefillKernel, type LoraPrefillSize } from '../lora-prefill.ts';
import { linearTiledKernel } from './linear-tiled.ts';
import { loraTiledKernel } from './lora-tiled.ts';

/** y = W · x of many tokens: in registers or in tiles, as the device's variant says. */
export function prefillKernel(device: Device, options: LinearPrefillOptions): Kernel<{ rows: number; tokens: number }> {
  return device.variant.tileRows > 0 ? linearTiledKernel(device, options) : linearPrefillKernel(device, options);
}

/** h = A · x of many tokens, in the same way. */
export function loweringKernel(device: Device, columns: number, lowers: LoraSite): Kernel<LoraPrefillSize> {
  return device.variant.tileRows > 0 ? loraTiledKernel(device, columns, lowers) : loraPrefillKernel(device, columns, lowers);
}
