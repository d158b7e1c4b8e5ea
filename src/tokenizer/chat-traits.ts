import type { TokenizerMetadata } from '../config/tokenizer-metadata.ts';
import { renderChat } from './chat-template.ts';
import type { Tokenizer } from './tokenizer.ts';

/**
 * Format of a model's tool calls. `hermes`: `<tool_call>{…}</tool_call>` (Hermes, Qwen); `llama`: the answer is
 * `{"name": …, "parameters": …}` (Llama 3.x); `mistral`: `[TOOL_CALLS][{…}]`; `lfm2`:
 * `<|tool_call_start|>[name(key="value")]<|tool_call_end|>` (LFM2, LFM2.5); `gemma4`:
 * `<|tool_call>call:name{key:<|"|>value<|"|>}<tool_call|>`.
 */
export type ToolFormat = 'hermes' | 'llama' | 'mistral' | 'lfm2' | 'gemma4';

/** Traits of a model's answers, derived from its chat template. */
export interface ChatTraits {
  /** Undefined if the template has no tools, or writes calls in another format. */
  toolFormat?: ToolFormat | undefined;
  /** The prompt ends inside `<think>`: the answer begins within the reasoning. */
  opensReasoning: boolean;
  /** The template reads an assistant's `tool_calls`. */
  showsCalls?: boolean;
  /** The template reads documents. */
  readsDocuments?: boolean;
  /** The template shows messages whose role is `document ID`. */
  showsDocuments?: boolean;
}

/** Control tokens that matter to readers of the answer. */
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

/** Derives the traits of a template. A template that cannot run has none; a chat reports its error. */
export function chatTraits(metadata: TokenizerMetadata): ChatTraits {
  const { chatTemplate = '' } = metadata;
  return {
    toolFormat: toolFormat(metadata),
    opensReasoning: opensReasoning(metadata),
    showsCalls: chatTemplate.includes('tool_calls'),
    readsDocuments: /\bdocuments\b/.test(chatTemplate),
    showsDocuments: showsDocuments(metadata),
  };
}

function toolFormat({ chatTemplate: template = '', tokens }: TokenizerMetadata): ToolFormat | undefined {
  if (!/\btools\b/.test(template)) return undefined;
  if (template.includes('<|tool_call>')) return 'gemma4';
  // Qwen3-Coder writes XML within the same tags; later Mistral models put arguments after a marker of their own.
  if (template.includes('<tool_call>')) return template.includes('<function=') ? undefined : 'hermes';
  if (template.includes('[TOOL_CALLS]')) return template.includes('[ARGS]') ? undefined : 'mistral';
  if (template.includes('List of tools: ') && tokens.includes('<|tool_call_start|>')) return 'lfm2';
  return /"parameters"\s*:/.test(template) ? 'llama' : undefined;
}

/** Whether a prompt ends inside `<think>`. */
export const endsInReasoning = (prompt: string): boolean => /<think>\s*$/.test(prompt);

function opensReasoning(metadata: TokenizerMetadata): boolean {
  try {
    return endsInReasoning(renderChat(metadata, [{ role: 'user', content: 'Hi' }]));
  } catch {
    return false;
  }
}

function showsDocuments(metadata: TokenizerMetadata): boolean {
  const text = 'A word.';
  try {
    return renderChat(metadata, [
      { role: 'document 1', content: text },
      { role: 'user', content: 'Hi' },
    ]).includes(text);
  } catch {
    return false;
  }
}

/** The tokenizer with text for the control tokens that mark calls and reasoning. */
export function withMarkers(tokenizer: Tokenizer, { tokens }: TokenizerMetadata): Tokenizer {
  const encoder = new TextEncoder();
  const shown = new Map<number, Uint8Array>();
  tokens.forEach((text, id) => {
    if (MARKERS.has(text) && tokenizer.isSpecial(id)) shown.set(id, encoder.encode(text));
  });
  if (shown.size === 0) return tokenizer;
  return { ...tokenizer, tokenBytes: (id) => shown.get(id) ?? tokenizer.tokenBytes(id) };
}
