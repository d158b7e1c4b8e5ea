import { readFileSync } from 'node:fs';
import { asPython, membersOf } from './python-json.ts';

/** A schema and values that are as it wants them, or are not. */
export interface JudgedSchema {
  name: string;
  schema: unknown;
  /** As the file has it: JSON.parse puts names that are numbers first. */
  schemaText: string;
  instances: { text: string; valid: boolean; description: string }[];
}

/**
 * Reads a file of JSON lines, `{ name, schema, tests: [{ description, valid, data }] }`, as MaskBench has its schemas. An
 * instance's text is what Python's json.dumps makes of it.
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
