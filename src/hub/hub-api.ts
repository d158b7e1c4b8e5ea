import { isRecord } from '../util/values.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';

/** A repository of the Hugging Face hub, or one file in it. */
export interface HubId {
  /** `owner/name` */
  repo: string;
  /** Branch, tag or commit. */
  revision: string;
  /** Path in the repository; undefined: chosen to fit the device. */
  file?: string;
}

const NAME = '[A-Za-z0-9][A-Za-z0-9._-]*';
const ID = new RegExp(`^(${NAME}/${NAME})(?:@([^:\\s]+))?(?::([^:]+))?$`);
const MODEL_FILE = /\.(gguf|safetensors|json)$/i;

/**
 * Parses `owner/repo`, `owner/repo@revision`, `owner/repo:file.gguf` and `owner/repo@revision:file.gguf`; undefined for
 * anything else, such as a URL. A relative URL of the same form (`models/tiny.gguf`) is recognised by its file
 * extension, or by `./` or a final `/`.
 */
export function parseHubId(text: string): HubId | undefined {
  const [, repo, revision = 'main', file] = ID.exec(text) ?? [];
  if (repo === undefined || (file === undefined && MODEL_FILE.test(text)) || file?.split('/').includes('..'))
    return undefined;
  return { repo, revision, ...(file !== undefined && { file }) };
}

/** The hub's address and the user's credentials. */
export interface HubOptions {
  /** Origin of the hub or a mirror. Default: https://huggingface.co. */
  endpoint?: string;
  /** Access token for gated and private repositories. It is sent to `endpoint` only. Default: none. */
  token?: string;
}

export interface HubFile {
  /** Path in the repository. */
  path: string;
  /** Bytes. */
  size: number;
  /** SHA-256 of a file in LFS, which holds all weights. */
  sha256?: string;
  /** Changes with the content. */
  oid: string;
  /** URL of the file at its commit. */
  url: string;
}

/** A repository at one commit. */
export interface HubRepo {
  commit: string;
  files: HubFile[];
  /** License named by the repository's card. */
  license?: string | undefined;
}

const ENDPOINT = 'https://huggingface.co';

const originOf = ({ endpoint = ENDPOINT }: HubOptions): string => endpoint.replace(/\/+$/, '');

/** The page of a repository, or the address of the file in `id`. */
export function hubUrl({ repo, revision, file }: HubId, options: HubOptions): string {
  const place = `${originOf(options)}/${repo}`;
  return file === undefined ? place : `${place}/resolve/${encodeURIComponent(revision)}/${encodePath(file)}`;
}

/** Fetches JSON. Throws `network`, `aborted`. */
export type ReadJson = (url: string) => Promise<unknown>;

/**
 * Lists a repository's files at the commit that a revision points to now (the hub's API, `GET
 * /api/models/{repo}/revision/{revision}?blobs=true`), so that files of two commits never mix. Throws `network`, or
 * `bad_file` for a response that is not the hub's.
 */
export async function listRepo({ repo, revision }: HubId, options: HubOptions, read: ReadJson): Promise<HubRepo> {
  const origin = originOf(options);
  const url = `${origin}/api/models/${repo}/revision/${encodeURIComponent(revision)}?blobs=true`;
  const answer = await read(url);
  const fail = (field: string, reason: string): never => {
    throw new ChunkwiseError('bad_file', { file: url, field, reason });
  };
  if (!isRecord(answer)) return fail('answer', 'is not a JSON object');
  const { sha: commit, siblings } = answer;
  if (typeof commit !== 'string' || !/^[\w.-]+$/.test(commit)) return fail('sha', 'names no commit');
  if (!Array.isArray(siblings)) return fail('siblings', 'is not a list of files');
  const files = siblings.map((entry: unknown, i): HubFile => {
    const field = `siblings[${i}]`;
    if (!isRecord(entry) || typeof entry['rfilename'] !== 'string') return fail(field, 'names no file');
    const { rfilename: path, size, lfs, blobId } = entry;
    if (!isSize(size)) return fail(`${field}.size`, 'is not a length in bytes');
    const sha256 = isRecord(lfs) ? lfs['sha256'] : undefined;
    if (sha256 !== undefined && (typeof sha256 !== 'string' || !/^[0-9a-f]{64}$/.test(sha256))) {
      return fail(`${field}.lfs.sha256`, 'is not a SHA-256');
    }
    const place = `${origin}/${repo}/resolve/${commit}/${encodePath(path)}`;
    const oid = sha256 ?? (typeof blobId === 'string' ? blobId : commit);
    return { path, size, oid, url: place, ...(sha256 !== undefined && { sha256 }) };
  });
  return { commit, files, license: licenseOf(answer) };
}

/** Headers of a request to `url`: the token, for the hub only. */
export function hubHeaders(url: string, { endpoint = ENDPOINT, token }: HubOptions): Record<string, string> {
  if (token === undefined || new URL(url).origin !== new URL(endpoint).origin) return {};
  return { Authorization: `Bearer ${token}` };
}

/** License of a repository's card. A license unknown to the hub is `other`, with its name in a second field. */
function licenseOf({ cardData }: Record<string, unknown>): string | undefined {
  const { license, license_name: name } = isRecord(cardData) ? cardData : {};
  const told = license === 'other' && typeof name === 'string' ? name : license;
  return typeof told === 'string' ? told : undefined;
}

const encodePath = (path: string): string => path.split('/').map(encodeURIComponent).join('/');

const isSize = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
