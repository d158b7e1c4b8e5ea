import { type AdapterInfo, type AdapterSource, ChunkwiseError, type Engine } from '../../src/api/index.ts';
import { adapterOfFiles, adapterOfUrl } from './adapter-files.ts';
import { ADAPTERS, adapterUrl } from './adapters.ts';
import type { Form } from './adapters.ts';
import { byId, create } from '../basics/dom.ts';
import { errorWords } from '../basics/error-words.ts';
import { formatBytes, formatCount } from '../basics/format.ts';

export interface ChosenAdapter {
  name: string;
  form: Form;
}

export interface AdapterPickerEvents {
  /** The choice or the loading state changed. */
  onChange: () => void;
  /** The user asked for an example prompt of the chosen adapter. */
  onExample: (prompt: string) => void;
}

const NONE = 'none';
const OWN = 'own';

/** Adapter choice. Each adapter is loaded when first chosen and stays until it is unloaded. */
export class AdapterPicker {
  private readonly select = byId('adapter-select', HTMLSelectElement);
  private readonly state = byId('adapter-state', HTMLElement);
  private readonly facts = byId('adapter-facts', HTMLElement);
  private readonly detailsButton = byId('adapter-details', HTMLButtonElement);
  private readonly warnings = byId('adapter-warnings', HTMLUListElement);
  private readonly unloadButton = byId('adapter-unload', HTMLButtonElement);
  private readonly exampleButton = byId('adapter-example', HTMLButtonElement);
  private readonly own = byId('own-adapter', HTMLFormElement);
  private readonly failure = byId('adapter-failure', HTMLElement);
  private readonly compare = byId('compare', HTMLInputElement);
  private engine: Engine | undefined;
  /** Loaded adapters by choice; the user's own adapters get a new name each time. */
  private readonly loaded = new Map<string, AdapterInfo>();
  private choice = NONE;
  private owns = 0;
  private areFactsShown = false;
  loading = false;

  constructor(private readonly events: AdapterPickerEvents) {
    for (const { name, title, does } of ADAPTERS) this.select.append(new Option(`${title}: ${does}`, name));
    this.select.append(new Option('Your own …', OWN));
    this.select.addEventListener('change', () => void this.choose(this.select.value));
    this.unloadButton.addEventListener('click', () => void this.unload());
    this.exampleButton.addEventListener('click', () => void this.example());
    this.detailsButton.addEventListener('click', () => {
      this.areFactsShown = !this.areFactsShown;
      this.show();
    });
    const files = byId('adapter-files', HTMLInputElement);
    files.addEventListener('change', () => {
      this.open([...(files.files ?? [])]);
      files.value = ''; // lets the user pick the same file again
    });
    this.own.addEventListener('submit', (event) => {
      event.preventDefault();
      void this.load(OWN, adapterOfUrl(byId('adapter-url', HTMLInputElement).value.trim()));
    });
    this.show();
  }

  /** Forgets adapters, which end with their engine. */
  leave(): void {
    this.engine = undefined;
    this.loaded.clear();
    this.choice = NONE;
    this.loading = false;
    this.failure.hidden = true;
    this.show();
  }

  async follow(engine: Engine, kept: string): Promise<void> {
    this.leave();
    this.engine = engine;
    this.show();
    if (ADAPTERS.some(({ name }) => name === kept)) await this.choose(kept);
  }

  /** Adapter name for requests; undefined without an adapter. */
  get chosen(): ChosenAdapter | undefined {
    const name = this.loaded.get(this.choice)?.name;
    return name === undefined ? undefined : { name, form: this.listed?.form ?? 'chat' };
  }

  /** The last choice could not be loaded. */
  get hasFailed(): boolean {
    return !this.failure.hidden;
  }

  /** Whether to answer each prompt also as ordinary LoRA. */
  get isComparing(): boolean {
    return this.compare.checked && !this.compare.disabled;
  }

  /** The choice to remember; the user's own files end with the page. */
  get kept(): string {
    return this.listed?.name ?? NONE;
  }

  async choose(choice: string): Promise<void> {
    this.failure.hidden = true;
    if (choice === NONE || choice === OWN || this.loaded.has(choice)) this.settle(choice);
    else await this.load(choice, adapterUrl(choice));
  }

  /** Fills the composer with the chosen adapter's example. */
  async example(): Promise<void> {
    try {
      const prompt = await this.listed?.example();
      if (prompt !== undefined) this.events.onExample(prompt);
    } catch (error) {
      this.fail(error);
    }
  }

  /** Opens the user's own adapter, picked or dropped. */
  open(files: readonly File[]): void {
    if (files.length === 0 || !this.engine) return;
    try {
      void this.load(OWN, adapterOfFiles(files));
    } catch (error) {
      this.settle(OWN);
      this.fail(error);
    }
  }

  private get listed() {
    return ADAPTERS.find(({ name }) => name === this.choice);
  }

  private async load(choice: string, source: AdapterSource): Promise<void> {
    const { engine } = this;
    if (!engine || this.loading) return this.show();
    const replaced = this.loaded.get(choice);
    this.loading = true;
    this.failure.hidden = true;
    if (choice === OWN) this.choice = OWN; // so that another file can be tried
    this.select.value = choice;
    this.show();
    try {
      const info = await engine.adapters.load(choice === OWN ? `own ${++this.owns}` : choice, source);
      if (engine !== this.engine) return;
      this.loaded.set(choice, info);
      this.choice = choice;
      if (replaced) await engine.adapters.unload(replaced.name);
    } catch (error) {
      const isDeclined = error instanceof ChunkwiseError && error.code === 'aborted';
      if (engine === this.engine && !isDeclined) this.fail(error);
    } finally {
      if (engine === this.engine) {
        this.loading = false;
        this.settle(this.choice);
      }
    }
  }

  private async unload(): Promise<void> {
    const { engine, choice } = this;
    const info = this.loaded.get(choice);
    if (!engine || !info) return;
    try {
      await engine.adapters.unload(info.name);
      this.loaded.delete(choice);
      this.settle(choice === OWN ? OWN : NONE);
    } catch (error) {
      this.fail(error);
    }
  }

  private settle(choice: string): void {
    this.choice = choice;
    this.show();
    this.events.onChange();
  }

  private fail(error: unknown): void {
    const { title, advice, detail } = errorWords(error, 'adapter');
    this.failure.replaceChildren(create('strong', '', `${title}.`), ` ${advice}`, create('p', 'card-detail', detail));
    this.failure.hidden = false;
  }

  private show(): void {
    const { choice, loading, loaded } = this;
    const info = loaded.get(choice);
    this.select.disabled = loading || !this.engine;
    if (!loading) this.select.value = choice;
    this.own.hidden = this.select.value !== OWN;
    this.state.textContent = loading ? `Loading ${titleOf(this.select.value)} …` : '';
    this.facts.textContent = info && !loading ? factsOf(info) : '';
    this.facts.hidden = !this.areFactsShown || this.facts.textContent === '';
    this.detailsButton.ariaExpanded = String(this.areFactsShown);
    this.detailsButton.hidden = this.unloadButton.hidden = loading || !info;
    this.exampleButton.hidden = loading || !info || !this.listed;
    this.compare.disabled = loading || !info;
    this.warnings.replaceChildren(...(loading ? [] : (info?.warnings ?? [])).map((text) => create('li', '', text)));
    this.select.setAttribute('aria-busy', String(loading));
  }
}

const titleOf = (choice: string): string => ADAPTERS.find(({ name }) => name === choice)?.title ?? 'it';

const factsOf = ({ rank, modules, bytes }: AdapterInfo): string =>
  `Rank ${rank} · ${formatCount(modules)} matrices · ${formatBytes(bytes)}`;
