import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { bareShader } from '../../tools/bare-shaders.ts';

const FOLDER = join(import.meta.dirname, '../../shaders');

test('a bare shader is its text, without comments, indents and spaces that part nothing', () => {
  const text =
    '// needs: x\n#for t in TOKENS\n  let a#t = b / c; // d\n  let f = a#t - d - -e\n    + 1;\n\n#end\n\tfn e() {\n  g();\n}\n';
  expect(bareShader(text)).toBe('#for t in TOKENS\nlet a#t=b/c;let f=a#t-d - -e\n+1;\n#end\nfn e(){g();}');
});

test('of every shader all else stays', () => {
  const files = readdirSync(FOLDER, { encoding: 'utf8', recursive: true }).filter((name) => name.endsWith('.wgsl'));
  expect(files.length).toBeGreaterThan(100);
  for (const file of files) {
    const text = readFileSync(join(FOLDER, file), 'utf8');
    expect(text, file).not.toMatch(/\/\*/); // comments of this kind would have to be known
    expect(bareShader(text), file).not.toMatch(/\/[*/]/); // nor may one come about
    expect(bareShader(text).match(/--+/g), file).toEqual(text.replaceAll(/\/\/.*/g, '').match(/--+/g)); // nor an operator
    const words = (code: string): string[] => code.match(/\w+|\S/g) ?? [];
    expect(words(bareShader(text)), file).toEqual(words(text.replaceAll(/\/\/.*/g, '')));
  }
});
