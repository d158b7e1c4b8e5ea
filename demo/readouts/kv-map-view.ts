import { type KvEvent, PAGE_FORMS } from '../../src/api/index.ts';
import { byId, create } from '../basics/dom.ts';
import { formatBytes, formatCount } from '../basics/format.ts';
import { oncePerFrame } from '../basics/frame.ts';
import { onSchemeChange } from '../basics/looks.ts';

/** Most CSS pixels of a page of a layer; many pages share the width. */
const MOST_WIDTH = 10;
const MOST_HEIGHT = 8;
const LEAST_HEIGHT = 2;
/** Total height of the rows in CSS pixels. */
const HEIGHT = 120;
/** Smaller cells have no gap, which would be as wide as they are. */
const LEAST_WITH_GAP = 4;

/** Map of the latest text's KV cache pages: a column per page, a row per layer, coloured by form. */
export class KvMapView {
  private readonly section = byId('kv-map', HTMLElement);
  private readonly canvas = byId('kv-map-canvas', HTMLCanvasElement);
  private readonly legend = byId('kv-map-legend', HTMLUListElement);
  private readonly size = byId('kv-map-size', HTMLElement);
  private readonly refused = byId('kv-map-refused', HTMLElement);
  private event: KvEvent | undefined;
  /** Content of the legend. */
  private said = '';

  constructor() {
    new ResizeObserver(() => this.draw()).observe(this.section);
    onSchemeChange(() => this.draw());
  }

  show(event: KvEvent): void {
    this.event = event;
    this.draw();
  }

  clear(): void {
    this.event = undefined;
    this.draw();
  }

  private readonly draw = oncePerFrame(() => {
    this.section.hidden = this.event === undefined;
    if (!this.event) return;
    this.say(this.event);
    this.paint(this.event);
  });

  private say({ forms, layers, pages, bytes, formsRefused }: KvEvent): void {
    this.refused.hidden = !formsRefused;
    this.size.textContent = `${formatCount(pages)} pages × ${layers} layers · ${formatBytes(bytes)}`;
    this.section.dataset['bytes'] = String(bytes);
    const counts = PAGE_FORMS.map((form, code) => ({
      form,
      count: forms.reduce((sum, each) => sum + Number(each === code), 0),
    }));
    const present = counts.filter(({ count }) => count > 0);
    const words = present
      .map(({ form, count }) =>
        form === 'sparse' ? `${formatCount(count)} sparse` : `${formatCount(count)} in ${form}`,
      )
      .join(', ');
    if (words === this.said) return;
    this.said = words;
    this.canvas.ariaLabel = `Pages of all layers by form: ${words}`;
    this.legend.replaceChildren(
      ...present.map(({ form, count }) => {
        const item = create('li', form, `${form} `);
        item.dataset['form'] = form;
        item.dataset['count'] = String(count);
        item.append(create('span', 'count', formatCount(count)));
        return item;
      }),
    );
  }

  private paint({ forms, layers, pages }: KvEvent): void {
    const width = this.section.clientWidth;
    if (width === 0) return; // hidden; it is drawn when its size changes
    const scale = devicePixelRatio;
    const cellWidth = Math.min(MOST_WIDTH, width / pages);
    const cellHeight = Math.max(LEAST_HEIGHT, Math.min(MOST_HEIGHT, Math.floor(HEIGHT / layers)));
    const { canvas } = this;
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(layers * cellHeight * scale);
    canvas.style.height = `${layers * cellHeight}px`;
    const context = canvas.getContext('2d');
    if (!context) return;
    const styles = getComputedStyle(this.section);
    const colors = PAGE_FORMS.map((form) => styles.getPropertyValue(`--${form}`));
    const [gapX, gapY] = [cellWidth, cellHeight].map((side) => (side < LEAST_WITH_GAP ? 0 : Math.round(scale))) as [
      number,
      number,
    ];
    // Aligned to device pixels, so that edges stay sharp.
    const edge = (cells: number, side: number): number => Math.round(cells * side * scale);
    forms.forEach((form, at) => {
      const [page, layer] = [at % pages, Math.floor(at / pages)];
      const [left, top] = [edge(page, cellWidth), edge(layer, cellHeight)];
      context.fillStyle = colors[form] ?? '';
      context.fillRect(left, top, edge(page + 1, cellWidth) - left - gapX, edge(layer + 1, cellHeight) - top - gapY);
    });
  }
}
