import type { Device } from '../../gpu/device.ts';
import type { Kernel } from '../../gpu/kernel.ts';
import { attentionKernel, type BatchLength, lengthInSight, splitPages, type Splits } from '../attention.ts';
import type { Heads } from '../heads.ts';
import { attentionDecodeKernel, type DecodeForm, splitForTeams } from './attention-decode.ts';
import { attentionPrefillKernel, tileTokens } from './attention-prefill.ts';
import { decodeWorkgroup, pageTeams } from './page-sharing.ts';

export interface AttentionKernel extends Kernel<{ tokens: number; splits: number }> {
  /** How it is to share out the pages of a batch. */
  split(batch: BatchLength): Splits;
  /** Whether what is not split is left for attention-merge too. */
  alwaysMerged: boolean;
}

/**
 * The attention of tokens that are of a sequence each, and of consecutive tokens of one. Where workgroups share pages out, a
 * kernel for each; else one for both, which stores nothing.
 */
export function attentionKernels(
  device: Device,
  heads: Heads,
  form: DecodeForm,
): Record<'decode' | 'prefill', AttentionKernel> {
  const { halfOnly, window } = form;
  const seen = (batch: BatchLength, together?: number): BatchLength => ({
    ...batch,
    length: lengthInSight(batch, window, together),
  });
  if (!device.variant.sharedPages) {
    const each = {
      ...attentionKernel(device, heads, form),
      split: (batch: BatchLength) => splitPages(seen(batch)),
      alwaysMerged: true,
    };
    return { decode: each, prefill: each };
  }
  const teams = pageTeams(heads, decodeWorkgroup(device, heads));
  const together = tileTokens(device, heads, halfOnly);
  return {
    decode: {
      ...attentionDecodeKernel(device, heads, form),
      split: (batch) => splitForTeams(teams, seen(batch)),
      alwaysMerged: false,
    },
    prefill: {
      ...attentionPrefillKernel(device, heads, form),
      split: (batch) => splitPages(seen(batch, together)),
      alwaysMerged: true,
    },
  };
}
