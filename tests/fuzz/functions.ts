import { parseChatRequest } from '../../src/api/requests.ts';
import { ChunkwiseError } from '../../src/errors/chunkwise-error.ts';
import { readFunctionConfig } from '../../src/functions/function-config.ts';
import { argumentsOf } from '../../src/functions/instruction.ts';
import { pickFunctions } from '../../src/functions/library.ts';
import { rewrite } from '../../src/functions/rewrite.ts';
import { transform } from '../../src/functions/transform.ts';
import { parseDocumentList, parseMessages } from '../../src/api/chat/parse-chat.ts';
import { parseFunctionRequest } from '../../src/api/functions/functions.ts';
import { check, FILE_CODES, type FuzzCase, type FuzzKind } from './kind.ts';
import { mutateJson, mutateText, pick } from './mutate.ts';

/** A function's file with every field and every transformation. */
const DEFINITION = {
  name: 'spans',
  model: null,
  response_format: JSON.stringify({ type: 'array', items: { type: 'object' } }),
  transformations: [
    { type: 'likelihood', input_path: [null, 'f'], categories_to_values: { yes: 1, no: 0 } },
    { type: 'explode', input_path: [], target_field: 'c' },
    { type: 'drop_duplicates', input_path: [], target_fields: ['r', 'c'] },
    {
      ...{ type: 'decode_sentences', input_path: [null, 'r'], source: 'last_message' },
      output_names: { begin: 'from', end: 'to', text: 'words' },
    },
    {
      ...{ type: 'decode_sentences', input_path: [null, 'c'], source: ['documents', 'all_but_last_message'] },
      output_names: { document_id: 'document', message_index: 'message' },
    },
    {
      type: 'project',
      input_path: [],
      retained_fields: { words: 'words', from: 'from', to: 'to', document: 'document' },
    },
    {
      type: 'merge_spans',
      input_path: [],
      group_fields: ['document'],
      begin_field: 'from',
      end_field: 'to',
      text_field: 'words',
    },
    { type: 'nest', input_path: [], field_name: 'spans' },
  ],
  instruction: 'Which of {last_message} follow {rule}, {{so}}?',
  parameters: { temperature: 0, max_completion_tokens: 64, extra_body: { top_k: 3 } },
  sentence_boundaries: { last_message: 'r', documents: 'c', all_but_last_message: 'c' },
  docs_as_message: 'json',
  logprobs_workaround: false,
};
const REQUEST = {
  messages: [
    { role: 'user', content: 'Hello. Is it so?' },
    { role: 'assistant', content: 'It is. "Yes!" No.' },
  ],
  documents: [
    { text: 'One. Two.', doc_id: 'a' },
    { text: 'Three. (Four.) 5.', doc_id: 'b' },
  ],
  arguments: { rule: 'the first' },
};
const ANSWER = [
  { r: 0, c: [0, 2], f: 'yes' },
  { r: 1, c: [1], f: 'no' },
];
/** Pieces of YAML. */
const PIECES = [
  ...[
    '\n',
    ': ',
    '- ',
    '  ',
    '~',
    '&a ',
    '*a',
    '<<: *a',
    '!!binary ',
    '!!set ',
    '|',
    '>',
    '"',
    "'",
    '{',
    '}',
    '[',
    ']',
  ],
  ...['#', '%YAML 1.2', '---', '...', '? ', '0x10', '1:30', '2020-01-01', '.inf', '.nan', 'yes', '\t', '\0', '\ud800'],
];
const PATHS = ['a/granite-4.1-3b/lora/adapter_config.json', 'b/alora/granite-4.1-3b/adapter_config.json'];

/** Runs a function's steps without a model. */
function run(yaml: string, request: unknown, answer: string): void {
  const config = readFunctionConfig(yaml, 'io.yaml');
  const { schema, parameters, extraParameters } = config;
  const options = { messages: REQUEST.messages as never, ...parameters, ...extraParameters };
  asFile(() => parseChatRequest(options, { opensReasoning: false }));
  check(schema === undefined || JSON.stringify(schema).length > 0, 'a schema that is no JSON');
  const { messages, documents, args } = parseFunctionRequest(request, {
    messages: parseMessages,
    documents: parseDocumentList,
  });
  // A mutated instruction may ask for others.
  const needed =
    request === REQUEST ? Object.fromEntries(argumentsOf(config.instruction).map((name) => [name, 'x'])) : args;
  const asked = rewrite(config, messages, documents, needed);
  check(
    asked.messages.every(({ content }) => typeof content === 'string'),
    'a message without text',
  );
  const tokens = [...answer].map((token) => ({ token, logprob: -0.5, top_logprobs: [{ token: 'n', logprob: -1 }] }));
  const result = transform(config, { content: answer, tokens, sentencesOf: (places) => asked.sentencesOf(places) });
  check(JSON.stringify(JSON.parse(JSON.stringify(result))) === JSON.stringify(result), 'a result that is no JSON');
}

/** As the engine does: what a file's options break is the file's fault. */
function asFile(parse: () => unknown): void {
  try {
    parse();
  } catch (error) {
    if (!(error instanceof ChunkwiseError)) throw error;
    throw new ChunkwiseError('bad_file', { ...error.detail, file: 'io.yaml' });
  }
}

/** Files of functions, requests, answers and listings of libraries. */
export const functions: FuzzKind = {
  codes: [...FILE_CODES, 'bad_request'],
  async open() {
    const yaml = JSON.stringify(DEFINITION, null, 1); // JSON is YAML
    run(yaml, REQUEST, JSON.stringify(ANSWER));
    return (random): FuzzCase => {
      const kind = pick(['file', 'text', 'request', 'answer', 'library'], random);
      let [what, text] = ['', ''];
      let work = (): unknown => undefined;
      if (kind === 'file') {
        [what, text] = mutateJson(DEFINITION, random);
        work = () => run(text, REQUEST, JSON.stringify(ANSWER));
      } else if (kind === 'text') {
        [what, text] = mutateText(yaml, random, PIECES);
        work = () => run(text, REQUEST, JSON.stringify(ANSWER));
      } else if (kind === 'request') {
        [what, text] = mutateJson(REQUEST, random);
        work = () => run(yaml, JSON.parse(text), JSON.stringify(ANSWER));
      } else if (kind === 'answer') {
        [what, text] = mutateJson(ANSWER, random);
        work = () => run(yaml, REQUEST, text);
      } else {
        [what, text] = mutateText(PATHS.join('\n'), random, ['/', '..', '\n', 'lora', '\0']);
        const wish = { file: 'library', models: ['granite-4.1-3b-Q4_0.gguf'], base: undefined, functions: undefined };
        work = () => pickFunctions(text.split('\n'), wish);
      }
      return { what: `${kind}: ${what}`, bytes: text.length, run: () => void work() };
    };
  },
};
