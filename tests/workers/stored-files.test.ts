import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { LoadProgress } from '../../src/session/session-options.ts';
import { ChunkwiseError } from '../../src/errors/chunkwise-error.ts';
import { PIECE_BYTES as PIECE } from '../../src/downloads/file-download.ts';
import { deleteModel, listModels } from '../../src/storage/model-files.ts';
import { openStored } from '../../workers/model-store.ts';
import { OpfsPieces, readJournal } from '../../src/storage/opfs-pieces.ts';
import { type Asked, HubServer } from '../support/hub-server.ts';
import { expectError } from '../support/expect-error.ts';
import { Random } from '../support/random.ts';
import { Killed, NodeStorage } from './node-storage.ts';

const PATH = 'weights.gguf';
const SIZE = PIECE + 150_000;
const FOLDER = 'chunkwise-models';
const random = new Random(4);
const FIRST = Uint8Array.from({ length: SIZE }, () => random.below(256));

/** The file after a number of changes, which leave its beginning. */
const version = (changes: number): Uint8Array => FIRST.map((byte, i) => (i < PIECE / 2 ? byte : byte ^ changes));
const SECOND = version(1);
const isSame = (bytes: Uint8Array, expected: Uint8Array): boolean => Buffer.compare(bytes, expected) === 0;

let hub: HubServer;
let storage: NodeStorage;
beforeAll(async () => {
  hub = await HubServer.start('owner/tiny', { [PATH]: FIRST });
  storage = NodeStorage.install();
});
afterAll(async () => {
  await hub.close();
  storage.remove();
});
beforeEach(() => begin());

function begin(): void {
  storage.clear();
  storage.visit();
  hub.files[PATH] = FIRST;
  hub.forget();
}

const url = (): string => hub.fileUrl(PATH);

async function load(onProgress: (progress: LoadProgress) => void = () => undefined): Promise<Uint8Array> {
  const [source] = await openStored(url(), [{ url: url(), key: url(), headers: {} }], {
    kind: 'model',
    confirm: undefined,
    onProgress,
  });
  return source!.read(0, source!.size);
}

/** Bytes of the pieces in the journals. */
function held(): number {
  const journals = storage.names(FOLDER).filter((name) => name.endsWith('.journal'));
  const pieces = journals.map(
    (name) => readJournal(storage.bytes(FOLDER, name).toString())?.pieces ?? new Map<number, string>(),
  );
  return pieces
    .flatMap((each) => [...each.keys()])
    .reduce((sum, index) => sum + (index === 0 ? PIECE : SIZE - PIECE), 0);
}

describe('a file that changes on its server during its download', () => {
  /** The first piece is older than what is asked for after it; each description of the file is newer again, up to `last`. */
  function changes(validators: (version: number) => Record<string, string>, last: number): void {
    let described = -1;
    const seen = new Set<number>();
    const versions = new Map<object, number>();
    hub.behaviour.headers = ({ from, to, response }: Asked) => {
      if (to - from === 2) {
        described++;
        seen.clear();
      }
      const isLater = to - from > 2 && (from > 0 || seen.size === 2);
      if (to - from > 2) seen.add(from);
      const now = Math.min(last, described + (isLater ? 1 : 0));
      versions.set(response, now);
      return validators(now);
    };
    hub.behaviour.tampered = (_, { from, to, response }) => version(versions.get(response) ?? 0).slice(from, to);
  }

  const date = (version: number): string => new Date(version * 1000).toUTCString();
  const VALIDATORS: [string, (version: number) => Record<string, string>][] = [
    ['an entity tag', (version) => ({ ETag: `"${version}"` })],
    ['a date', (version) => ({ 'Last-Modified': date(version) })],
    ['a weak tag that stays, and a date', (version) => ({ ETag: 'W/"1"', 'Last-Modified': date(version) })],
    ['a weak tag that stays', () => ({ ETag: 'W/"1"' })],
    ['nothing', () => ({})],
  ];

  it.each(VALIDATORS)(
    'which tells %s: it is begun anew, and an error where it changes again',
    async (_, validators) => {
      changes(validators, 1);
      expect(isSame(await load(), SECOND)).toBe(true);
      begin();
      changes(validators, Infinity);
      await expectError(load, 'network', { file: url(), reason: /the file changed on the server during the download/ });
      hub.forget();
      expect(isSame(await load(), FIRST)).toBe(true);
    },
  );

  it('between two visits, without a sign', async () => {
    hub.behaviour.headers = () => ({});
    hub.behaviour.cutAt = ({ from, to }) => (to === SIZE && from < SIZE - 1000 ? SIZE - 1000 : undefined);
    hub.behaviour.instead = ({ from, response }) => from > PIECE && Boolean(response.writeHead(404).end());
    await expectError(load, 'network', { reason: /404/ });
    expect(held()).toBe(PIECE);
    hub.files[PATH] = SECOND;
    hub.behaviour = { headers: () => ({}) };
    expect(isSame(await load(), SECOND)).toBe(true);
  });

  it('after a broken connection, without ranges and without a sign', async () => {
    hub.behaviour = { ranges: false, headers: () => ({}) };
    hub.behaviour.cutAt = () => {
      hub.files[PATH] = SECOND;
      return hub.behaviour.cutAt === undefined ? undefined : ((hub.behaviour.cutAt = undefined), PIECE + 10);
    };
    expect(isSame(await load(), SECOND)).toBe(true);
  });

  it('and becomes shorter', async () => {
    const short = SECOND.slice(0, SIZE - 100_000);
    hub.behaviour.headers = () => ({});
    hub.behaviour.instead = ({ from, response }) => {
      if (from < PIECE) return false;
      hub.files[PATH] = short;
      hub.behaviour.instead = undefined;
      return Boolean(response.writeHead(416).end());
    };
    expect(isSame(await load(), short)).toBe(true);
  });

  it('or does not: without a sign, the file’s beginning and a little more of each early piece are downloaded twice', async () => {
    hub.behaviour.headers = () => ({});
    expect(isSame(await load(), FIRST)).toBe(true);
    expect(hub.sentTwice(PATH)).toBe(PIECE + 65_536);
    hub.forget();
    hub.behaviour.headers = () => ({});
    expect(isSame(await load(), FIRST)).toBe(true);
    expect(hub.sentBytes(PATH)).toBe(0);
  });
});

describe.each(['killed', 'full'] as const)('a tab that is %s at each change of its storage', (how) => {
  /** Loads with every change failing in turn, from what `prepare` leaves, and looks what the next visit finds. */
  async function atEach(prepare: () => Promise<void>, next: () => Promise<void>): Promise<number> {
    for (let at = 1; ; at++) {
      begin();
      await prepare();
      storage.visit(how, at);
      const error: unknown = await load().then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      if (error === undefined) return at - 1;
      if (how === 'killed') expect(error).toBeInstanceOf(Killed);
      else expect(error).toMatchObject({ code: 'over_limit', detail: { file: url(), field: 'storage' } });
      storage.visit();
      await next();
    }
  }

  it('with a first download: the next visit continues, and downloads no stored piece again', async () => {
    const kept: number[] = [];
    const count = await atEach(
      async () => undefined,
      async () => {
        kept.push(held());
        hub.forget();
        expect(isSame(await load(), FIRST)).toBe(true);
        expect(hub.sentBytes(PATH)).toBe(SIZE - kept.at(-1)!);
        expect(held()).toBe(SIZE); // no line of the journal is lost after an incomplete one
        expect(storage.names(FOLDER)).toHaveLength(2);
      },
    );
    expect(count).toBeGreaterThanOrEqual(10);
    expect([kept[0], kept.at(-1)]).toEqual([0, SIZE]);
    expect(kept.filter((bytes) => bytes > 0 && bytes < SIZE).length).toBeGreaterThanOrEqual(2);
  });

  it('with a new version: without the network the next visit has one of the two, and then the new one', async () => {
    const found = { old: 0, new: 0 };
    const prepare = async (): Promise<void> => {
      await load();
      hub.files[PATH] = SECOND;
    };
    await atEach(prepare, async () => {
      hub.behaviour.instead = ({ response }) => Boolean(response.writeHead(503).end());
      const bytes = await load();
      expect(isSame(bytes, FIRST) || isSame(bytes, SECOND)).toBe(true);
      found[isSame(bytes, FIRST) ? 'old' : 'new']++;
      hub.behaviour = {};
      expect(isSame(await load(), SECOND)).toBe(true);
      expect(storage.names(FOLDER)).toHaveLength(2);
    });
    expect(found.old).toBeGreaterThanOrEqual(8);
  });
});

it('pieces that a visit stores at once, before any other, share the files that the first opens', async () => {
  const folder = await navigator.storage.getDirectory();
  const before = await OpfsPieces.open(folder, 'two-pieces');
  await before.begin({ url: url(), size: 2, version: '1', pieceBytes: 1 });
  before.close();
  const pieces = await OpfsPieces.open(folder, 'two-pieces');
  await Promise.all([0, 1].map((index) => pieces.put(index, Uint8Array.of(index), `hash ${index}`)));
  pieces.close();
  const read = await OpfsPieces.open(folder, 'two-pieces');
  expect([...read.pieces].sort()).toEqual([
    [0, 'hash 0'],
    [1, 'hash 1'],
  ]);
});

describe('two tabs', () => {
  it('that load one file: one downloads it and reports its progress to the other', async () => {
    const told: LoadProgress[][] = [[], []];
    const [first, second] = await Promise.all(told.map((events) => load((event) => events.push(event))));
    expect([isSame(first!, FIRST), isSame(second!, FIRST)]).toEqual([true, true]);
    expect([hub.sentBytes(PATH), hub.sentTwice(PATH)]).toEqual([SIZE, 0]);
    for (const events of told) expect(events).toContainEqual({ phase: 'download', bytes: SIZE, total: SIZE });
  });

  it('of which one deletes what the other downloads: refused until the download ends', async () => {
    const asked = new Promise<void>((resolve) => {
      hub.behaviour.headers = () => (resolve(), {});
    });
    const loading = load();
    await asked;
    await expectError(() => deleteModel(url()), 'busy', { file: url(), field: 'storage', reason: /another tab/ });
    expect(isSame(await loading, FIRST)).toBe(true);
    expect(await listModels()).toEqual([{ kind: 'model', name: url(), bytes: SIZE }]);
    expect([await deleteModel(url()), await deleteModel(url())]).toEqual([true, false]);
    expect(storage.names(FOLDER)).toEqual([]);
  });
});

it('starts a download again if site data are cleared meanwhile, and throws if they are cleared twice', async () => {
  let times = 1;
  hub.behaviour.instead = ({ from }) => {
    if (from < PIECE || times-- <= 0) return false;
    storage.clear();
    return false;
  };
  expect(isSame(await load(), FIRST)).toBe(true);
  begin();
  times = 2;
  hub.behaviour.instead = ({ from }) => {
    if (from >= PIECE && times-- > 0) storage.clear();
    return false;
  };
  const error: unknown = await load().catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(ChunkwiseError);
  expect(error).toMatchObject({
    code: 'storage_lost',
    detail: { file: url(), field: 'storage', reason: /was deleted from the browser's storage/ },
  });
  expect(isSame(await load(), FIRST)).toBe(true);
});
