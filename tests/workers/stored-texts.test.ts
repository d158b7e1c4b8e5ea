import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { decodeLadder, encodeLadder, type LadderContent } from '../../src/adapters/ladder-cache.ts';
import { cacheStore } from '../../src/storage/cache-store.ts';
import { ladderStore } from '../../src/storage/result-stores.ts';
import { Killed, NodeStorage } from './node-storage.ts';

const OLD = new Uint8Array(3000).fill(1);
const NEW = new Uint8Array(5000).fill(2);

let storage: NodeStorage;
beforeAll(() => {
  storage = NodeStorage.install();
});
afterAll(() => storage.remove());
beforeEach(() => begin());

function begin(): void {
  storage.clear();
  storage.visit();
}

const read = async (name: string): Promise<Uint8Array | undefined> => {
  const bytes = await cacheStore.get(name);
  return bytes && new Uint8Array(bytes);
};

describe.each(['killed', 'full'] as const)('a tab that is %s at each change of its storage', (how) => {
  /** Does `work` with every change failing in turn, from what `prepare` leaves, and looks what the next visit finds. */
  async function atEach(
    prepare: () => Promise<void>,
    work: () => Promise<void>,
    next: (error: unknown) => Promise<void>,
  ): Promise<number> {
    for (let at = 1; ; at++) {
      begin();
      await prepare();
      storage.visit(how, at);
      const error: unknown = await work().then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      if (storage.changes < at) return at - 1;
      storage.visit();
      await next(error);
    }
  }

  it.each([
    ['in place of another', OLD],
    ['under a new name', undefined],
  ])('while it saves a text %s', async (_, before) => {
    const count = await atEach(
      async () => {
        if (before) await cacheStore.put('a/ä', before);
        await cacheStore.put('other', OLD);
      },
      () => cacheStore.put('a/ä', NEW),
      async (error) => {
        if (how === 'killed') expect(error).toBeInstanceOf(Killed);
        else expect(error).toMatchObject({ code: 'over_limit', detail: { file: 'a/ä', field: 'storage' } });
        expect(await read('a/ä')).toEqual(before);
        const kept = [{ name: 'other', bytes: OLD.length }, ...(before ? [{ name: 'a/ä', bytes: before.length }] : [])];
        expect(new Set(await cacheStore.list())).toEqual(new Set(kept));
        await cacheStore.put('a/ä', NEW);
        expect([await read('a/ä'), await read('other')]).toEqual([NEW, OLD]);
        // What broke off takes no room any more.
        expect(storage.names('chunkwise-caches')).toHaveLength(2);
      },
    );
    expect(count).toBe(before ? 3 : 4);
  });

  it('while it stores a ladder: the ladder is complete or absent, the others stay, and it can be stored again', async () => {
    const ladder = (rank: number): LadderContent => {
      const values = {
        a: new Uint16Array(rank * 4).fill(1),
        bTransposed: new Uint16Array(rank * 2),
        singularValues: new Float64Array(rank).fill(3),
      };
      return {
        modules: [{ name: 'blk.0.attn_q', layer: 0, linear: 'attn_q', rank, inFeatures: 4, outFeatures: 2, ...values }],
        halfError: 0,
      };
    };
    const [other, wanted] = [await encodeLadder(ladder(2)), await encodeLadder(ladder(3))];
    const found = async (key: string): Promise<number | undefined> => {
      const bytes = await ladderStore.get(key).catch(() => undefined);
      return bytes && (await decodeLadder(bytes))?.modules[0]?.rank;
    };
    const count = await atEach(
      () => ladderStore.put('other', other),
      () => ladderStore.put('wanted', wanted),
      async () => {
        expect([await found('other'), await found('wanted')]).toEqual([2, undefined]);
        if (how === 'full') expect(storage.names('chunkwise-ladders')).toEqual(['other.ladder']);
        await ladderStore.put('wanted', wanted);
        expect([await found('other'), await found('wanted')]).toEqual([2, 3]);
      },
    );
    expect(count).toBeGreaterThanOrEqual(2);
  });
});

it('keeps one complete text when two tabs save, read and delete one name', async () => {
  await cacheStore.put('text', OLD);
  const works = [
    cacheStore.put('text', NEW),
    cacheStore.get('text'),
    cacheStore.put('text', OLD),
    cacheStore.get('text'),
    cacheStore.list(),
  ];
  const [, first, , second, listed] = await Promise.all(works);
  expect([new Uint8Array(first as ArrayBuffer), new Uint8Array(second as ArrayBuffer)]).toEqual([NEW, OLD]);
  expect(listed).toEqual([{ name: 'text', bytes: OLD.length }]);
  await Promise.all([cacheStore.delete('text'), cacheStore.delete('text')]);
  expect(await cacheStore.list()).toEqual([]);
});
