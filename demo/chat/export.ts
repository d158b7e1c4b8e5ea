import type { Conversation } from './conversations.ts';
import { download, fileName } from '../basics/download.ts';

/** Marker of the exported JSON. */
const FORMAT = { format: 'chunkwise-conversation', version: 1 };

export type ExportForm = 'json' | 'md';

/** Downloads a conversation as a file. */
export function downloadConversation(conversation: Conversation, form: ExportForm): void {
  const text = form === 'json' ? asJson(conversation) : asMarkdown(conversation);
  const type = form === 'json' ? 'application/json' : 'text/markdown';
  download(`${fileName(conversation.title) || 'conversation'}.${form}`, text, type);
}

function asJson({ title, changed, systemPrompt, exchanges }: Conversation): string {
  return `${JSON.stringify({ ...FORMAT, title, changed: new Date(changed).toISOString(), systemPrompt, exchanges }, null, 2)}\n`;
}

/** Prompts are quoted, because answers may have headings. */
function asMarkdown({ title, systemPrompt, exchanges }: Conversation): string {
  const quote = (text: string): string => text.replace(/^/gm, '> ');
  const system = systemPrompt === '' ? [] : ['System:', quote(systemPrompt)];
  return (
    [`# ${title}`, ...system, ...exchanges.flatMap(({ prompt, answer }) => [quote(prompt), answer])].join('\n\n') + '\n'
  );
}
