import type { IncomingMessage, ServerResponse } from 'node:http';
import { floatToBfloat16 } from '../../reference/half.ts';
import { modelFolder } from './safetensors-folder.ts';
import { Random } from '../random.ts';

const HIDDEN = 1024;
const INTERMEDIATE = 4096;
const KV = 512;
const HEADS = 16;
/** The weights repeat after this many bytes. */
const PATTERN_BYTES = 1 << 16;

/** A hub with one safetensors model of any size, whose bytes are generated on request. */
export class LargeModel {
  private constructor(
    private readonly texts: ReadonlyMap<string, Uint8Array>,
    private readonly header: Uint8Array,
    private readonly pattern: Uint8Array,
    /** Bytes of the weights file. */
    readonly size: number,
  ) {}

  /** Creates layers of 63 MB up to `bytes` in total. */
  static async create(bytes: number): Promise<LargeModel> {
    const perLayer = 4 * HIDDEN * (2 * HIDDEN + 2 * KV + 3 * INTERMEDIATE + 2);
    const numLayers = Math.max(1, Math.round(bytes / perLayer));
    const texts = new Map<string, Uint8Array>();
    let vocabSize = 0;
    for (const file of modelFolder('llama')) {
      if (!/^(config|tokenizer|tokenizer_config|generation_config)\.json$/.test(file.name)) continue;
      let content = await file.read(0, file.size);
      if (file.name === 'config.json') {
        const config = JSON.parse(new TextDecoder().decode(content)) as { vocab_size: number };
        vocabSize = config.vocab_size;
        const sizes = { hidden_size: HIDDEN, intermediate_size: INTERMEDIATE, num_hidden_layers: numLayers };
        const heads = {
          num_attention_heads: HEADS,
          num_key_value_heads: KV / (HIDDEN / HEADS),
          head_dim: HIDDEN / HEADS,
        };
        content = new TextEncoder().encode(JSON.stringify({ ...config, ...sizes, ...heads }));
      }
      texts.set(file.name, content);
    }
    const { header, dataBytes } = headerOf(vocabSize, numLayers);
    const random = new Random(3);
    const words = Uint32Array.from({ length: PATTERN_BYTES / 4 }, () => floatToBfloat16(0.02 * random.normal()) << 16);
    return new LargeModel(texts, header, new Uint8Array(words.buffer), header.length + dataBytes);
  }

  answer({ url = '', headers, method }: IncomingMessage, response: ServerResponse): void {
    response.setHeader('Access-Control-Allow-Origin', '*');
    response.setHeader('Access-Control-Allow-Headers', 'Range');
    response.setHeader('Access-Control-Expose-Headers', 'Content-Range, ETag');
    if (method === 'OPTIONS') return void response.writeHead(204).end();
    if (url.startsWith('/api/')) return void response.end(JSON.stringify({ sha: 'c0', siblings: this.siblings() }));
    const name = url.split('/').at(-1) ?? '';
    const text = this.texts.get(name);
    const size = text?.length ?? this.size;
    const [, first = '0', last = String(size - 1)] = /^bytes=(\d+)-(\d*)$/.exec(headers.range ?? '') ?? [];
    const end = Number(last) + 1;
    response.writeHead(206, {
      'Content-Range': `bytes ${first}-${last}/${size}`,
      'Content-Length': end - Number(first),
      ETag: '"1"',
    });
    if (text) response.end(text.subarray(Number(first), end));
    else this.send(response, Number(first), end);
  }

  private siblings(): object[] {
    const texts = [...this.texts].map(([rfilename, { length }]) => ({ rfilename, size: length, blobId: '1' }));
    return [...texts, { rfilename: 'model.safetensors', size: this.size, blobId: '1' }];
  }

  /** Sends no faster than the connection accepts. */
  private send(response: ServerResponse, from: number, end: number): void {
    let at = from;
    const more = (): void => {
      while (at < end && !response.destroyed) {
        const start = this.header.length;
        const part =
          at < start
            ? this.header.subarray(at, end)
            : this.pattern.subarray(
                (at - start) % PATTERN_BYTES,
                Math.min(PATTERN_BYTES, ((at - start) % PATTERN_BYTES) + end - at),
              );
        at += part.length;
        if (!response.write(part)) return void response.once('drain', more);
      }
      response.end();
    };
    more();
  }
}

function headerOf(vocabSize: number, numLayers: number): { header: Uint8Array; dataBytes: number } {
  const tensors: Record<string, object> = {};
  let at = 0;
  const add = (name: string, ...shape: number[]): void => {
    const bytes = shape.reduce((product, length) => product * length, 4);
    tensors[name] = { dtype: 'F32', shape, data_offsets: [at, at + bytes] };
    at += bytes;
  };
  add('model.embed_tokens.weight', vocabSize, HIDDEN);
  add('model.norm.weight', HIDDEN);
  for (let layer = 0; layer < numLayers; layer++) {
    const name = (part: string): string => `model.layers.${layer}.${part}.weight`;
    add(name('input_layernorm'), HIDDEN);
    add(name('self_attn.q_proj'), HIDDEN, HIDDEN);
    add(name('self_attn.k_proj'), KV, HIDDEN);
    add(name('self_attn.v_proj'), KV, HIDDEN);
    add(name('self_attn.o_proj'), HIDDEN, HIDDEN);
    add(name('post_attention_layernorm'), HIDDEN);
    add(name('mlp.gate_proj'), INTERMEDIATE, HIDDEN);
    add(name('mlp.up_proj'), INTERMEDIATE, HIDDEN);
    add(name('mlp.down_proj'), HIDDEN, INTERMEDIATE);
  }
  const json = new TextEncoder().encode(JSON.stringify(tensors));
  const header = new Uint8Array(8 + json.length);
  new DataView(header.buffer).setBigUint64(0, BigInt(json.length), true);
  header.set(json, 8);
  return { header, dataBytes: at };
}
