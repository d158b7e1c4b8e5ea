import type { TokenizerMetadata } from '../config/tokenizer-metadata.ts';
import { renderChat } from './chat-template.ts';
import type { Tokenizer } from './tokenizer.ts';

/**
 * How a model writes its calls. `hermes`: `<tool_call>{…}</tool_call>` (Hermes, Qwen); `llama`: the answer is
 * `{"name": …, "parameters": …}` (Llama 3.x); `mistral`: `[TOOL_CALLS][{…}]`; `lfm2`:
 * `<|tool_call_start|>[name(key="value")]<|tool_call_end|>` (LFM2, LFM2.5); `gemma4`:
 * `<|tool_call>call:name{key:<|"|>value<|"|>}<tool_call|>`.
 */
export type ToolFormat = 'hermes' | 'llama' | 'mistral' | 'lfm2' | 'gemma4';

/** What a model's chat template says of its answers. */
export interface ChatTraits {
  /** Undefined where the template knows no tools, or writes calls in another form. */
  toolFormat?: ToolFormat | undefined;
  /** The prompt ends within `<think>`: the answer begins in the middle of the reasoning. */
  opensReasoning: boolean;
  /** The template looks at an assistant's `tool_calls`. */
  showsCalls?: boolean;
}

/** Of control tokens, those that have a meaning to who reads the answer. */
const MARKERS: ReadonlySet<string> = new Set([
  '<think>',
  '</think>',
  '<tool_call>',
  '</tool_call>',
  '[TOOL_CALLS]',
  '<|tool_call_start|>',
  '<|tool_call_end|>',
  '<|tool_call>',
  '<tool_call|>',
  '<|"|>',
  '<|python_tag|>',
]);

/** Reads a template's traits. A template that cannot be run has none: a chat will say what is wrong with it. */
export function chatTraits(metadata: TokenizerMetadata): ChatTraits {
  const showsCalls = metadata.chatTemplate?.includes('tool_calls') ?? false;
  return { toolFormat: toolFormat(metadata), opensReasoning: opensReasoning(metadata), showsCalls };
}

function toolFormat({ chatTemplate: template = '', tokens }: TokenizerMetadata): ToolFormat | undefined {
  if (!/\btools\b/.test(template)) return undefined;
  if (template.includes('<|tool_call>')) return 'gemma4';
  // Qwen3-Coder writes XML within the same tags; Mistral's later models put arguments behind a marker of their own.
  if (template.includes('<tool_call>')) return template.includes('<function=') ? undefined : 'hermes';
  if (template.includes('[TOOL_CALLS]')) return template.includes('[ARGS]') ? undefined : 'mistral';
  if (template.includes('List of tools: ') && tokens.includes('<|tool_call_start|>')) return 'lfm2';
  return /"parameters"\s*:/.test(template) ? 'llama' : undefined;
}

/** Whether a prompt ends within `<think>`. */
export const endsInReasoning = (prompt: string): boolean => /<think>\s*$/.test(prompt);

function opensReasoning(metadata: TokenizerMetadata): boolean {
  try {
    return endsInReasoning(renderChat(metadata, [{ role: 'user', content: 'Hi' }]));
  } catch {
    return false;
  }
}

/** The tokenizer, but its markers of calls and reasoning have text where they are control tokens. */
export function withMarkers(tokenizer: Tokenizer, { tokens }: TokenizerMetadata): Tokenizer {
  const encoder = new TextEncoder();
  const shown = new Map<number, Uint8Array>();
  tokens.forEach((text, id) => {
    if (MARKERS.has(text) && tokenizer.isSpecial(id)) shown.set(id, encoder.encode(text));
  });
  if (shown.size === 0) return tokenizer;
  return { ...tokenizer, tokenBytes: (id) => shown.get(id) ?? tokenizer.tokenBytes(id) };
}
