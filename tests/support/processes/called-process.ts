import { type ChildProcess, fork } from 'node:child_process';

interface Reply {
  id: number;
  result?: unknown;
  error?: string;
}

interface Beginning {
  /** Name of the process, for errors. */
  name: string;
  /** The module it runs, which calls `serveCalls`. */
  script: string;
  env: NodeJS.ProcessEnv;
  /** Node's arguments; default: none. */
  execArgv?: string[];
}

/** A child process that runs operations on request, so that its crash is an error here. It ends with this process. */
export class CalledProcess {
  /** Fulfilled when the process has ended. */
  readonly ended: Promise<void>;
  private readonly name: string;
  private readonly child: ChildProcess;
  private readonly pending = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  private readonly ready: Promise<void>;
  private nextId = 0;
  private stderr = '';

  constructor({ name, script, env, execArgv = [] }: Beginning) {
    this.name = name;
    this.child = fork(script, { env, execArgv, stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
    this.child.stderr?.on('data', (text: Buffer) => (this.stderr = (this.stderr + text.toString()).slice(-4000)));
    this.ended = new Promise((resolve) => this.child.once('exit', () => resolve()));
    this.ready = new Promise((resolve, reject) => {
      this.child.once('message', () => resolve());
      this.child.once('exit', (code, signal) => {
        const error = new Error(`${name}'s process ended (${signal ?? `code ${code}`})\n${this.stderr}`);
        reject(error);
        for (const { reject } of this.pending.values()) reject(error);
        this.pending.clear();
      });
    });
    this.ready.catch(() => undefined); // callers receive the error
    this.child.on('message', (message: Reply | 'ready') => {
      if (message === 'ready') return;
      const request = this.pending.get(message.id);
      this.pending.delete(message.id);
      if (this.pending.size === 0) this.keepAlive(false);
      if (message.error === undefined) request?.resolve(message.result);
      else request?.reject(new Error(`${name}: ${message.error}`));
    });
  }

  async call<T>(operation: string, request: object): Promise<T> {
    this.keepAlive(true);
    await this.ready;
    const id = this.nextId++;
    return new Promise<T>((resolve, reject) => {
      this.pending.set(id, { resolve: resolve as (value: unknown) => void, reject });
      this.child.send(
        { id, operation, request },
        (error) => error && reject(new Error(`${this.name}: ${error.message}`)),
      );
    });
  }

  get pid(): number {
    return this.child.pid ?? NaN;
  }

  /** Kills the process, whatever it is doing. */
  async end(): Promise<void> {
    this.keepAlive(true);
    this.child.kill('SIGKILL');
    await this.ended;
  }

  /** An idle child does not keep this process alive. */
  private keepAlive(on: boolean): void {
    const stderr = this.child.stderr as (NodeJS.ReadableStream & { ref?(): void; unref?(): void }) | null;
    for (const handle of [this.child, this.child.channel, stderr]) {
      if (on) handle?.ref?.();
      else handle?.unref?.();
    }
  }
}
