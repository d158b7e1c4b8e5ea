import type { MetadataValue } from './gguf-writer.ts';

const NORMAL = 1;
const UNKNOWN = 2;
const CONTROL = 3;
const UNUSED = 5;
const BYTE = 6;

const CHATML =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}" +
  "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
const ZEPHYR =
  "{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] + eos_token + '\n' }}" +
  "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}";

interface Vocabulary {
  tokens: string[];
  types: number[];
}

/** The first tokens of the byte-level vocabulary. The first and the last of them end an answer. */
const SPECIALS = ['<|endoftext|>', '<|im_start|>', '<|im_end|>'];
export const SPECIAL_TOKENS = SPECIALS.length;

/** Byte-level BPE of three special tokens, the 256 bytes and a few merges; `size` pads it with unused tokens. */
export function byteLevelTokenizer(pre: 'smollm' | 'qwen2', size?: number): Record<string, MetadataValue> {
  const merges = ['Ġ t', 'h e', 'i n', 'Ġ a', 'e r', 'o n', 'r e', 'Ġt he', 'Ġ w', 'o r', 'l l', 'Ġ o', 'in g', 'Ġo f'];
  const words = [...byteAlphabet(), ...merges.map((merge) => merge.replace(' ', ''))];
  const vocabulary = {
    tokens: [...SPECIALS, ...words],
    types: [...SPECIALS.map(() => CONTROL), ...words.map(() => NORMAL)],
  };
  pad(vocabulary, size);
  return {
    'tokenizer.ggml.model': 'gpt2',
    'tokenizer.ggml.pre': pre,
    'tokenizer.ggml.tokens': vocabulary.tokens,
    'tokenizer.ggml.token_type': Int32Array.from(vocabulary.types),
    'tokenizer.ggml.merges': merges,
    'tokenizer.ggml.bos_token_id': 1,
    'tokenizer.ggml.eos_token_id': 2,
    'tokenizer.ggml.unknown_token_id': 0,
    'tokenizer.ggml.padding_token_id': 2,
    'tokenizer.ggml.add_bos_token': false,
    'tokenizer.ggml.add_space_prefix': false,
    'tokenizer.chat_template': CHATML,
  };
}

/** SentencePiece BPE with byte fallback: <unk>, <s>, </s>, 256 byte tokens, pieces scored in merge order. */
export function sentencePieceTokenizer(size?: number): Record<string, MetadataValue> {
  const merged = ['▁t', 'he', 'in', '▁a', 'er', 'on', 're', '▁the', '▁w', 'or', 'll', '▁o', 'ing', '▁of', '▁w', 'ed'];
  const pieces = [...new Set([...merged, ...'▁etaoinshrdlucmfwypvbgkjqxz.,!?ETAOINSHR0123456789é'])];
  const bytes = Array.from({ length: 256 }, (_, i) => `<0x${i.toString(16).toUpperCase().padStart(2, '0')}>`);
  const vocabulary = {
    tokens: ['<unk>', '<s>', '</s>', ...bytes, ...pieces],
    types: [UNKNOWN, CONTROL, CONTROL, ...bytes.map(() => BYTE), ...pieces.map(() => NORMAL)],
  };
  pad(vocabulary, size);
  const scores = vocabulary.tokens.map((_, id) => (id < 259 ? 0 : 258 - id));
  return {
    'tokenizer.ggml.model': 'llama',
    'tokenizer.ggml.pre': 'default',
    'tokenizer.ggml.tokens': vocabulary.tokens,
    'tokenizer.ggml.scores': Float32Array.from(scores),
    'tokenizer.ggml.token_type': Int32Array.from(vocabulary.types),
    'tokenizer.ggml.bos_token_id': 1,
    'tokenizer.ggml.eos_token_id': 2,
    'tokenizer.ggml.unknown_token_id': 0,
    'tokenizer.ggml.add_bos_token': true,
    'tokenizer.ggml.add_eos_token': false,
    'tokenizer.ggml.add_space_prefix': true,
    'tokenizer.chat_template': ZEPHYR,
  };
}

function pad({ tokens, types }: Vocabulary, size = tokens.length): void {
  for (let id = tokens.length; id < size; id++) {
    tokens.push(`[PAD${id}]`);
    types.push(UNUSED);
  }
}

/** GPT-2's printable stand-ins for the 256 bytes: those not printable themselves come from U+0100 upwards. */
function byteAlphabet(): string[] {
  const printable = (byte: number): boolean => (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(printable(byte) ? byte : next++));
}
