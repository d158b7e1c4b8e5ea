import { run } from './run.ts';

// What reads may end before all is written, as `head` does.
process.stdout.on('error', ({ code }: NodeJS.ErrnoException) => process.exit(code === 'EPIPE' ? 0 : 1));

const code = await run(process.argv.slice(2), {
  stdout: (text) => void process.stdout.write(text),
  stderr: (text) => void process.stderr.write(text),
});
// The GPU's own threads would keep the process alive; what is written to a pipe may still be on its way.
process.stdout.write('', () => process.exit(code));
