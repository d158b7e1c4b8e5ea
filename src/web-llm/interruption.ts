/** Ends all running answers at once, as web-llm's `interruptGenerate` does. */
export class Interruption {
  private readonly running = new Set<AbortController>();

  begin(): { signal: AbortSignal; end: () => void } {
    const controller = new AbortController();
    this.running.add(controller);
    return { signal: controller.signal, end: () => void this.running.delete(controller) };
  }

  interrupt(): void {
    for (const controller of this.running) controller.abort();
  }
}
