import { HERMES } from '../tool-templates.ts';
import { f32, writeGguf } from './gguf-writer.ts';
import { byteLevelTokenizer } from './tiny-tokenizer.ts';

const HIDDEN = 128;
const NORMAL = 1;
/** The end token of the tiny vocabulary. */
const END = 2;

/**
 * A Llama model with scripted answers: if its prompt ends with a character that is a key of `scripts`, it answers with that
 * text and ends. Attention and MLP are zero, each token has its own direction, and the output matrix maps it to its
 * successor. Each piece of a script is a separate token, which the tokenizer never produces.
 */
export function scriptedModel(scripts: Readonly<Record<string, readonly string[]>>, chatTemplate: string): Uint8Array {
  const base = byteLevelTokenizer('smollm');
  const tokens = [...(base['tokenizer.ggml.tokens'] as string[])];
  const types = [...(base['tokenizer.ggml.token_type'] as Int32Array)];
  const links: [from: number, to: number][] = [];
  for (const [key, pieces] of Object.entries(scripts)) {
    let from = tokens.indexOf(key === '\n' ? 'Ċ' : key);
    for (const piece of pieces) {
      links.push([from, tokens.length]);
      from = tokens.length;
      tokens.push(byteText(piece));
      types.push(NORMAL);
    }
    links.push([from, END]);
  }
  const matrix = (rows: number, columns: number): Float32Array => new Float32Array(rows * columns);
  const [embeddings, output] = [matrix(tokens.length, HIDDEN), matrix(tokens.length, HIDDEN)];
  links.forEach(([from, to], i) => {
    embeddings[from * HIDDEN + i + 1] = 1;
    output[to * HIDDEN + i + 1] = 10;
  });
  // Any other end of a prompt gets an empty answer.
  for (let id = 0; id < tokens.length; id++) if (!links.some(([from]) => from === id)) embeddings[id * HIDDEN] = 1;
  output[END * HIDDEN] = 10;
  const tensor = (name: string, shape: number[], values: Float32Array) => ({
    ...{ name, shape, type: 'F32' as const },
    bytes: new Uint8Array(values.buffer),
  });
  const zero = (name: string, rows: number, columns: number) => tensor(name, [rows, columns], matrix(rows, columns));
  const ones = (name: string) => tensor(name, [HIDDEN], new Float32Array(HIDDEN).fill(1));
  return writeGguf({
    metadata: {
      'general.architecture': 'llama',
      'general.name': 'scripted',
      'general.file_type': 0,
      'general.quantization_version': 2,
      'llama.vocab_size': tokens.length,
      'llama.block_count': 1,
      'llama.context_length': 4096,
      'llama.embedding_length': HIDDEN,
      'llama.feed_forward_length': HIDDEN,
      'llama.attention.head_count': 2,
      'llama.attention.head_count_kv': 2,
      'llama.attention.layer_norm_rms_epsilon': f32(1e-5),
      'llama.rope.freq_base': f32(10_000),
      'llama.rope.dimension_count': HIDDEN / 2,
      ...base,
      'tokenizer.ggml.tokens': tokens,
      'tokenizer.ggml.token_type': Int32Array.from(types),
      'tokenizer.chat_template': chatTemplate,
    },
    tensors: [
      tensor('token_embd.weight', [tokens.length, HIDDEN], embeddings),
      ones('output_norm.weight'),
      tensor('output.weight', [tokens.length, HIDDEN], output),
      ones('blk.0.attn_norm.weight'),
      ones('blk.0.ffn_norm.weight'),
      ...['attn_q', 'attn_k', 'attn_v', 'attn_output', 'ffn_gate', 'ffn_up', 'ffn_down'].map((name) =>
        zero(`blk.0.${name}.weight`, HIDDEN, HIDDEN),
      ),
    ],
  });
}

/** ASCII in the alphabet of byte-level tokens. */
const byteText = (text: string): string => text.replaceAll(' ', 'Ġ').replaceAll('\n', 'Ċ');

/** Answers of the tool chat, by the end of its prompt. */
const SCRIPTS = {
  // Prompt with tools.
  '?': [
    '<think>\nWhich ci',
    'ty?\n</thi',
    'nk>\n\nLet me look.\n<tool',
    '_call>\n{"name": "get_weather", "arguments": ',
    '{"city": "Paris"}}\n</tool_call>',
  ],
  // Prompt with a tool's result.
  ':': ['It is 21 degrees', ' in Paris.'],
  // Prompt without tools.
  '!': ['<think>Polite.</think>', 'Good day.'],
};

const TEMPLATE = HERMES.replace(
  "{{- '<|im_start|>assistant\\n' }}",
  "{{- '<|im_start|>assistant' }}{{- ':' if messages[-1].role == 'tool' else ('?' if tools else '!') }}",
);

/** A scripted model that thinks and calls a tool, then answers with the tool's result; without tools it greets. */
export const scriptedToolChat = (): Uint8Array => scriptedModel(SCRIPTS, TEMPLATE);
