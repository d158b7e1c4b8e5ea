/** `cpu`: a software adapter, where barriers are slow and cores are few. `gpu`: everything else. */
export type DeviceClass = 'cpu' | 'gpu';

/** What differs between devices in the kernels. A software adapter wants several rows an invocation and no barriers. */
export interface Variant {
  /** Invocations of a workgroup. */
  workgroup: number;
  /** The same for products of many tokens: small, so that few of a last group's invocations have no rows; with tiles, one for each 16 rows by 4 tokens. */
  prefillWorkgroup: number;
  /** Whether a workgroup shares a page of the cache out, for all queries that see it; else an invocation reads it for its own. */
  sharedPages: boolean;
  /** The same for attention. Where invocations read pages on their own they are few and long: small, so that every core gets some. */
  attentionWorkgroup: number;
  /** Most heads of a query that an invocation attends with, where they share keys and values: reading a page costs more there than computing. */
  attentionHeads: number;
  /** In prefill, invocations of a workgroup, where the device allows as many; and vectors of four components of its outputs that each has. The more of either, the more queries share a page; the more vectors, the more registers. */
  attentionTile: number;
  attentionVectors: number;
  /** The same for kernels of one token: small for the same reason. */
  rowWorkgroup: number;
  /** Invocations that share out one token's norm: 1, or the whole of `rowWorkgroup`. With 1, a row of a linear too is one invocation's. */
  lanes: number;
  /** Rows of a tile of products of many tokens, which a workgroup shares in its memory; 0: each invocation keeps its own, where barriers are slow. */
  tileRows: number;
  /** With more lanes than one, of linears of one or two tokens: invocations of a workgroup, most that share out a row, and rows of theirs. */
  decodeWorkgroup: number;
  decodeLanes: number;
  decodeRows: number;
  /** Invocations that share a tile of the vocabulary when sampling. */
  scanWorkgroup: number;
  /** Tokens of such a tile: whole words of bits. */
  scanTile: number;
  /** Whether JavaScript brings weights into the form that kernels read, or a kernel does. */
  repacksOnHost: boolean;
  /** Most tokens of one prefill submission: an abort waits for no more than that. */
  batchTokens: number;
}

/** What suits devices of a class, as far as is known without timing. */
export const VARIANTS: Record<DeviceClass, Variant> = {
  cpu: {
    ...{
      workgroup: 64,
      prefillWorkgroup: 8,
      tileRows: 0,
      rowWorkgroup: 8,
      lanes: 1,
      decodeWorkgroup: 0,
      decodeLanes: 0,
      decodeRows: 0,
    },
    ...{ sharedPages: false, attentionWorkgroup: 8, attentionHeads: 4, attentionTile: 0, attentionVectors: 0 },
    ...{ scanWorkgroup: 8, scanTile: 2048, repacksOnHost: true, batchTokens: 64 },
  },
  gpu: {
    ...{
      workgroup: 32,
      prefillWorkgroup: 256,
      tileRows: 64,
      rowWorkgroup: 32,
      lanes: 32,
      decodeWorkgroup: 256,
      decodeLanes: 32,
      decodeRows: 4,
    },
    ...{ sharedPages: true, attentionWorkgroup: 256, attentionHeads: 1, attentionTile: 512, attentionVectors: 2 },
    ...{ scanWorkgroup: 256, scanTile: 1024, repacksOnHost: false, batchTokens: 512 },
  },
};
