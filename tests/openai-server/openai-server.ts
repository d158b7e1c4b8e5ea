import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { installWheels } from '../../tools/setup/pip.ts';

const FOLDER = fileURLToPath(new URL('.', import.meta.url));
/** llama.cpp's server as a Python package: one wheel, built for x86-64 Linux among others. */
const WHEEL = 'xllamacpp==2026.10.11549';
const PACKAGES = `${FOLDER}.cache/packages`;

/** A server from outside this project. */
export interface OpenaiServer {
  /** URL up to `/v1`. */
  baseURL: string;
  close(): Promise<void>;
}

/** Starts llama.cpp's OpenAI-compatible server on loopback. The first call installs it (34 MB), outside the package. */
export async function startOpenaiServer(model: string, key: string): Promise<OpenaiServer> {
  installWheels(PACKAGES, WHEEL);
  const child = spawn('python3', [`${FOLDER}serve.py`, PACKAGES, model, key], { stdio: ['pipe', 'pipe', 'pipe'] });
  let said = '';
  child.stderr.on('data', (text: Buffer) => (said = (said + text.toString()).slice(-4000)));
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const address = await new Promise<string>((resolve, reject) => {
    createInterface(child.stdout).on('line', (line) => {
      const found = /^listening (\S+)$/.exec(line)?.[1];
      if (found !== undefined) resolve(found);
    });
    void ended.then(() => reject(new Error(`llama.cpp's server ended\n${said}`)));
  });
  return {
    baseURL: `${address}/v1`,
    close: async () => {
      child.kill();
      await ended;
    },
  };
}
