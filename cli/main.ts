import { run } from './run.ts';

// A reader such as `head` may close the pipe early.
process.stdout.on('error', ({ code }: NodeJS.ErrnoException) => process.exit(code === 'EPIPE' ? 0 : 1));

const code = await run(process.argv.slice(2), {
  stdout: (text) => void process.stdout.write(text),
  stderr: (text) => void process.stderr.write(text),
});
// The GPU's threads would keep the process alive; the callback waits for written output.
process.stdout.write('', () => process.exit(code));
