import type { MemoryReport } from '../../src/api/index.ts';
import { byId, create } from '../basics/dom.ts';
import { formatBytes } from '../basics/format.ts';

const CATEGORIES = [
  ['weights', 'Weights'],
  ['kv', 'KV cache'],
  ['activations', 'Activations'],
  ['staging', 'Staging'],
  ['adapters', 'Adapters'],
] as const;

/** GPU memory by category: a stacked bar and the numbers. */
export class MemoryView {
  private readonly total = byId('memory-total', HTMLElement);
  private readonly parts = CATEGORIES.map(([category, label]) => {
    const segment = create('span', `segment ${category}`);
    segment.hidden = true;
    const row = create('div', 'legend-row');
    row.hidden = category === 'adapters';
    const name = create('dt', category, label);
    const value = create('dd', '', '–');
    value.dataset['testid'] = `memory-${category}`;
    row.append(name, value);
    byId('memory-bar', HTMLElement).append(segment);
    byId('memory-legend', HTMLElement).append(row);
    return { category, segment, row, value };
  });

  show(report: MemoryReport): void {
    this.total.textContent = formatBytes(report.total);
    this.total.dataset['bytes'] = String(report.total);
    for (const { category, segment, row, value } of this.parts) {
      const bytes = report[category];
      segment.style.flexGrow = String(bytes);
      segment.hidden = bytes === 0;
      row.hidden = category === 'adapters' && bytes === 0;
      value.textContent = formatBytes(bytes);
      value.dataset['bytes'] = String(bytes);
    }
  }
}
