/** `cpu`: a software adapter, where barriers are slow and cores are few. `gpu`: everything else. */
export type DeviceClass = 'cpu' | 'gpu';

/** What differs between devices in the kernels. A software adapter wants several rows an invocation and no barriers. */
export interface Variant {
  /** Invocations of a workgroup. */
  workgroup: number;
  /** The same for products of many tokens: small, so that few of a last group's invocations have no rows. */
  prefillWorkgroup: number;
  /** Rows of a tile in workgroup memory for such products, which the workgroup shares; 0: in registers, where barriers are slow. */
  tileRows: number;
  /** The same for attention, whose invocations are few and long: small, so that every core gets some. */
  attentionWorkgroup: number;
  /** Most heads of a query that an invocation attends with, where they share keys and values: reading a page costs more there than computing. */
  attentionHeads: number;
  /** The same for kernels of one token: small for the same reason. */
  rowWorkgroup: number;
  /** Invocations that share out one row, or one token's norm: 1, or the whole of `rowWorkgroup`. */
  lanes: number;
  /** Invocations that scan the vocabulary when sampling. */
  scanners: number;
  /** Most tokens of one prefill submission: an abort waits for no more than that. */
  batchTokens: number;
}

/** What suits devices of a class, as far as is known without timing. */
export const VARIANTS: Record<DeviceClass, Variant> = {
  cpu: { workgroup: 64, prefillWorkgroup: 8, tileRows: 0, attentionWorkgroup: 8, attentionHeads: 4, rowWorkgroup: 8, lanes: 1, scanners: 64, batchTokens: 64 },
  gpu: { workgroup: 32, prefillWorkgroup: 256, tileRows: 128, attentionWorkgroup: 32, attentionHeads: 1, rowWorkgroup: 32, lanes: 32, scanners: 256, batchTokens: 512 },
};
