import type { BrowserContext } from 'playwright';

/** Records violations of the Content-Security-Policy and uncaught errors of the pages of `context`. */
export async function watchViolations(context: BrowserContext): Promise<string[]> {
  const found: string[] = [];
  await context.exposeBinding('noteViolation', (_source, violation: string) => void found.push(violation));
  await context.addInitScript(() => {
    const { noteViolation } = globalThis as unknown as { noteViolation: (violation: string) => void };
    document.addEventListener('securitypolicyviolation', ({ effectiveDirective, blockedURI, sample }) => {
      noteViolation(`${effectiveDirective}: ${blockedURI} ${sample}`);
    });
  });
  context.on('console', (message) => {
    if (/Content Security Policy|TrustedScript|TrustedHTML/i.test(message.text())) found.push(message.text());
  });
  context.on('weberror', (error) => void found.push(String(error.error())));
  return found;
}
