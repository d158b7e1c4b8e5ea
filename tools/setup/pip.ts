import { spawnSync } from 'node:child_process';
import { ensureFolder } from './ensure-folder.ts';
import { installPackages } from './system.ts';

/** Runs pip by the first of its names on this system. */
export function pip(...args: string[]): void {
  const run = (command: string[], stdio: 'inherit' | 'ignore', ...rest: string[]): boolean => {
    const [program = '', ...first] = command;
    return spawnSync(program, [...first, ...rest], { stdio }).status === 0;
  };
  const names = [['python3', '-m', 'pip'], ['pip3'], ['pip']];
  const find = (): string[] | undefined => names.find((name) => run(name, 'ignore', '--version'));
  if (find() === undefined) installPackages(['python3-pip']);
  const command = find();
  if (command === undefined) throw new Error('pip is missing');
  if (!run(command, 'inherit', ...args)) throw new Error(`${command.join(' ')} ${args.join(' ')} failed`);
}

/** Installs wheels into their own folder if missing. */
export function installWheels(folder: string, ...wheels: string[]): void {
  ensureFolder(folder, (part) => {
    console.log(`installing ${wheels.join(' ')}`);
    pip('install', '--quiet', '--no-deps', '--only-binary', ':all:', '--target', part, ...wheels);
  });
}
