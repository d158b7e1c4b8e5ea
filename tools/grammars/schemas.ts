import { readFileSync } from 'node:fs';
import { asPython, membersOf } from './python-json.ts';

/** A schema with valid and invalid instances. */
export interface JudgedSchema {
  name: string;
  schema: unknown;
  /** The schema's text in the file: JSON.parse would put numeric names first. */
  schemaText: string;
  instances: { text: string; valid: boolean; description: string }[];
}

/**
 * Reads a file of JSON lines, `{ name, schema, tests: [{ description, valid, data }] }`, in the format of MaskBench. An
 * instance's text is the output of Python's json.dumps.
 */
export function readSchemas(path: string): JudgedSchema[] {
  const lines = readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line.trim() !== '');
  return lines.map((line) => {
    const members = membersOf(line);
    const tests = [...membersOf(members.get('tests') ?? '[]').values()].map(membersOf);
    return {
      name: JSON.parse(members.get('name') ?? '""') as string,
      schema: JSON.parse(members.get('schema') ?? 'true') as unknown,
      schemaText: members.get('schema') ?? 'true',
      instances: tests.map((test) => ({
        text: asPython(test.get('data') ?? 'null'),
        valid: test.get('valid') === 'true',
        description: JSON.parse(test.get('description') ?? '""') as string,
      })),
    };
  });
}
