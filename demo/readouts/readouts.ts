import type { Engine, MemoryReport, TokenEvent } from '../../src/api/index.ts';
import { byId } from '../basics/dom.ts';
import { formatBytes, formatCount, formatMs, formatRank, formatRate, modelName } from '../basics/format.ts';
import { oncePerFrame } from '../basics/frame.ts';
import { KvMapView } from './kv-map-view.ts';
import { MemoryView } from './memory-view.ts';
import type { RankRecord } from './rank-record.ts';
import { ReadoutsToggle } from './readouts-toggle.ts';
import type { Sparkline } from './sparkline.ts';

/** The measurements beside the chat, of the current or last answer. */
export class Readouts {
  private readonly ttft = byId('ttft', HTMLElement);
  private readonly rate = byId('tokens-per-second', HTMLElement);
  private readonly figures = byId('figures', HTMLElement);
  private readonly meanRank = byId('mean-rank', HTMLElement);
  private readonly chunks = byId('chunk-count', HTMLElement);
  private readonly context = byId('context', HTMLElement);
  private readonly meter = byId('context-meter', HTMLElement);
  private readonly fill = byId('context-fill', HTMLElement);
  private readonly toggle = new ReadoutsToggle();
  private readonly memory = new MemoryView();
  private readonly kvMap = new KvMapView();
  /** Loaded with the first times, so that the page starts sooner. */
  private sparkline: Promise<Sparkline> | undefined;
  /** Milliseconds per token; the first entry is the time to the first token. */
  private times: number[] = [];
  /** Ranks of the answer, with an adapter. */
  private ranks: RankRecord | undefined;
  /** Id of the shown response: the first with events since `newAnswer`. Late events of earlier ones are ignored. */
  private id: string | undefined;
  private readonly earlier = new Set<string>();
  private contextUsed = 0;
  private contextLength = 0;
  private memoryBytes: number | undefined;

  /** Shows this engine's measurements from now on. */
  follow(engine: Engine, memory: MemoryReport): void {
    this.contextLength = engine.contextLength;
    byId('device', HTMLElement).textContent = `${modelName(engine.model)} on ${engine.device}`;
    engine.on('token', (event) => this.addToken(event));
    engine.on('kv', (event) => {
      if (this.isShown(event.id)) this.kvMap.show(event);
    });
    engine.on('memory', (report) => this.showMemory(report));
    this.showMemory(memory);
    this.newChat();
  }

  newChat(): void {
    this.contextUsed = 0;
    this.kvMap.clear();
    this.newAnswer();
  }

  newAnswer(ranks?: RankRecord): void {
    if (this.id !== undefined) this.earlier.add(this.id);
    this.id = undefined;
    this.times = [];
    this.ranks = ranks;
    this.draw();
  }

  /** Redraws after an answer's last rank event. */
  redraw(): void {
    this.draw();
  }

  private showMemory(report: MemoryReport): void {
    this.memory.show(report);
    this.memoryBytes = report.total;
    this.draw();
  }

  private isShown(id: string): boolean {
    if (!this.earlier.has(id)) this.id ??= id;
    return id === this.id;
  }

  private addToken({ id, ms, contextUsed }: TokenEvent): void {
    if (!this.isShown(id)) return;
    this.times.push(ms);
    this.contextUsed = contextUsed;
    this.draw();
  }

  private readonly draw = oncePerFrame(() => {
    const [first, ...rest] = this.times;
    void this.sampleTimes(rest).catch(() => undefined); // without the library there is no sparkline
    this.ttft.textContent = first === undefined ? '–' : formatMs(first);
    const sum = rest.reduce((total, ms) => total + ms, 0);
    const rate = rest.length === 0 ? undefined : formatRate((1000 * rest.length) / sum);
    this.rate.textContent = rate ?? '–';
    const memory = this.memoryBytes === undefined ? '' : formatBytes(this.memoryBytes);
    this.toggle.tell(rate === undefined ? memory && `${memory} of GPU memory` : `${rate} · ${memory}`);
    this.figures.classList.toggle('ranked', this.ranks !== undefined);
    const meanRank = this.ranks?.meanRank;
    this.meanRank.textContent = meanRank === undefined ? '–' : formatRank(meanRank);
    this.chunks.textContent = meanRank === undefined ? '–' : formatCount(this.ranks?.chunks ?? 0);
    this.meter.ariaValueMax = String(this.contextLength);
    this.meter.ariaValueNow = String(this.contextUsed);
    this.fill.style.width = `${(100 * this.contextUsed) / Math.max(this.contextLength, 1)}%`;
    this.context.textContent = `${formatCount(this.contextUsed)} of ${formatCount(this.contextLength)} tokens`;
  });

  private async sampleTimes(times: readonly number[]): Promise<void> {
    if (times.length > 0)
      this.sparkline ??= import('./sparkline.ts').then(
        (module) => new module.Sparkline(byId('sparkline', HTMLElement)),
      );
    (await this.sparkline)?.show(times);
  }
}
