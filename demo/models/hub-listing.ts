import { ChunkwiseError, modelUrl } from '../../src/api/index.ts';
import type { PageStorage } from '../basics/storage.ts';
import { MODELS } from './models.ts';

/** The hub's entry of a model. */
export interface HubFacts {
  /** Time of the request, in milliseconds since 1970, as `created`. */
  asked: number;
  /** Time when its repository was created. */
  created: number;
  /** Size of its file. */
  bytes: number;
  /** License named by its card, of any length. */
  license: string | undefined;
  /** Address of its license, or of its card. */
  licenseUrl: string;
}

const KEY = 'hub-listing';
const TIMEOUT_MS = 20_000;
/** Latest time of a Date. */
const LATEST = 8.64e15;

/** The hub's host. */
export const HUB_HOST = new URL(modelUrl('owner/name')).host;

/** The hub's latest entries of the page's models, stored on this device; requested only when the user asks. */
export class HubListing {
  private facts = new Map<string, HubFacts>();

  constructor(private readonly storage: PageStorage) {}

  async restore(): Promise<void> {
    const kept = await this.storage.get<unknown>(KEY);
    if (!(kept instanceof Map)) return;
    // Damaged entries are requested again.
    for (const [id, facts] of kept) if (typeof id === 'string' && isFacts(facts)) this.facts.set(id, facts);
  }

  of(id: string): HubFacts | undefined {
    return this.facts.get(id);
  }

  /** Time of the oldest entry; undefined if there is none. */
  get asked(): number | undefined {
    const all = [...this.facts.values()].map(({ asked }) => asked);
    return all.length === 0 ? undefined : Math.min(...all);
  }

  /** Requests all models at once; entries stay if a request fails. Returns an error for each failure. */
  async ask(): Promise<ChunkwiseError[]> {
    const answers = await Promise.all(
      MODELS.map(async ({ id }) => {
        try {
          this.facts.set(id, await askOf(id));
          return undefined;
        } catch (error) {
          return error instanceof ChunkwiseError
            ? error
            : new ChunkwiseError('network', { file: id, reason: String(error) });
        }
      }),
    );
    await this.storage.set(KEY, this.facts);
    return answers.filter((error) => error !== undefined);
  }
}

async function askOf(id: string): Promise<HubFacts> {
  const [repo = '', file = ''] = id.split(':');
  const url = new URL(`/api/models/${repo}/revision/main?blobs=true`, modelUrl(repo)).href;
  const answer = await fetch(url, {
    credentials: 'omit',
    referrerPolicy: 'no-referrer',
    signal: AbortSignal.timeout(TIMEOUT_MS),
  }).catch((error: unknown) => {
    throw new ChunkwiseError('network', { file: repo, reason: String(error) });
  });
  if (!answer.ok) throw new ChunkwiseError('bad_file', { file: repo, reason: `status ${answer.status}` });
  const body: unknown = await answer.json().catch(() => undefined);
  return { asked: Date.now(), ...readListing(body, repo, file) };
}

/**
 * Parses a response of the hub's API about a repository (`GET /api/models/{repo}/revision/{revision}?blobs=true`) for
 * one file. Throws `bad_file` for a response that is not the hub's or lacks the file.
 */
export function readListing(answer: unknown, repo: string, file: string): Omit<HubFacts, 'asked'> {
  const { createdAt, lastModified, siblings, cardData, tags } = fieldsOf(answer);
  const fail = (field: string, reason: string): never => {
    throw new ChunkwiseError('bad_file', { file: repo, field, reason });
  };
  if (!Array.isArray(siblings)) return fail('siblings', 'is not a list of files');
  const found = siblings.map(fieldsOf).find(({ rfilename }) => rfilename === file);
  if (!found) return fail('siblings', `has no ${file}`);
  const { size } = found;
  if (!isSize(size)) return fail('size', 'is not a length in bytes');
  const date = createdAt ?? lastModified;
  const created = typeof date === 'string' ? Date.parse(date) : NaN;
  if (Number.isNaN(created)) return fail('createdAt', 'is not a date');
  return { created, bytes: size, ...licenseOf(fieldsOf(cardData), tags, modelUrl(repo)) };
}

/** A license unknown to the hub is `other`, with its name in a second field. */
function licenseOf(
  card: Record<string, unknown>,
  tags: unknown,
  page: string,
): Pick<HubFacts, 'license' | 'licenseUrl'> {
  const { license, license_name: name, license_link: link } = card;
  const tag: unknown = Array.isArray(tags)
    ? tags.find((each) => typeof each === 'string' && each.startsWith('license:'))
    : undefined;
  const told = [
    license === 'other' ? name : undefined,
    license,
    typeof tag === 'string' ? tag.slice('license:'.length) : undefined,
  ];
  return {
    license: told.find((each): each is string => typeof each === 'string' && each !== ''),
    licenseUrl: typeof link === 'string' && isSecure(link) ? link : page,
  };
}

/** A property of any value; undefined if missing. */
const fieldsOf = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null ? { ...value } : {};

/** Links come from strangers: only http and https are allowed. */
const isSecure = (url: string): boolean => URL.canParse(url) && new URL(url).protocol === 'https:';

const isSize = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) > 0;

const isTime = (value: unknown): boolean => typeof value === 'number' && Math.abs(value) <= LATEST;

function isFacts(value: unknown): value is HubFacts {
  const { asked, created, bytes, license, licenseUrl } = fieldsOf(value);
  const isText = license === undefined || typeof license === 'string';
  return (
    isTime(asked) &&
    isTime(created) &&
    isSize(bytes) &&
    isText &&
    typeof licenseUrl === 'string' &&
    isSecure(licenseUrl)
  );
}
