import type { NotedDispatch } from './paper-gpu.ts';
import type { Tracer, WorkgroupTrace } from './tracer.ts';

/** Invocations that load together on most cards, and bytes that a card fetches at once. */
const LANES = 32;
const SECTOR = 32;

/** Accesses of all workgroups of a dispatch to one binding in one function. */
export interface Traffic {
  binding: string;
  /** Label of the buffer. */
  label: string;
  within: string;
  kind: 'load' | 'store' | 'update';
  /** Bytes that invocations access, summed over all invocations. */
  bytes: number;
  /** Distinct bytes of a workgroup, summed over all workgroups. */
  distinct: number;
  /** `bytes` over `distinct`. */
  reuse: number;
  /** Fetched sectors, for each instruction of 32 neighbouring lanes, over the sectors that its bytes would fill. */
  sectors: number;
  /** Bytes of the fetched sectors. */
  fetched: number;
  /** Bytes of the distinct sectors of a workgroup, summed over all workgroups: fetched with a cache that holds a workgroup's. */
  fetchedOnce: number;
  /** Share of an instruction's lanes that are active. */
  lanes: number;
}

interface Sum {
  bytes: number;
  unique: number;
  fetched: number;
  fetchedOnce: number;
  needed: number;
  active: number;
  lanes: number;
}

/** Reads and writes of a dispatch, estimated from `samples` evenly spaced workgroups. */
export async function trafficOf(tracer: Tracer, dispatch: NotedDispatch, samples = 4): Promise<Traffic[]> {
  const [x, y, z] = dispatch.groups;
  const all = x * y * z;
  const count = Math.min(samples, all);
  const places = Array.from({ length: count }, (_, i) => Math.floor(((i + 0.5) * all) / count));
  const traces = await tracer.trace(
    dispatch,
    places.map((at) => [at % x, Math.floor(at / x) % y, Math.floor(at / (x * y))] as const),
  );
  const sums = new Map<string, { traffic: Pick<Traffic, 'binding' | 'within' | 'kind'>; sum: Sum }>();
  for (const trace of traces) {
    for (const [key, { traffic, sum }] of sumsOf(trace)) {
      const known = sums.get(key);
      if (known) for (const name of Object.keys(sum) as (keyof Sum)[]) known.sum[name] += sum[name];
      else sums.set(key, { traffic, sum });
    }
  }
  const names = [...dispatch.code.matchAll(/var<storage[^>]*>\s*(\w+)/g)].map(([, name]) => name);
  const scale = all / count;
  return [...sums.values()].map(({ traffic, sum: { bytes, unique, fetched, fetchedOnce, needed, active, lanes } }) => ({
    ...traffic,
    label: dispatch.bindings[names.indexOf(traffic.binding)]?.label ?? '',
    bytes: bytes * scale,
    distinct: unique * scale,
    reuse: bytes / unique,
    sectors: fetched / needed,
    fetched: fetched * SECTOR * scale,
    fetchedOnce: fetchedOnce * SECTOR * scale,
    lanes: active / lanes,
  }));
}

/** Sums for each binding, function and kind. */
function sumsOf({ sites, width, lanes, siteOf, elements }: WorkgroupTrace) {
  const perSubgroup = Math.min(LANES, width);
  const subgroups = Math.ceil(width / LANES);
  /** Instructions of each site and subgroup, in order: the addresses of their lanes. */
  const instructions: number[][][] = Array.from({ length: sites.length * subgroups }, () => []);
  const executed = new Uint32Array(sites.length * width);
  for (let i = 0; i < lanes.length; i++) {
    const [lane, site] = [lanes[i] ?? 0, siteOf[i] ?? 0];
    const { stride = 0, offset = 0 } = sites[site] ?? {};
    const nth = executed[site * width + lane]!++;
    const of = instructions[site * subgroups + Math.floor(lane / LANES)] as number[][];
    (of[nth] ??= []).push((elements[i] ?? 0) * stride + offset);
  }
  const sums = new Map<
    string,
    { traffic: Pick<Traffic, 'binding' | 'within' | 'kind'>; sum: Sum; seen: Set<number>; seenSectors: Set<number> }
  >();
  sites.forEach(({ binding, within, kind, bytes }, site) => {
    const key = `${binding} ${within} ${kind}`;
    const entry = sums.get(key) ?? {
      traffic: { binding, within, kind },
      sum: { bytes: 0, unique: 0, fetched: 0, fetchedOnce: 0, needed: 0, active: 0, lanes: 0 },
      seen: new Set<number>(),
      seenSectors: new Set<number>(),
    };
    for (const addresses of instructions.slice(site * subgroups, (site + 1) * subgroups).flat()) {
      const unique = new Set(addresses);
      const sectors = new Set(
        [...unique].flatMap((at) => [Math.floor(at / SECTOR), Math.floor((at + bytes - 1) / SECTOR)]),
      );
      entry.sum.bytes += addresses.length * bytes;
      entry.sum.fetched += sectors.size;
      for (const sector of sectors) entry.seenSectors.add(sector);
      entry.sum.fetchedOnce = entry.seenSectors.size;
      entry.sum.needed += Math.ceil((unique.size * bytes) / SECTOR);
      entry.sum.active += addresses.length;
      entry.sum.lanes += perSubgroup;
      for (const at of unique) {
        if (entry.seen.has(at)) continue;
        entry.seen.add(at);
        entry.sum.unique += bytes;
      }
    }
    if (entry.sum.bytes > 0) sums.set(key, entry);
  });
  return sums;
}
