import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { expect, test } from 'vitest';
import { run } from '../../cli/run.ts';
import { tinyFiles } from './tiny-files.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const MODEL = ['--model', join(ROOT, 'tests/fixtures/safetensors/llama')];

/** Runs a command in its own process with piped output. */
const piped = (...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> =>
  new Promise((resolve) => {
    const node = ['--import', 'tsx', '--import', './tools/wgsl-loader.mjs', 'cli/main.ts', ...args];
    execFile(process.execPath, node, { cwd: ROOT }, (error, stdout, stderr) =>
      resolve({ code: error ? Number(error.code) : 0, stdout, stderr }),
    );
  });

test('stdout has only the answer; the report and adapter warnings go to stderr', async () => {
  const { at, flags } = await tinyFiles({});
  const config = JSON.parse(readFileSync(at('adapter/adapter_config.json'), 'utf8')) as object;
  const other = { ...config, base_model_name_or_path: 'other-model' };
  writeFileSync(at('adapter/adapter_config.json'), JSON.stringify(other));
  const args = ['generate', ...flags.slice(0, 4), '--prompt', 'One two three', '--max-tokens', '6'];
  const [text, json] = [await piped(...args), await piped(...args, '--json')];
  const { text: answer } = JSON.parse(json.stdout) as { text: string };
  expect(answer).not.toBe('');
  expect([text.code, text.stdout]).toEqual([0, `${answer}\n`]);
  expect(text.stderr).toMatch(/other-model/);
  expect(text.stderr).toMatch(/\[6 tokens, first after \d+ ms, .* ms a token, .*\]\n$/);
  expect(json.stderr).not.toMatch(/ms a token/);
});

// There is no such GPU: a request for it first would end with no_webgpu, which only a separate process shows for sure.
test('lengths are checked against the model’s header before a GPU is requested', async () => {
  const args = ['bench', 'decode', '-T', '120', '--steps', '8', ...MODEL, '--gpu-adapter', 'none'];
  const { code, stdout, stderr } = await piped(...args);
  expect([code, stdout]).toEqual([2, '']);
  expect(stderr).toMatch(/^chunkwise: --lengths: 120 tokens, and 10 after them, exceed the context of 128 /);
});

test.each<[string[], RegExp]>([
  [['bench', 'attention', '-T', '256'], /--lengths: asks for a context of 256 tokens, .* trained for 128 /],
  [['logits', '--out', 'x', '--tokens', '5,99999'], /--tokens: 99999 is not in the vocabulary of \d+ /],
  [['logits', '--out', 'x', '--tokens', '5,'.repeat(128) + '5'], /--tokens: 129 tokens exceed the context of 128 /],
  [['generate', '--prompt', 'a', '--context-length', '500'], /--context-length: asks for .* 500 .* trained for 128 /],
  [['perplexity', '--text', 'README.md', '--context', '500'], /--context: asks for .* 500 .* trained for 128 /],
])('%j is more than the model has', async (args, refusal) => {
  let [stdout, stderr] = ['', ''];
  const streams = { stdout: (text: string) => (stdout += text), stderr: (text: string) => (stderr += text) };
  expect([await run([...args, ...MODEL, '--gpu-adapter', 'none'], streams), stdout]).toEqual([2, '']);
  expect(stderr).toMatch(refusal);
});
