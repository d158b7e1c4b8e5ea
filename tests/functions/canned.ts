import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { ensureFolder } from '../../tools/setup/ensure-folder.ts';
import { pip } from '../../tools/setup/pip.ts';
import type { ReferenceCase } from './reference.ts';

/** The canned cases of granite-common's own tests, which its source distribution has. Its tests fetch io.yaml from the hub. */

const FOLDER = join(import.meta.dirname, '../../.cache/functions/granite-common-source');
const DATA = 'granite_common-0.4.1/tests/granite_common/intrinsics/rag/testdata';

type Request = ReferenceCase['request'] & Record<string, unknown>;

export interface CannedCase extends ReferenceCase {
  name: string;
  /** The request after rewriting. */
  rewritten: object;
  result?: unknown;
}

/** Each canned request, and the files of its input and of its arguments. */
const INPUTS: Record<string, [input: string, args?: string]> = {
  answer_relevance_classifier: ['answer_relevance_classifier'],
  answer_relevance_rewriter: ['answer_relevance_rewriter', 'answer_relevance_rewriter'],
  answerability_answerable: ['answerable'],
  answerability_extra_params: ['extra_params'],
  answerability_simple: ['simple'],
  answerability_unanswerable: ['unanswerable'],
  citations: ['citations'],
  context_relevance: ['context_relevance', 'context_relevance'],
  gpt_oss_answerability: ['answerable'],
  gpt_oss_citations: ['citations'],
  gpt_oss_hallucination_detection: ['hallucination_detection'],
  gpt_oss_query_rewrite: ['query_rewrite'],
  hallucination_detection: ['hallucination_detection'],
  instruction: ['instruction', 'instruction'],
  query_clarification: ['query_clarification'],
  query_rewrite: ['query_rewrite'],
  requirement_check: ['requirement_check', 'requirement_check'],
  uncertainty: ['uncertainty'],
};

const SPAN = 'begin: response_begin, end: response_end, text: response_text';
const TRUTHS = '{true: 1.0, false: 0.0}';
const nest = (name: string): string => `{type: nest, input_path: [], field_name: ${name}}`;

/** Transformations that make the canned results of the canned answers. */
const STEPS: Record<string, string[]> = {
  answer_relevance_classifier: [
    `{type: likelihood, input_path: [answer_relevance_judgment], categories_to_values: ${TRUTHS}}`,
    '{type: project, input_path: [], retained_fields: {answer_relevance_analysis: answer_relevance_analysis, answer_relevance_category: answer_relevance_category, answer_relevance_judgment: answer_relevance_likelihood}}',
  ],
  answerability: [
    '{type: likelihood, input_path: [], categories_to_values: {answerable: 1.0, unanswerable: 0.0}}',
    nest('answerability_likelihood'),
  ],
  citations: [
    '{type: explode, input_path: [], target_field: c}',
    '{type: drop_duplicates, input_path: [], target_fields: [r, c]}',
    `{type: decode_sentences, source: last_message, input_path: [~, r], output_names: {${SPAN}}}`,
    '{type: decode_sentences, source: documents, input_path: [~, c], output_names: {document_id: citation_doc_id, begin: citation_begin, end: citation_end, text: citation_text}}',
    '{type: project, input_path: [], retained_fields: [response_begin, response_end, response_text, citation_doc_id, citation_begin, citation_end, citation_text]}',
    '{type: merge_spans, input_path: [], group_fields: [response_begin, response_end, response_text, citation_doc_id], begin_field: citation_begin, end_field: citation_end, text_field: citation_text}',
  ],
  context_relevance: [
    '{type: likelihood, input_path: [context_relevance], categories_to_values: {relevant: 1.0, irrelevant: 0.0, "partially relevant": 0.5}}',
  ],
  hallucination_detection: [
    '{type: likelihood, input_path: [~, f], categories_to_values: {faithful: 1.0, partial: 0.5, unfaithful: 0.0}}',
    `{type: decode_sentences, source: last_message, input_path: [~, r], output_names: {${SPAN}}}`,
    '{type: project, input_path: [], retained_fields: {response_begin: response_begin, response_end: response_end, response_text: response_text, f: faithfulness_likelihood, e: explanation}}',
  ],
  requirement_check: [
    `{type: likelihood, input_path: [], categories_to_values: ${TRUTHS}}`,
    nest('requirement_likelihood'),
  ],
  uncertainty: [
    `{type: likelihood, input_path: [], categories_to_values: {${Array.from({ length: 10 }, (_, i) => `${i}: ${(0.05 + i / 10).toFixed(2)}`).join(', ')}}}`,
    nest('certainty'),
  ],
};

export function cannedCases(): CannedCase[] {
  ensureFolder(FOLDER, (part) => {
    mkdirSync(part, { recursive: true });
    pip('download', '--quiet', '--no-deps', '--no-binary', 'granite-common', '--dest', part, 'granite-common==0.4.1');
    execFileSync('tar', ['-xzf', join(part, 'granite_common-0.4.1.tar.gz'), '-C', part]);
  });
  const read = (path: string): unknown => JSON.parse(readFileSync(join(FOLDER, DATA, path), 'utf8'));
  const answers = readdirSync(join(FOLDER, DATA, 'test_canned_output/model_output'));
  return Object.entries(INPUTS).map(([name, [input, args]]): CannedCase => {
    const request = read(`input_json/${input}.json`) as Request;
    const given = (args === undefined ? {} : read(`input_args/${args}.json`)) as Record<string, string>;
    const rewritten = read(`test_canned_input/${name}.json`) as Request;
    const one = { name, request, arguments: given, rewritten, yaml: yamlOf(name, request, given, rewritten) };
    if (!answers.includes(`${name}.json`)) return one;
    const [model, result] = ['model_output', 'expected_result'].map(
      (folder) => (read(`test_canned_output/${folder}/${name}.json`) as Response).choices[0]!,
    ) as [Choice, Choice];
    const content = result.message.content;
    return {
      ...one,
      answer: model.message.content as string,
      ...(model.logprobs && { logprobs: model.logprobs.content }),
      result: typeof content === 'string' ? (JSON.parse(content) as unknown) : content,
    };
  });
}

interface Choice {
  message: { content: unknown };
  logprobs?: { content: object[] };
}

interface Response {
  choices: Choice[];
}

interface ExtraBody {
  documents?: { text: string }[];
  structured_outputs?: { json: unknown };
}

/** The function's file, as its canned request shows it. */
function yamlOf(name: string, request: Request, args: Record<string, string>, rewritten: Request): string {
  const { messages, extra_body: given, ...fields } = rewritten;
  const extra = (given ?? {}) as ExtraBody;
  const isMoved = request.extra_body?.documents !== undefined && extra.documents === undefined;
  const hasInstruction = messages.length > request.messages.length + Number(isMoved);
  const own = Object.entries(fields).filter(
    ([key, value]) => !/logprobs/.test(key) && (request as Record<string, unknown>)[key] !== value,
  );
  const kind = name.replace('gpt_oss_', '').replace(/^answerability_.*/, 'answerability');
  const tagIn = (text = ''): string | undefined => /<([a-z])0> /.exec(text)?.[1];
  const tags = {
    last_message: tagIn(messages.at(hasInstruction ? -2 : -1)?.content),
    documents: isMoved ? tagIn(messages[0]?.content) : tagIn(extra.documents?.[0]?.text),
  };
  let instruction = messages.at(-1)!.content.replaceAll(/[{}]/g, '$&$&');
  for (const [key, value] of Object.entries(args)) instruction = instruction.replaceAll(value, `{${key}}`);
  return [
    'model: ~',
    `response_format: ${JSON.stringify(JSON.stringify(extra.structured_outputs?.json))}`,
    `transformations: ${STEPS[kind] ? `[${STEPS[kind].join(', ')}]` : '~'}`,
    `instruction: ${hasInstruction ? JSON.stringify(instruction) : '~'}`,
    `parameters: ${JSON.stringify(Object.fromEntries(own))}`,
    `sentence_boundaries: ${tags.last_message ? JSON.stringify(tags) : '~'}`,
    `docs_as_message: ${!isMoved ? '~' : messages[0]?.content.startsWith('[{') ? 'json' : 'string'}`,
    `logprobs_workaround: ${name.startsWith('gpt_oss')}`,
  ].join('\n');
}
