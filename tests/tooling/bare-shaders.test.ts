import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { bareShader } from '../../tools/bare-shaders.ts';
import { shaderParts } from '../../src/gpu/kernel.ts';

const FOLDER = join(import.meta.dirname, '../../shaders');

test('a bare shader has no comments, indents and unneeded spaces', () => {
  const text =
    '// needs: x\n#for t in TOKENS\n  let a#t = b / c; // d\n  let f = a#t - d - -e\n    + 1;\n\n#end\n\tfn e() {\n  g();\n}\n';
  expect(bareShader(text)).toBe('#for t in TOKENS\nlet a#t=b/c;let f=a#t-d - -e\n+1;\n#end\nfn e(){g();}');
});

test('the rest of every shader is unchanged', () => {
  const files = readdirSync(FOLDER, { encoding: 'utf8', recursive: true }).filter((name) => name.endsWith('.wgsl'));
  expect(files.length).toBeGreaterThan(60);
  for (const file of files) {
    const text = readFileSync(join(FOLDER, file), 'utf8');
    expect(text, file).not.toMatch(/\/\*/); // `bareShader` does not handle block comments
    expect(bareShader(text), file).not.toMatch(/\/[*/]/); // and must not create a comment
    expect(bareShader(text).match(/--+/g), file).toEqual(text.replaceAll(/\/\/.*/g, '').match(/--+/g)); // or an operator
    const words = (code: string): string[] => code.match(/\w+|\S/g) ?? [];
    expect(words(bareShader(text)), file).toEqual(words(text.replaceAll(/\/\/.*/g, '')));
  }
});

test('a bare shader library has the bare text of each section', () => {
  const library = readFileSync(join(FOLDER, 'parts/linears.wgsl'), 'utf8');
  const names = Array.from(library.matchAll(/^#(?:part|variant) (.*)$/gm), ([, name]) => name!);
  expect(names).toContain('load-block/direct');
  for (const name of names) {
    expect(shaderParts(bareShader(library))(name), name).toBe(bareShader(shaderParts(library)(name)));
  }
});
