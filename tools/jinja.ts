/**
 * Compares the output of chat templates here with that of Python's Jinja2.
 *
 *     python tools/fixtures/jinja_reference.py families FOLDER OUT.json
 *     node --import tsx tools/jinja.ts OUT.json [how many differences to show]
 */

import { readFileSync } from 'node:fs';
import { BoundedTemplate } from '../src/tokenizer/chat-template.ts';
import { LimitError, UnsupportedError } from '../src/tokenizer/jinja/errors.ts';

interface Case {
  family?: string;
  name?: string;
  template: string;
  variables: Record<string, unknown>;
  /** Null if Jinja2 refuses, false if it prints an address. */
  text: string | null | false;
}

type Verdict = 'equal' | 'refused by both' | 'refused by name' | 'different';

function judge({ template, variables, text }: Case): [Verdict, unknown] {
  let got: string;
  try {
    const refuse = (reason: string): never => {
      throw new Error(reason);
    };
    got = new BoundedTemplate(template).render(variables, JSON.stringify(variables).length, refuse);
  } catch (error) {
    if (text === null) return ['refused by both', error];
    return [error instanceof UnsupportedError || error instanceof LimitError ? 'refused by name' : 'different', error];
  }
  return [got === text ? 'equal' : 'different', got];
}

const [path = '', shown = '10'] = process.argv.slice(2);
const cases = JSON.parse(readFileSync(path, 'utf8')) as Case[];
const counts = new Map<string, number>();
const reasons = new Map<string, number>();
let left = Number(shown);
for (const one of cases) {
  const [verdict, got] = judge(one);
  counts.set(verdict, (counts.get(verdict) ?? 0) + 1);
  if (verdict === 'refused by name') reasons.set(String(got), (reasons.get(String(got)) ?? 0) + 1);
  if (verdict !== 'different' || left-- <= 0) continue;
  const shortened = (text: string): string => (text.length > 2000 ? `${text.slice(0, 2000)}…` : text);
  console.log(one.family === undefined ? one.template : `${one.family}: ${one.name ?? ''}`);
  console.log(`  Jinja2  ${shortened(JSON.stringify(one.text))}`);
  console.log(`  here    ${shortened(got instanceof Error ? String(got) : JSON.stringify(got))}`);
}
console.log(Object.fromEntries(counts), 'of', cases.length);
if (reasons.size > 0) console.log(Object.fromEntries([...reasons].sort(([, a], [, b]) => b - a)));
