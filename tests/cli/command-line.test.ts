import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { COMMANDS } from '../../cli/commands.ts';
import { run } from '../../cli/run.ts';
import { FIXTURES } from '../support/models/encoder-folder.ts';

const PROSE = join(import.meta.dirname, '../support/prose.txt');

async function ran(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const written = { stdout: '', stderr: '' };
  const code = await run(args, {
    stdout: (text) => (written.stdout += text),
    stderr: (text) => (written.stderr += text),
  });
  return { code, ...written };
}

test.each([['--help'], ['-h'], ['help'], []])('%s lists the commands on stdout', async (...args) => {
  const { code, stdout, stderr } = await ran(...args);
  expect([code, stderr]).toEqual([0, '']);
  for (const [name, { usage, about }] of Object.entries(COMMANDS)) {
    expect(stdout).toContain(`${name} ${usage}`);
    expect(stdout).toContain(about);
  }
});

test.each(Object.keys(COMMANDS))('%s --help lists its flags on stdout, and runs nothing', async (name) => {
  const words = name.split(' ');
  const { code, stdout, stderr } = await ran(...words, '--help');
  expect([code, stderr]).toEqual([0, '']);
  expect(stdout).toContain(`chunkwise ${name}`);
  for (const [flag, { about }] of Object.entries(COMMANDS[name]!.flags)) {
    expect(stdout).toMatch(new RegExp(`--${flag}\\b`));
    expect(stdout).toContain(about);
  }
  expect(stdout).toContain('--json');
  expect(await ran('help', ...words)).toEqual({ code, stdout, stderr });
});

test('--version prints the version alone', async () => {
  const { version } = JSON.parse(readFileSync(join(import.meta.dirname, '../../package.json'), 'utf8')) as {
    version: string;
  };
  expect(await ran('--version')).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' });
  expect(JSON.parse((await ran('--version', '--json')).stdout)).toEqual({ version });
});

test('eval --help lists the evaluations', async () => {
  const { code, stdout } = await ran('eval', '--help');
  expect(code).toBe(0);
  expect(stdout).toContain('eval squad');
  expect(stdout).not.toContain('perplexity --model');
});

test.each<[string[], string, RegExp]>([
  [['taste'], 'command', /"taste" is not one of inspect, generate/],
  [['--model', 'x'], 'command', /"--model" is not one of/],
  [['eval', 'taste'], 'eval', /"taste" is not one of estimator, kv, retrieval, squad/],
  [['eval'], 'eval', /is not one of estimator/],
  [['toString'], 'command', /is not one of/],
  [['inspect'], 'PATH', /is required/],
  [['inspect', 'x', 'y'], 'PATH', /"y" follows/],
  [['inspect', 'x', '--depth', '3'], '--depth', /Unknown option/],
  [['plan', 'x'], 'arguments', /positional/],
  [['bench', 'decode', '-T', '0'], '--lengths', /at least 1, not "0"$/],
  [['bench', 'decode', '-T', '32,1.5'], '--lengths', /whole number, not "1.5"$/],
  [['bench', 'decode', '--steps', '1e400'], '--steps', /whole number/],
  [['bench', 'decode', '--steps', 'many'], '--steps', /must be a number of at least 1, not "many"$/],
  [['bench', 'decode', '-T', '60', '--steps', '32', '--context-length', '64'], '--lengths', /60 .* context of 64$/],
  [['bench', 'prefill', '-T', '32,128', '--context-length', '64'], '--lengths', /128 tokens exceed the context of 64$/],
  [['bench', 'attention', '-T', '128', '--context-length', '64'], '--lengths', /128 tokens exceed the context of 64$/],
  [['bench', 'decode', '-T', '0x'], '--lengths', /at least 1, not "0x"$/],
  [['bench', 'prefill', '--steps', '4'], '--steps', /^is only allowed with bench decode$/],
  [['bench', 'kernels', '--streams', '2'], '--streams', /^is only allowed with bench decode$/],
  [['perplexity', '--text', PROSE, '--context', '1.5'], '--context', /at least 2, not "1.5"$/],
  [['perplexity', '--text', PROSE, '--start', '-1'], '--start', /ambiguous/],
  [['perplexity', '--text', PROSE, '--start', '0.5'], '--start', /whole number, not "0.5"$/],
  [['perplexity', '--text', PROSE, '--max-tokens', '0'], '--max-tokens', /at least 1, not "0"$/],
  [['perplexity', '--text', PROSE, '--context-length', '64'], '--context-length', /Unknown option/],
  [['eval', 'estimator', '--text', PROSE], '--adapter', /^is required$/],
  [['eval', 'kv', '--text', PROSE, '--kv', 'q8', '--budget', '1'], '--budget', /^is only allowed with --kv policy$/],
  [['generate', '--prompt', 'a', '--kv-error-budget', '1'], '--kv-error-budget', /^is only allowed with --kv policy$/],
  [['generate', '--prompt', 'a', '--draft-model', 'x'], '--draft-model', /^is only allowed with --speculate$/],
  [['generate', '--prompt', 'a', '--top-p', '0'], '--top-p', /^must be above 0$/],
  [
    ['generate', '--model', 'x', '--prompt', 'a', '--json-schema', 'x', '--grammar', 'x'],
    '--grammar',
    /^cannot be combined with --json-schema$/,
  ],
  [['plan', '--json=1', '--text', 'x'], '--json', /does not take an argument/],
])('%j is refused by name, with code 2, in words and as JSON', async (args, field, reason) => {
  const { code, stdout, stderr } = await ran(...args);
  expect([code, stdout]).toEqual([2, '']);
  expect(stderr).toMatch(/^chunkwise: .* \[bad_request\]\n$/);
  const json = await ran(...args, '--json');
  expect([json.code, json.stderr]).toEqual([2, stderr]);
  expect(json.stdout.match(/\n/g)).toHaveLength(1);
  const { error } = JSON.parse(json.stdout) as { error: Record<string, string> };
  expect(error).toMatchObject({ code: 'bad_request', field, reason: expect.stringMatching(reason) as string });
  expect(error['message']).toBe(`${field}: ${error['reason']}`);
});

test('a file that is not there is code 1', async () => {
  const { code, stdout } = await ran('inspect', '/none.gguf', '--json');
  expect(code).toBe(1);
  expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'bad_file', file: '/none.gguf' } });
});

test.each(['bert', 'cross'])('inspect knows an encoder: %s', async (model) => {
  const { code, stdout } = await ran('inspect', join(FIXTURES, model), '--json');
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({
    format: 'safetensors',
    architecture: 'bert',
    supported: true,
    reason: null,
  });
});
