/**
 * Lists the files and functions that run between a request and its first token, as V8 counts them:
 *
 *     node --import tsx --import ./tools/wgsl-loader.mjs tools/first-token-path.ts MODEL.gguf [--list]
 *
 * The engine runs in this process, as in Node, so the page's side and the worker's side are both counted. A request of
 * another text runs first: what opens a model or compiles a kernel does not count.
 */
import { Session } from 'node:inspector/promises';
import { relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { createEngine } from '../src/node/index.ts';

const { positionals, values } = parseArgs({ allowPositionals: true, options: { list: { type: 'boolean' } } });
const [model] = positionals;
if (model === undefined) throw new Error('the path of a model is missing');

const engine = await createEngine({ model: pathToFileURL(model).href });
const ask = async (content: string, onFirst?: () => Promise<void>): Promise<void> => {
  const stream = await engine.chat.completions.create({
    messages: [{ role: 'user', content }],
    max_tokens: 4,
    stream: true,
  });
  for await (const { choices } of stream) {
    if (!choices[0]?.delta.content) continue;
    await onFirst?.();
    return;
  }
};

await ask('What is a fugue?');
const inspector = new Session();
inspector.connect();
await inspector.post('Profiler.enable');
await inspector.post('Profiler.startPreciseCoverage', { callCount: true, detailed: false });
await ask('Who wrote the Odyssey?', async () => {
  const { result } = await inspector.post('Profiler.takePreciseCoverage');
  const files = new Map<string, string[]>();
  for (const { url, functions } of result) {
    if (!url.startsWith('file:')) continue;
    const file = relative(process.cwd(), fileURLToPath(url.split('?')[0] as string));
    if (!/^(src|workers)\//.test(file)) continue;
    // Arrow functions without a name are steps of the function around them.
    const ran = functions.filter(
      ({ functionName, ranges }) => functionName !== '' && functionName !== '__name' && (ranges[0]?.count ?? 0) > 0,
    );
    if (ran.length > 0) files.set(file, [...new Set(ran.map(({ functionName }) => functionName))]);
  }
  const count = [...files.values()].reduce((sum, { length }) => sum + length, 0);
  if (values.list) for (const [file, names] of [...files].sort()) console.log(`${file}: ${names.join(', ')}`);
  console.log(`${files.size} files, ${count} functions`);
});
await engine.dispose();
process.exit(0);
