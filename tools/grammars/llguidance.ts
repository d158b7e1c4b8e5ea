import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { installWheels } from '../setup/pip.ts';
import type { Vocabulary } from './vocabularies.ts';

const WHEEL = 'llguidance==1.9.1';
const WHEELS = join(import.meta.dirname, '../../.cache', WHEEL);

/** Results of llguidance along one list of tokens. */
export interface Followed {
  /** The reason why it refuses the grammar or stops on the way. */
  error: string | null;
  /** The answer may end after the last token. */
  ends: boolean;
  /** CPU ms. */
  compile_ms: number;
  mask_ms: number[];
  /** Masks before each token and after the last; they end at a refused token. */
  masks: Uint32Array[];
}

/** llguidance in a process of its own, for one vocabulary. */
export class Llguidance {
  readonly #child;
  readonly #folder: string;
  readonly #words: number;
  readonly #chunks: AsyncIterator<Buffer>;
  #held: Buffer = Buffer.alloc(0);

  constructor({ vocabSize, tokens, eosIds }: Vocabulary) {
    installWheels(WHEELS, WHEEL);
    this.#folder = mkdtempSync(join(tmpdir(), 'llguidance-'));
    this.#words = Math.ceil(vocabSize / 32);
    const path = join(this.#folder, 'vocabulary.json');
    const base64 = tokens.map((token) => Buffer.from(token).toString('base64'));
    writeFileSync(path, JSON.stringify({ tokens: base64, eos: eosIds }));
    const script = join(import.meta.dirname, 'llguidance_masks.py');
    this.#child = spawn('python3', [script, WHEELS, path], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#chunks = this.#child.stdout[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  }

  /** Follows each path, with a matcher of its own. `schema` is JSON text. */
  async follow(grammar: { schema: string } | { lark: string }, paths: readonly number[][]): Promise<Followed[]> {
    this.#child.stdin.write(`${JSON.stringify({ ...grammar, paths })}\n`);
    const followed: Followed[] = [];
    while (followed.length < paths.length) {
      const length = (await this.#read(4)).readUInt32LE();
      const header = JSON.parse((await this.#read(length)).toString()) as Omit<Followed, 'masks'> & { masks: number };
      const masks: Uint32Array[] = [];
      while (masks.length < header.masks) {
        const bytes = await this.#read(4 * this.#words);
        masks.push(new Uint32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length)));
      }
      followed.push({ ...header, masks });
    }
    return followed;
  }

  async close(): Promise<void> {
    this.#child.stdin.end();
    await once(this.#child, 'close');
    rmSync(this.#folder, { recursive: true });
  }

  async #read(count: number): Promise<Buffer> {
    const parts = [this.#held];
    for (let got = this.#held.length; got < count;) {
      const next = await this.#chunks.next();
      if (next.done === true) throw new Error('llguidance’s process has ended');
      parts.push(next.value);
      got += next.value.length;
    }
    const all = parts.length === 1 ? this.#held : Buffer.concat(parts);
    this.#held = all.subarray(count);
    return all.subarray(0, count);
  }
}
