import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { closeServer } from './close-server.ts';

export const sha256Of = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** A range request as it reaches the server's files. */
export interface Asked {
  path: string;
  /** First byte, and the one after the last. */
  from: number;
  to: number;
  size: number;
  /** Counts from 1. */
  count: number;
  response: ServerResponse;
}

/** How the server misbehaves. */
export interface Behaviour {
  ranges?: boolean;
  /** Omits the length too. */
  length?: boolean;
  /** Sends its own answer, and returns true. */
  instead?: (asked: Asked) => boolean;
  /** Headers instead of the ETag. */
  headers?: (asked: Asked) => Record<string, string>;
  /** Bytes sent instead of the true ones, from `asked.from`. */
  tampered?: (bytes: Uint8Array, asked: Asked) => Uint8Array;
  /** The connection breaks when this byte of the file is reached. */
  cutAt?: (asked: Asked) => number | undefined;
  token?: string;
  /** The status for a wrong token; default 401. */
  refusal?: number;
}

/**
 * A hub of one repository on the loopback interface: its API, files behind a redirect to another origin, their SHA-256
 * in the listing, CORS. It counts how often it sends each byte of each file.
 */
export class HubServer {
  behaviour: Behaviour = {};
  /** Send count of each byte, by file. */
  readonly sent = new Map<string, Uint8Array>();
  /** Requests to both origins, with their Authorization header. */
  readonly requests: { origin: 'hub' | 'cdn'; path: string; range?: string; authorization?: string }[] = [];
  /** Listings of other repositories, which have no files: text, or a value sent as JSON. */
  readonly listed = new Map<string, unknown>();
  private count = 0;
  private hub!: Server;
  private cdn!: Server;

  private constructor(
    readonly repo: string,
    readonly files: Record<string, Uint8Array>,
  ) {}

  static async start(repo: string, files: Record<string, Uint8Array>): Promise<HubServer> {
    const server = new HubServer(repo, files);
    server.hub = await listen((request, response) => server.answerHub(request, response));
    server.cdn = await listen((request, response) => server.answerCdn(request, response));
    server.forget();
    return server;
  }

  get endpoint(): string {
    return originOf(this.hub);
  }

  fileUrl(path: string, revision = 'main'): string {
    return `${this.endpoint}/${this.repo}/resolve/${revision}/${path}`;
  }

  /**
   * Holds back the first response from byte `least` or later to the end of its file. `held` resolves once it is requested;
   * `release` makes the client request it again.
   */
  holdEnd(least: number): { held: Promise<void>; release: () => void } {
    let waiting: ServerResponse | undefined;
    const held = new Promise<void>((resolve) => {
      this.behaviour.instead = ({ from, to, size, response }) => {
        if (waiting || from < least || to < size) return false;
        waiting = response;
        resolve();
        return true;
      };
    });
    return { held, release: () => void waiting?.writeHead(503, { 'Retry-After': '0' }).end() };
  }

  /** Resets the counts and the behaviour. */
  forget(): void {
    this.behaviour = {};
    this.requests.length = 0;
    this.count = 0;
    for (const [path, bytes] of Object.entries(this.files)) this.sent.set(path, new Uint8Array(bytes.length));
  }

  /** Bytes of `path` sent more than once. */
  sentTwice(path: string): number {
    return this.sent.get(path)?.filter((times) => times > 1).length ?? 0;
  }

  sentBytes(path: string): number {
    return this.sent.get(path)?.reduce((sum, times) => sum + times, 0) ?? 0;
  }

  async close(): Promise<void> {
    await Promise.all([this.hub, this.cdn].map(closeServer));
  }

  private answerHub(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? '', this.endpoint);
    if (allow(request, response, 'Range, Authorization')) return;
    this.note('hub', request);
    const { token } = this.behaviour;
    if (token !== undefined && request.headers.authorization !== `Bearer ${token}`) {
      response.writeHead(this.behaviour.refusal ?? 401).end('Access to this repository is restricted.');
      return;
    }
    const [, other = ''] = /^\/api\/models\/([^/]+\/[^/]+)\/revision\/main$/.exec(url.pathname) ?? [];
    if (this.listed.has(other)) {
      const told = this.listed.get(other);
      response
        .writeHead(200, { 'Content-Type': 'application/json' })
        .end(typeof told === 'string' ? told : JSON.stringify(told));
      return;
    }
    const api = `/api/models/${this.repo}/revision/`;
    if (url.pathname.startsWith(api)) {
      const revision = decodeURIComponent(url.pathname.slice(api.length));
      if (revision === 'nowhere') response.writeHead(404).end();
      else response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(this.listing(revision)));
      return;
    }
    const [, path] = new RegExp(`^/${this.repo}/resolve/[^/]+/(.+)$`).exec(decodeURI(url.pathname)) ?? [];
    if (path === undefined || !(path in this.files)) response.writeHead(404).end();
    else response.writeHead(302, { Location: `${originOf(this.cdn)}/${encodeURI(path)}` }).end();
  }

  private listing(revision: string): object {
    const siblings = Object.entries(this.files).map(([rfilename, bytes]) => {
      const isText = rfilename.endsWith('.json');
      return {
        rfilename,
        size: bytes.length,
        blobId: createHash('sha1').update(bytes).digest('hex'),
        ...(!isText && { lfs: { sha256: sha256Of(bytes), size: bytes.length, pointerSize: 134 } }),
      };
    });
    return {
      id: this.repo,
      sha: `${revision}-commit`,
      createdAt: '2024-11-02T10:20:30.000Z',
      cardData: { license: 'apache-2.0' },
      siblings,
    };
  }

  private answerCdn(request: IncomingMessage, response: ServerResponse): void {
    if (allow(request, response, 'Range')) return;
    this.note('cdn', request);
    const path = decodeURI(request.url ?? '').slice(1);
    const bytes = this.files[path];
    if (!bytes) return void response.writeHead(404).end();
    const { ranges = true, length = true, headers, instead, tampered, cutAt } = this.behaviour;
    const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? [];
    const isPart = ranges && first !== undefined;
    const from = isPart ? Number(first) : 0;
    const to = isPart && last ? Number(last) + 1 : bytes.length;
    const asked: Asked = { path, from, to, size: bytes.length, count: ++this.count, response };
    const own = headers?.(asked) ?? { ETag: `"${sha256Of(bytes).slice(0, 32)}"` };
    for (const [name, value] of Object.entries(own)) response.setHeader(name, value);
    if (instead?.(asked)) return;
    const cut = cutAt?.(asked);
    const end = cut !== undefined && cut > from && cut < to ? cut : to;
    response.writeHead(isPart ? 206 : 200, {
      ...(length && { 'Content-Length': to - from }),
      ...(isPart && { 'Content-Range': `bytes ${from}-${to - 1}/${bytes.length}` }),
    });
    const part = bytes.slice(from, end);
    // Requests for a file's description do not count as downloads.
    const sent = this.sent.get(path);
    if (sent && request.headers.range !== 'bytes=0-1') for (let i = from; i < end; i++) sent[i]!++;
    response.write(tampered?.(part, asked) ?? part, () => {
      if (end < to) setTimeout(() => response.destroy(), 5);
      else response.end();
    });
  }

  private note(origin: 'hub' | 'cdn', { url = '', headers }: IncomingMessage): void {
    const { range, authorization } = headers;
    this.requests.push({
      origin,
      path: url,
      ...(range !== undefined && { range }),
      ...(authorization !== undefined && { authorization }),
    });
  }
}

/** CORS headers like the hub's. */
function allow(request: IncomingMessage, response: ServerResponse, headers: string): boolean {
  response.setHeader('Access-Control-Allow-Origin', '*');
  response.setHeader('Access-Control-Allow-Headers', headers);
  response.setHeader('Access-Control-Expose-Headers', 'Content-Range, ETag, X-Linked-ETag');
  if (request.method !== 'OPTIONS') return false;
  response.writeHead(204).end();
  return true;
}

async function listen(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<Server> {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}

const originOf = (server: Server): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
