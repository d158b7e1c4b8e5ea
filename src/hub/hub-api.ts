import { isRecord } from '../config/is-record.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import type { HubId } from './model-id.ts';

/** Where the hub is, and who asks. */
export interface HubOptions {
  /** Origin of the hub or a mirror of it. Default: https://huggingface.co. */
  endpoint?: string;
  /** Access token, for gated and private repositories. It is sent to `endpoint` alone. Default: none. */
  token?: string;
}

export interface HubFile {
  /** Within the repository. */
  path: string;
  /** Bytes. */
  size: number;
  /** Of files in LFS, which is where weights are. */
  sha256?: string;
  /** Changes with the content. */
  oid: string;
  /** Of the file at its commit. */
  url: string;
}

/** A repository at one commit. */
export interface HubRepo {
  commit: string;
  files: HubFile[];
  /** As its card names it. */
  license?: string | undefined;
}

const ENDPOINT = 'https://huggingface.co';

const originOf = ({ endpoint = ENDPOINT }: HubOptions): string => endpoint.replace(/\/+$/, '');

/** The page of a repository, or the address of the file that `id` names. */
export function hubUrl({ repo, revision, file }: HubId, options: HubOptions): string {
  const place = `${originOf(options)}/${repo}`;
  return file === undefined ? place : `${place}/resolve/${encodeURIComponent(revision)}/${encodePath(file)}`;
}

/** Answers a request for JSON. Throws `network`, `aborted`. */
export type ReadJson = (url: string) => Promise<unknown>;

/**
 * Lists a repository's files at the commit that a revision names now (the hub's API, `GET /api/models/{repo}/revision/
 * {revision}?blobs=true`), so that files of two commits are never mixed. Throws `network`, or `bad_file` for an answer
 * that is not the hub's.
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

/** What a request to `url` carries: the token, and to nobody but the hub. */
export function hubHeaders(url: string, { endpoint = ENDPOINT, token }: HubOptions): Record<string, string> {
  if (token === undefined || new URL(url).origin !== new URL(endpoint).origin) return {};
  return { Authorization: `Bearer ${token}` };
}

/** Of a repository's card; a license without a name of its own on the hub is `other`, and its name stands beside. */
function licenseOf({ cardData }: Record<string, unknown>): string | undefined {
  const { license, license_name: name } = isRecord(cardData) ? cardData : {};
  const told = license === 'other' && typeof name === 'string' ? name : license;
  return typeof told === 'string' ? told : undefined;
}

const encodePath = (path: string): string => path.split('/').map(encodeURIComponent).join('/');

const isSize = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
