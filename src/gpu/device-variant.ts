/** `cpu`: a software adapter, where barriers are slow and cores are few. `gpu`: everything else. */
export type DeviceClass = 'cpu' | 'gpu';

/** What differs between devices in the kernels. A software adapter wants several rows an invocation and no barriers. */
export interface Variant {
  /** Invocations of a workgroup. */
  workgroup: number;
  /** The same for products of many tokens: small, so that few of a last group's invocations have no rows. */
  prefillWorkgroup: number;
  /** Whether a workgroup shares a page of the cache out, for all queries that see it; else an invocation reads it for its own. */
  sharedPages: boolean;
  /** The same for attention. Where invocations read pages on their own they are few and long: small, so that every core gets some. */
  attentionWorkgroup: number;
  /** Most heads of a query that an invocation attends with, where they share keys and values: reading a page costs more there than computing. */
  attentionHeads: number;
  /** Vectors of four components of its outputs that an invocation has in prefill: the more, the more queries share a page, in more registers. */
  attentionVectors: number;
  /** The same for kernels of one token: small for the same reason. */
  rowWorkgroup: number;
  /** Invocations that share out one row, or one token's norm: 1, or the whole of `rowWorkgroup`. */
  lanes: number;
  /** Invocations that share a tile of the vocabulary when sampling. */
  scanWorkgroup: number;
  /** Tokens of such a tile: whole words of bits. */
  scanTile: number;
  /** Most tokens of one prefill submission: an abort waits for no more than that. */
  batchTokens: number;
}

/** What suits devices of a class, as far as is known without timing. */
export const VARIANTS: Record<DeviceClass, Variant> = {
  cpu: { workgroup: 64, prefillWorkgroup: 8, sharedPages: false, attentionWorkgroup: 8, attentionHeads: 4, attentionVectors: 0, rowWorkgroup: 8, lanes: 1, scanWorkgroup: 8, scanTile: 2048, batchTokens: 64 },
  gpu: { workgroup: 32, prefillWorkgroup: 32, sharedPages: true, attentionWorkgroup: 128, attentionHeads: 1, attentionVectors: 4, rowWorkgroup: 32, lanes: 32, scanWorkgroup: 256, scanTile: 1024, batchTokens: 256 },
};
