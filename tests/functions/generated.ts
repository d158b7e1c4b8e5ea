import { Random } from '../support/random.ts';
import type { ReferenceCase } from './reference.ts';

/** Random functions, requests and answers, as granite-common reads them. */

const PIECES = [
  ...['Hello', 'world', 'e.g.', 'Dr.', 'J.', 'Smith', '3.', '3.5', '1,000.', 'U.S.A.', '...', '..', '. . .', '…'],
  ...['?', '!', '?!', '"', "'", ')', '(', ']', '“', '”', '»', '  ', '\n', '\n\n', '\t', '\u00a0', '\u001c', '\ufeff'],
  ...['--', '-', ',', ';', ':', 'a', 'b.', 'é.', 'É', '日本。', '語.', '😀', '😀.', '_.', '².', ' . ', '."', '.)'],
  ...["!'", '1.', '-5.', 'the', 'The', 'i.e.,', '*', '#', '`', '&', 'end.', 'Ok?', '٣.', '\r\n', '\u2028', 'x.y'],
];

const pick = <T>(from: readonly T[], random: Random): T => from[random.below(from.length)] as T;
const listOf = <T>(most: number, random: Random, make: (i: number) => T): T[] =>
  Array.from({ length: random.below(most + 1) }, (_, i) => make(i));

export function randomText(random: Random, most = 30): string {
  const gap = pick(['', ' ', ' '], random);
  return listOf(most, random, () => pick(PIECES, random)).join(gap);
}

/** Texts that a person would write; tags need at least one sentence. */
const text = (random: Random): string => `Word ${randomText(random, 12)}`;

const quoted = (value: string): string => JSON.stringify(value);

type Transformed = Pick<ReferenceCase, 'answer' | 'logprobs'> & { schema: string; steps: string[] };

/** A number of sentences that any conversation of `generateCase` has in each place. */
const SENTENCES = 2;

const SHAPES: ((random: Random, place: string) => Transformed)[] = [
  // A category, whose likelihood is nested.
  (random) => {
    const labels = pick(
      [
        ['answerable', 'unanswerable'],
        ['yes', 'no', 'yes, partly'],
        ['a', 'ab', 'abc'],
      ],
      random,
    );
    const answer = quoted(pick(labels, random));
    return {
      answer,
      logprobs: tokensOf(answer, labels, random),
      schema: `{"type": "string", "enum": ${JSON.stringify(labels)}}`,
      steps: [
        `type: likelihood\n    input_path: []\n    categories_to_values:\n${labels.map((label, i) => `      ${quoted(label)}: ${i / 2}`).join('\n')}`,
        ...(random.below(2) ? ['type: nest\n    input_path: []\n    field_name: likelihood'] : []),
      ],
    };
  },
  // A number or a truth.
  (random) => {
    const isNumber = random.below(2) === 0;
    const values = isNumber ? ['0', '1', '2', '9'] : ['true', 'false'];
    const answer = pick(values, random);
    return {
      answer: `${pick(['', ' '], random)}${answer}`,
      logprobs: [],
      schema: isNumber ? '{"type": "integer"}' : '{"type": "boolean"}',
      steps: [
        `type: likelihood\n    input_path: []\n    categories_to_values:\n${values.map((value, i) => `      ${value}: ${i / 4}`).join('\n')}`,
      ],
    };
  },
  // Records with sentence numbers, decoded, exploded, merged.
  (random, place) => {
    const rows = listOf(4, random, (r) => ({
      r: random.below(SENTENCES),
      c: listOf(3, random, () => random.below(SENTENCES)),
      k: pick(['x', 'y'], random),
      f: pick(['faithful', 'partial', 'unfaithful'], random),
      n: r,
    }));
    const answer = pick([JSON.stringify(rows), JSON.stringify(rows, null, 2)], random);
    const steps = [
      "type: explode\n    input_path: []\n    target_field: 'c'",
      `type: drop_duplicates\n    input_path: []\n    target_fields: [${pick(['r, c', 'c', 'k', 'n, k'], random)}]`,
      `type: decode_sentences\n    input_path: [~, 'c']\n    source: ${place}\n    output_names: {begin: from, end: to, text: words}`,
      `type: project\n    input_path: []\n    retained_fields: {k: kind, from: from, to: to, words: words${random.below(2) ? '' : ', gone: gone'}}`,
      `type: merge_spans\n    input_path: []\n    group_fields: [kind]\n    begin_field: from\n    end_field: to\n    text_field: words`,
    ];
    const count = 1 + random.below(steps.length);
    return { answer, schema: '{"type": "array"}', steps: steps.slice(0, count), logprobs: [] };
  },
  // Nested records, changed at many places.
  (random) => {
    const value = {
      title: text(random),
      list: listOf(3, random, () => ({ a: random.below(5), b: [random.below(3), 'z'], c: { d: text(random) } })),
    };
    const steps = [
      "type: nest\n    input_path: ['list', ~, 'b', ~]\n    field_name: deep",
      "type: project\n    input_path: ['list']\n    retained_fields: ['a', 'c']",
      "type: project\n    input_path: ['list', ~, 'c']\n    retained_fields: {d: e}",
      "type: nest\n    input_path: ['list', 0]\n    field_name: first",
      'type: nest\n    input_path: [~]\n    field_name: any',
    ];
    const chosen = steps.filter(() => random.below(2) === 0);
    return { answer: JSON.stringify(value), schema: '{"type": "object"}', steps: chosen, logprobs: [] };
  },
];

/** Tokens of an answer, cut anywhere, each with others that could stand there. */
function tokensOf(answer: string, others: readonly string[], random: Random): object[] {
  const tokens: object[] = [];
  for (let at = 0; at < answer.length;) {
    const length = at === 0 && random.below(4) > 0 ? 1 : 1 + random.below(6);
    const token = answer.slice(at, at + length);
    const top = listOf(5, random, () => ({
      token: random.below(4) === 0 ? token : pick(others, random).slice(0, 1 + random.below(6)),
      logprob: -random.next() * 8,
    }));
    tokens.push({ token, logprob: -random.next() * 3, top_logprobs: top });
    at += length;
  }
  return tokens;
}

/** A function, a request and an answer. */
export function generateCase(seed: number): ReferenceCase {
  const random = new Random(seed);
  const places = ['last_message', 'documents', 'all_but_last_message'];
  const place = pick(places, random);
  const { answer = '', logprobs = [], schema, steps } = pick(SHAPES, random)(random, place);
  const documentsAs = pick(
    ['~', '~', 'json', 'roles', ...(steps.some((step) => step.includes('decode')) ? [] : ['string'])],
    random,
  );
  const tagged = places.filter((one) => one === place || random.below(3) === 0);
  const hasArgument = random.below(2) === 0;
  const instruction = pick(
    [`Judge {{this}}: {last_message}${hasArgument ? ' by {rule}, {rule}' : ''}`, 'Do it.\n', ''],
    random,
  );
  const isAsked = instruction.includes('{rule}');
  const content = (): string => `One. Two. ${text(random)}`;
  const messages = [
    ...listOf(3, random, (i) => ({ role: i % 2 ? 'assistant' : 'user', content: content() })),
    { role: 'assistant', content: content() },
    { role: 'user', content: content() },
  ];
  const documents = Array.from({ length: 1 + random.below(3) }, (_, i) => ({
    text: content(),
    ...(random.below(3) > 0 && { doc_id: `${i}é` }),
    ...(random.below(3) === 0 && { title: 'T "q"' }),
  }));
  const yaml = [
    'model: ~',
    `response_format: |\n  ${schema}`,
    steps.length > 0 ? `transformations:\n${steps.map((step) => `  - ${step}`).join('\n')}` : 'transformations: ~',
    instruction ? `instruction: ${quoted(instruction)}` : 'instruction: ~',
    `parameters: ${pick(['~', '{temperature: 0.0, max_completion_tokens: 64}', '{seed: 5, extra_body: {top_k: 3}}'], random)}`,
    `sentence_boundaries: ${random.below(5) === 0 && !steps.some((step) => step.includes('decode')) ? '~' : `{${tagged.map((one) => `${one}: ${one[0]}`).join(', ')}}`}`,
    `docs_as_message: ${documentsAs}`,
  ].join('\n');
  return {
    yaml,
    request: { messages, extra_body: { documents } },
    ...(isAsked && { arguments: { rule: text(random) } }),
    answer,
    logprobs: logprobs.length > 0 ? logprobs : tokensOf(answer, ['1', '2', 'T', 'F', '0'], random),
  };
}
