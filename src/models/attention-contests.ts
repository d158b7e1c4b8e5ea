import type { ModelConfig } from '../config/model-config.ts';
import type { Candidate, Contest } from '../gpu/autotuner.ts';
import type { Device } from '../gpu/device.ts';
import { createOperation } from '../gpu/operation.ts';
import { partialFloats, splitPages } from '../kernels/attention.ts';
import { pageEntry } from '../kernels/formats/page-forms.ts';
import { storesTokens } from '../kernels/attention/attention-decode.ts';
import { attentionKernels } from '../kernels/attention/attention-kernels.ts';
import { PAGE_TOKENS, pageBytes } from '../kernels/heads.ts';
import { batchTable } from '../layers/batch.ts';

/** One kernel for all batches, whose invocations read pages on their own. */
const ALONE: readonly Candidate[] = [
  { attentionWorkgroup: 8, attentionHeads: 4 },
  { attentionWorkgroup: 32, attentionHeads: 1 },
  { attentionWorkgroup: 64, attentionHeads: 1 },
];
/** Decoding where workgroups share pages out, and prefill: queries that a page is shared out for, against registers. */
const DECODE: readonly Candidate[] = [{ attentionWorkgroup: 64 }, { attentionWorkgroup: 128 }, { attentionWorkgroup: 256 }];
const PREFILL: readonly Candidate[] = [{ attentionVectors: 1 }, { attentionVectors: 2 }, { attentionVectors: 4 }];

/** Every way there is, those that share pages first. */
export const ATTENTION: readonly Candidate[] = [...DECODE, ...PREFILL, ...ALONE.map((alone) => ({ sharedPages: false, ...alone }))];

/** Tokens of the context that is attended to, and of a prefill at its end. */
const CONTEXT = 1024;
const PREFILL_TOKENS = 256;

/** `buffer`: makes one of so many bytes. */
export function attentionContests(device: Device, config: ModelConfig, buffer: (name: string, bytes: number) => GPUBuffer): Contest[] {
  const { numHeads, numKvHeads, headDim } = config;
  const { sharedPages } = device.variant;
  const most = sharedPages ? PREFILL_TOKENS : 1;
  const pages = CONTEXT / PAGE_TOKENS;
  const bound = {
    qkv: buffer('qkv', most * (numHeads + 2 * numKvHeads) * headDim * 4),
    batch_table: buffer('batch table', most * 16),
    pages: buffer('pages', pages * 16),
    rope: buffer('rope', CONTEXT * headDim * 4),
    kv: buffer('kv', pageBytes(config)),
    partial_outputs: buffer('partial outputs', Math.max(most, pages) * numHeads * partialFloats(headDim) * 4),
  };
  // Every page lies where the first one does, in f16.
  const table = Uint32Array.from(Array.from({ length: pages }, (_, i) => pageEntry(0, 'f16', PAGE_TOKENS, i * PAGE_TOKENS)).flat());
  device.gpuDevice.queue.writeBuffer(bound.pages, 0, table);
  const places = Array.from({ length: most }, (_, i) => ({ place: i, position: CONTEXT - most + i, firstPage: 0, page: pages - 1 }));
  device.gpuDevice.queue.writeBuffer(bound.batch_table, 0, batchTable(places));
  const form = { halfOnly: true, stores: storesTokens(device, config) };
  const shape = `${numHeads} / ${numKvHeads} × ${headDim}`;
  const contest = (name: string, kind: 'decode' | 'prefill', tokens: number, candidates: readonly Candidate[]): Contest => ({
    name: `${name} ${shape}`,
    candidates,
    kernel: () => attentionKernels(device, config, form)[kind],
    make() {
      const operation = createOperation(device, attentionKernels(device, config, form)[kind], bound);
      const { splits, pagesPerSplit } = splitPages(tokens, CONTEXT);
      return (recorder) => recorder.run(operation, operation.groups({ tokens, splits }), { tokens, splits, pagesPerSplit });
    },
  });
  if (!sharedPages) return [contest('attention', 'decode', 1, ALONE)];
  return [contest('attention-decode', 'decode', 1, DECODE), contest('attention-prefill', 'prefill', PREFILL_TOKENS, PREFILL)];
}
