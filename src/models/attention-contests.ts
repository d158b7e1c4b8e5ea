import type { ModelConfig } from '../config/model-config.ts';
import type { Candidate, Contest } from '../gpu/autotuner.ts';
import type { Device } from '../gpu/device.ts';
import { createOperation } from '../gpu/operation.ts';
import { partialFloats } from '../kernels/attention.ts';
import { pageEntry, pageUnits, UNIT_BYTES } from '../kernels/formats/page-forms.ts';
import { storesTokens } from '../kernels/attention/attention-decode.ts';
import { MOST_TILE_ROWS } from '../kernels/attention/attention-prefill.ts';
import { attentionKernels } from '../kernels/attention/attention-kernels.ts';
import { PAGE_TOKENS, rowWidth } from '../kernels/heads.ts';
import { PROBES, probeFloats } from '../kernels/probe-page.ts';
import { batchTable } from '../layers/batch.ts';
import { readInTurn } from './read-in-turn.ts';

/** One kernel for all batches, whose invocations read pages on their own. */
const ALONE: readonly Candidate[] = [
  { attentionWorkgroup: 8, attentionHeads: 4 },
  { attentionWorkgroup: 32, attentionHeads: 1 },
  { attentionWorkgroup: 64, attentionHeads: 1 },
];
/** Decoding where workgroups share pages out, and prefill: queries that a page is shared out for, against registers. */
const DECODE: readonly Candidate[] = [{ attentionWorkgroup: 64 }, { attentionWorkgroup: 128 }, { attentionWorkgroup: 256 }];
const PREFILL: readonly Candidate[] = [
  { attentionTile: 512, attentionVectors: 2 },
  { attentionTile: 256, attentionVectors: 2 },
  { attentionTile: 256, attentionVectors: 4 },
];

/** Every way there is, those that share pages first. */
export const ATTENTION: readonly Candidate[] = [...DECODE, ...PREFILL, ...ALONE.map((alone) => ({ sharedPages: false, ...alone }))];

/** Tokens of the context that decoding attends to, of a prefill, and of the least context that a prefill stands at the end of. */
const CONTEXT = 1024;
const PREFILL_TOKENS = 512;
const PREFILL_CONTEXT = 256;

/** `buffer`: makes one of so many bytes. */
export function attentionContests(device: Device, config: ModelConfig, buffer: (name: string, bytes: number) => GPUBuffer): Contest[] {
  const { numHeads, numKvHeads, headDim } = config;
  const { sharedPages } = device.variant;
  const most = sharedPages ? PREFILL_TOKENS : 1;
  const tileTokens = MOST_TILE_ROWS / (numHeads / numKvHeads);
  const pages = CONTEXT / PAGE_TOKENS;
  const units = pageUnits('f16', config);
  const bytes = pages * units * UNIT_BYTES;
  const layers = readInTurn(config, bytes);
  let made: Record<string, GPUBuffer>[] | undefined;
  /** What is bound, of each layer that is read in turn. */
  const bound = (): Record<string, GPUBuffer>[] => {
    const shared = {
      qkv: buffer('qkv', most * rowWidth(config) * 4),
      batch_table: buffer('batch table', most * 16),
      pages: buffer('pages', pages * 16),
      rope: buffer('rope', CONTEXT * headDim * 4),
      y: buffer('y', most * numHeads * headDim * 4),
      probes: buffer('probes', PROBES * numHeads * probeFloats(headDim) * 4),
      partial_outputs: buffer('partial outputs', Math.max(most, pages) * numHeads * partialFloats(headDim) * 4),
    };
    const { queue } = device.gpuDevice;
    const table = Array.from({ length: pages }, (_, i) => pageEntry(i * units, 'f16', PAGE_TOKENS, i * PAGE_TOKENS));
    queue.writeBuffer(shared.pages, 0, Uint32Array.from(table.flat()));
    return Array.from({ length: layers }, () => ({ ...shared, kv: buffer('kv', bytes) }));
  };
  const form = { halfOnly: true, stores: storesTokens(device, config) };
  const shape = `${numHeads} / ${numKvHeads} × ${headDim}`;
  const contest = (name: string, kind: 'decode' | 'prefill', shareOf: Share, candidates: readonly Candidate[]): Contest => ({
    name: `${name} ${shape}`,
    candidates,
    kernel: () => attentionKernels(device, config, form)[kind],
    make() {
      made ??= bound();
      const kernel = attentionKernels(device, config, form)[kind];
      const operations = made.map((one) => createOperation(device, kernel, one));
      let next = 0;
      let shown = 0;
      return (recorder, share) => {
        const { tokens, length } = shareOf(share);
        const { splits, pagesPerSplit } = kernel.split({ tokens, length });
        if (share !== shown) device.gpuDevice.queue.writeBuffer(made![0]!['batch_table']!, 0, endOf(tokens, length));
        shown = share;
        const operation = operations[next++ % operations.length]!;
        recorder.run(operation, operation.groups({ tokens, splits }), { tokens, splits, pagesPerSplit, slotPages: pages });
      };
    },
  });
  // With fewer pages other candidates win: workgroups share pages out.
  const one: Share = () => ({ tokens: 1, length: CONTEXT });
  /** Whole tiles, of all candidates': one that is half empty costs as much. */
  const many: Share = (share) => {
    const tiles = Math.max(1, Math.floor((share * PREFILL_TOKENS) / tileTokens));
    const tokens = Math.floor(tiles * tileTokens);
    return { tokens, length: Math.max(tokens, PREFILL_CONTEXT) };
  };
  if (!sharedPages) return [contest('attention', 'decode', one, ALONE)];
  return [contest('attention-decode', 'decode', one, DECODE), contest('attention-prefill', 'prefill', many, PREFILL)];
}

/** The queries that a share of the work has, and how many tokens they attend to. */
type Share = (share: number) => { tokens: number; length: number };

/** The last `tokens` of so many, as a batch. */
function endOf(tokens: number, length: number): Uint32Array<ArrayBuffer> {
  const page = Math.ceil(length / PAGE_TOKENS) - 1;
  return batchTable(Array.from({ length: tokens }, (_, i) => ({ place: i, position: length - tokens + i, firstPage: 0, page })));
}
