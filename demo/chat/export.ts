import type { Conversation } from './conversations.ts';
import { create } from '../basics/dom.ts';

/** Of the exported JSON. */
const FORMAT = { format: 'chunkwise-conversation', version: 1 };

export type ExportForm = 'json' | 'md';

/** Hands a conversation to the user as a file. */
export function downloadConversation(conversation: Conversation, form: ExportForm): void {
  const text = form === 'json' ? asJson(conversation) : asMarkdown(conversation);
  const type = form === 'json' ? 'application/json' : 'text/markdown';
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = create('a', '');
  link.href = url;
  link.download = `${fileName(conversation.title)}.${form}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url));
}

function asJson({ title, changed, systemPrompt, exchanges }: Conversation): string {
  return `${JSON.stringify({ ...FORMAT, title, changed: new Date(changed).toISOString(), systemPrompt, exchanges }, null, 2)}\n`;
}

/** Prompts are quoted: an answer may have headings of its own. */
function asMarkdown({ title, systemPrompt, exchanges }: Conversation): string {
  const quote = (text: string): string => text.replace(/^/gm, '> ');
  const system = systemPrompt === '' ? [] : ['System:', quote(systemPrompt)];
  return [`# ${title}`, ...system, ...exchanges.flatMap(({ prompt, answer }) => [quote(prompt), answer])].join('\n\n') + '\n';
}

/** Letters and digits of any language; what is left is safe in every file system. */
function fileName(title: string): string {
  return title.replace(/[^\p{L}\p{N}]+/gu, ' ').trim().slice(0, 50) || 'conversation';
}
