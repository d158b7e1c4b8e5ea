import type { FunctionConfig, SentencePlace } from './function-config.ts';
import { writeInstruction } from './instruction.ts';
import { splitSentences } from './sentences.ts';

/** A text that the model may answer from. */
export interface FunctionDocument {
  text: string;
  title?: string | undefined;
  doc_id?: string | undefined;
}

interface Message {
  role: string;
  content: string;
}

/** A sentence of the conversation or of a document. */
export interface Sentence {
  /** Place within its text without tags, in Unicode characters; with the space after it. */
  begin: number;
  end: number;
  text: string;
  /** Of a sentence of a document. */
  document_id: string | null;
  /** Of a sentence of an earlier message: the message's index. */
  message_index: number | null;
}

/** What the model is asked. */
export interface Rewritten<M extends Message> {
  messages: (M | Message)[];
  /** Undefined if they became messages, or none were given. */
  documents: FunctionDocument[] | undefined;
  /** The numbered sentences of some places, for the answer's references. */
  sentencesOf: (places: readonly SentencePlace[]) => Sentence[];
}

/**
 * Rewrites a request as io.yaml says: numbers sentences, moves documents into messages, adds the instruction. Returns what
 * granite-common's `IntrinsicsRewriter` returns (mellea's where they differ). Errors: `bad_request`, naming the argument.
 */
export function rewrite<M extends Message>(
  config: FunctionConfig,
  messages: readonly M[],
  documents: readonly FunctionDocument[] | undefined,
  args: Readonly<Record<string, string>>,
): Rewritten<M> {
  const { sentenceTags: tags, documentsAs, instruction } = config;
  const last = messages.length - 1;
  let next = 0;
  const tagged = (text: string, place: SentencePlace): string => {
    const numbered = splitSentences(text).map((sentence) => `${tag(tags[place] as string, next++)}${sentence}`);
    return numbered.join(' ');
  };
  const talk = messages.map((message, i) => {
    if (i < last || !tags.last_message) return message;
    const content = tagged(message.content, 'last_message');
    next = 0; // documents are numbered by themselves, and the messages before continue their numbers
    return { ...message, content };
  });
  const texts = tags.documents ? documents?.map((one) => ({ ...one, text: tagged(one.text, 'documents') })) : documents;
  if (tags.all_but_last_message) {
    for (const [i, message] of talk.slice(0, -1).entries())
      talk[i] = { ...message, content: tagged(message.content, 'all_but_last_message') };
  }
  const moved = texts && documentsAs ? documentMessages(texts, documentsAs) : [];
  const all: (M | Message)[] = [...moved, ...talk];
  const content = writeInstruction(instruction ?? [], args, all.at(-1)?.content);
  return {
    messages: instruction ? [...all, { role: 'user', content }] : all,
    documents: documentsAs ? undefined : texts && [...texts],
    sentencesOf: (places) =>
      places.reduce<Sentence[]>((found, place) => {
        const own = { talk, tag: tags[place] as string, documents: texts ?? [] };
        return [...found, ...sentencesIn(place, own, found.length, documentsAs === 'roles')];
      }, []),
  };
}

/** The tag before a sentence. */
const tag = (prefix: string, index: number): string => `<${prefix}${index}> `;

function documentMessages(documents: readonly FunctionDocument[], form: 'string' | 'json' | 'roles'): Message[] {
  if (form === 'roles')
    return documents.map((one) => ({ role: `document ${one.doc_id ?? 'None'}`, content: one.text }));
  const text =
    form === 'json'
      ? pythonJson(documents.map(({ text, title, doc_id }) => ({ text, title, doc_id })))
      : `You have access to the following documents:\n\n${documents
          .map((one) => `[Document ${one.doc_id ?? 'None'}]\n${one.text}`)
          .join('\n\n')}`;
  return [{ role: 'user', content: text }];
}

/** The sentences of a place, numbered from `first`. */
function sentencesIn(
  place: SentencePlace,
  { talk, tag: prefix, documents }: { talk: readonly Message[]; tag: string; documents: readonly FunctionDocument[] },
  first: number,
  asRoles: boolean,
): Sentence[] {
  let next = first;
  const read = (text: string, of: Pick<Sentence, 'document_id' | 'message_index'>): Sentence[] => {
    const own = taggedSentences(text, prefix, next).map((sentence) => ({ ...sentence, ...of }));
    next += own.length;
    return own;
  };
  if (place === 'documents')
    return documents.flatMap(({ text, doc_id }) =>
      read(text, { document_id: doc_id ?? (asRoles ? 'None' : null), message_index: null }),
    );
  if (place === 'last_message') return read(talk.at(-1)?.content ?? '', { document_id: null, message_index: null });
  return talk.slice(0, -1).flatMap(({ content }, i) => read(content, { document_id: null, message_index: i }));
}

/** The sentences of a tagged text, with their places in the text without tags. */
function taggedSentences(text: string, prefix: string, first: number): Pick<Sentence, 'begin' | 'end' | 'text'>[] {
  const sentences: Pick<Sentence, 'begin' | 'end' | 'text'>[] = [];
  let at = text.indexOf(tag(prefix, first)); // −1 in an empty text
  for (let begin = 0, index = first; at >= 0; index++) {
    const from = at + tag(prefix, index).length;
    at = text.indexOf(tag(prefix, index + 1), from);
    const sentence = text.slice(from, at < 0 ? undefined : at);
    const end = begin + charactersOf(sentence);
    sentences.push({ begin, end, text: sentence });
    begin = end;
  }
  return sentences;
}

/** Number of Unicode characters, as Python counts them. */
const charactersOf = (text: string): number => [...text].length;

/** JSON as Python's `json.dumps` writes it: with spaces after commas and colons, and ASCII only. */
export function pythonJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(pythonJson).join(', ')}]`;
  if (typeof value !== 'object' || value === null) {
    const text = JSON.stringify(value) ?? 'null';
    return text.replace(/[\x7f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
  }
  const fields = Object.entries(value).filter(([, inner]) => inner !== undefined);
  return `{${fields.map(([name, inner]) => `${pythonJson(name)}: ${pythonJson(inner)}`).join(', ')}}`;
}
