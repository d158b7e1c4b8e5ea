import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

/** A path for a GGUF file that llama.cpp reads; the file is deleted after the test. */
export function temporaryFile(): string {
  const folder = mkdtempSync(join(tmpdir(), 'chunkwise-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return join(folder, 'model.gguf');
}
