import type { ModelConfig } from '../config/model-config.ts';
import type { Candidate, Contest } from '../gpu/autotuner.ts';
import type { Device } from '../gpu/device.ts';
import type { Groups } from '../gpu/kernel.ts';
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
const DECODE: readonly Candidate[] = [
  { attentionWorkgroup: 64 },
  { attentionWorkgroup: 128 },
  { attentionWorkgroup: 256 },
];
const PREFILL: readonly Candidate[] = [
  { attentionTile: 512, attentionVectors: 2 },
  { attentionTile: 256, attentionVectors: 2 },
  { attentionTile: 256, attentionVectors: 4 },
];

/** Every way there is, those that share pages first. */
export const ATTENTION: readonly Candidate[] = [
  ...DECODE,
  ...PREFILL,
  ...ALONE.map((alone) => ({ sharedPages: false, ...alone })),
];

/** Tokens of the context that decoding attends to, and of the one that a prefill stands at the end of. */
const CONTEXT = 1024;
const PREFILL_TOKENS = 512;

/** `buffer`: makes one of so many bytes. */
export function attentionContests(
  device: Device,
  config: ModelConfig,
  buffer: (name: string, bytes: number) => GPUBuffer,
): Contest[] {
  const { numHeads, numKvHeads, headDim } = config;
  const { sharedPages } = device.variant;
  const most = sharedPages ? PREFILL_TOKENS : 1;
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
  const contest = (
    name: string,
    kind: 'decode' | 'prefill',
    shareOf: Share,
    candidates: readonly Candidate[],
  ): Contest => ({
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
        const { tokens, length, groupsOf } = shareOf(share);
        const { splits, pagesPerSplit } = kernel.split({ tokens, length });
        if (share !== shown) device.gpuDevice.queue.writeBuffer(made![0]!['batch_table']!, 0, endOf(tokens, length));
        shown = share;
        const operation = operations[next++ % operations.length]!;
        recorder.run(operation, groupsOf(operation.groups({ tokens, splits })), {
          tokens,
          splits,
          pagesPerSplit,
          slotPages: pages,
        });
      };
    },
  });
  if (!sharedPages) return [contest('attention', 'decode', whole, ALONE)];
  return [
    contest('attention-decode', 'decode', ofOne(config), DECODE),
    contest('attention-prefill', 'prefill', ofMany(config), PREFILL),
  ];
}

/** What a share of the work is: its queries, how many tokens they attend to, and those workgroups of theirs that run. */
type Share = (share: number) => { tokens: number; length: number; groupsOf: (groups: Groups) => Groups };

const whole: Share = () => ({ tokens: 1, length: CONTEXT, groupsOf: (groups) => groups });

// With fewer pages other candidates win, as workgroups share pages out. So less work is fewer heads of the cache.
const ofOne =
  ({ numKvHeads }: ModelConfig): Share =>
  (share) => {
    const heads = Math.max(1, Math.round(share * numKvHeads));
    return { tokens: 1, length: CONTEXT, groupsOf: ([x, y, z]) => [(x / numKvHeads) * heads, y, z] };
  };

/** Whole tiles, of all candidates', since one that is half empty costs as much; and two of them, or a core might be idle. */
const ofMany =
  ({ numHeads, numKvHeads }: ModelConfig): Share =>
  (share) => {
    const tileTokens = MOST_TILE_ROWS / (numHeads / numKvHeads);
    const tiles = Math.max(2, Math.floor((share * PREFILL_TOKENS) / tileTokens));
    const tokens = Math.min(Math.floor(tiles * tileTokens), PREFILL_TOKENS);
    const seen = (share * numKvHeads * PREFILL_TOKENS ** 2) / 2 / tokens; // by each token, in all heads
    const heads = Math.min(Math.max(Math.round(seen / (PREFILL_TOKENS - tokens / 2)), 1), numKvHeads);
    const length = Math.max(tokens, Math.min(Math.ceil(seen / heads + tokens / 2), PREFILL_TOKENS));
    return { tokens, length, groupsOf: ([x, y]) => [x, y, heads] };
  };

/** The last `tokens` of so many, as a batch. */
function endOf(tokens: number, length: number): Uint32Array<ArrayBuffer> {
  const page = Math.ceil(length / PAGE_TOKENS) - 1;
  return batchTable(
    Array.from({ length: tokens }, (_, i) => ({ place: i, position: length - tokens + i, firstPage: 0, page })),
  );
}
