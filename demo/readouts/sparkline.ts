import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { oncePerFrame } from '../basics/frame.ts';
import { onSchemeChange } from '../basics/looks.ts';

const HEIGHT = 72;
const SHOWN = 160;

/** Sparkline of the last tokens' times, from zero. */
export class Sparkline {
  private readonly plot: uPlot;
  private values: readonly number[] = [];
  private readonly draw = oncePerFrame(() => {
    const first = Math.max(0, this.values.length - SHOWN);
    const shown = this.values.slice(first);
    this.plot.setData([shown.map((_, i) => first + i), shown]);
  });

  constructor(container: HTMLElement) {
    const styles = getComputedStyle(document.documentElement);
    const color =
      (name: string): (() => string) =>
      () =>
        styles.getPropertyValue(name);
    this.plot = new uPlot(
      {
        width: Math.max(container.clientWidth, 1),
        height: HEIGHT,
        padding: [4, 0, 4, 0],
        cursor: { show: false },
        legend: { show: false },
        scales: {
          x: { time: false, range: (_plot, min) => [min ?? 0, (min ?? 0) + Math.max(this.shownLength - 1, 20)] },
          y: { range: (_plot, _min, max) => [0, Math.max(max ?? 0, 1) * 1.1] },
        },
        axes: [
          { show: false },
          {
            size: 44,
            stroke: color('--faint'),
            font: '11px system-ui',
            ticks: { show: false },
            grid: { stroke: color('--line'), width: 1 },
            splits: (plot) => (this.values.length === 0 ? [0] : [0, niceBelow(plot.scales['y']?.max ?? 1)]),
          },
        ],
        series: [{}, { stroke: color('--accent'), width: 1.5, points: { show: false } }],
      },
      [[], []],
      container,
    );
    new ResizeObserver(() => {
      if (container.clientWidth > 0) this.plot.setSize({ width: container.clientWidth, height: HEIGHT });
    }).observe(container);
    onSchemeChange(() => this.plot.redraw());
  }

  show(values: readonly number[]): void {
    this.values = values;
    this.draw();
  }

  private get shownLength(): number {
    return Math.min(this.values.length, SHOWN);
  }
}

/** Largest of 1, 2 and 5 times a power of ten up to `max`. */
function niceBelow(max: number): number {
  const power = 10 ** Math.floor(Math.log10(max));
  return ([5, 2].find((step) => step * power <= max) ?? 1) * power;
}
