import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { installWheels } from '../../tools/setup/pip.ts';

/** granite-common and mellea's formatters, with what they import. */
const WHEELS = [
  ...['granite-common==0.4.1', 'mellea==0.8.0', 'nltk==3.10.4', 'regex==2026.11.19', 'pyyaml==6.0.3'],
  ...['click==8.5.1', 'joblib==1.6.0', 'tqdm==4.70.1', 'defusedxml==0.7.1'],
  ...['pydantic==2.14.4', 'pydantic-core==2.50.5', 'typing-extensions==4.16.0'],
  ...['annotated-types==0.8.0', 'typing-inspection==0.4.5'],
];
const FOLDER = join(import.meta.dirname, '../../.cache/functions/granite-common');

export interface ReferenceCase {
  yaml: string;
  request: { messages: { role: string; content: string }[]; extra_body?: { documents: object[] } };
  arguments?: Record<string, string>;
  /** The model's answer. */
  answer?: string;
  logprobs?: object[];
}

/** What the reference makes of a case: the request after rewriting, the result after transforming; or an error. */
export interface ReferenceResult {
  request?: {
    messages: { role: string; content: string }[];
    extra_body?: { documents?: object[]; structured_outputs?: { json: unknown } };
    [parameter: string]: unknown;
  };
  result?: unknown;
  error?: string;
  /** Whether granite-common and mellea agree. */
  both: boolean;
}

function run(cases: readonly object[]): unknown {
  installWheels(FOLDER, ...WHEELS);
  const script = join(import.meta.dirname, '../../tools/fixtures/granite_functions.py');
  const output = execFileSync('python3', ['-I', script, FOLDER], {
    ...{ input: JSON.stringify(cases), encoding: 'utf8', maxBuffer: 1 << 28 },
  });
  return JSON.parse(output);
}

export const referenceResults = (cases: readonly ReferenceCase[]): ReferenceResult[] => run(cases) as ReferenceResult[];

/** The sentences of each text, by NLTK's Punkt. */
export const referenceSentences = (texts: readonly string[]): string[][] =>
  (run(texts.map((text) => ({ text }))) as { sentences: string[] }[]).map(({ sentences }) => sentences);
