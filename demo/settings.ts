import { get, set } from 'idb-keyval';
import { byId } from './dom.ts';
import { DEFAULT_KV, type KvChoice, KvSettings } from './kv-settings.ts';

export interface Settings extends KvChoice {
  temperature: number;
  topP: number;
  maxTokens: number;
  systemPrompt: string;
  ranks: 'chunkwise' | 'uniform';
  adapterScale: number;
}

const KEY = 'chunkwise-demo-settings';
const ADAPTER_KEY = 'chunkwise-demo-adapter';
const DEFAULTS: Settings = {
  temperature: 0.2,
  topP: 0.9,
  maxTokens: 512,
  systemPrompt: '',
  ranks: 'chunkwise',
  adapterScale: 1,
  ...DEFAULT_KV,
};

/** The dialog of what the user may set, kept across visits where the browser keeps anything. */
export class SettingsDialog {
  private readonly dialog = byId('settings', HTMLDialogElement);
  private readonly temperature = byId('temperature', HTMLInputElement);
  private readonly topP = byId('top-p', HTMLInputElement);
  private readonly maxTokens = byId('max-tokens', HTMLInputElement);
  private readonly systemPrompt = byId('system-prompt', HTMLTextAreaElement);
  private readonly ranks = byId('ranks', HTMLSelectElement);
  private readonly adapterScale = byId('adapter-scale', HTMLInputElement);
  private readonly cache = new KvSettings();

  constructor() {
    this.show(DEFAULTS);
    byId('open-settings', HTMLButtonElement).addEventListener('click', () => this.dialog.showModal());
    this.dialog.addEventListener('input', () => {
      this.showValues();
      // A private window may have no storage; the settings then last as long as the page.
      void set(KEY, this.values).catch(() => undefined);
    });
    // A click on the backdrop is a click on the dialog itself, outside the form.
    this.dialog.addEventListener('click', ({ target }) => {
      if (target === this.dialog) this.dialog.close();
    });
  }

  async restore(): Promise<void> {
    const kept = await get<Partial<Settings>>(KEY).catch(() => undefined);
    this.show({ ...DEFAULTS, ...kept });
  }

  get values(): Settings {
    const maxTokens = this.maxTokens.valueAsNumber;
    return {
      temperature: this.temperature.valueAsNumber,
      topP: this.topP.valueAsNumber,
      maxTokens: this.maxTokens.validity.valid ? maxTokens : DEFAULTS.maxTokens,
      systemPrompt: this.systemPrompt.value,
      ranks: this.ranks.value === 'uniform' ? 'uniform' : 'chunkwise',
      adapterScale: this.adapterScale.valueAsNumber,
      ...this.cache.values,
    };
  }

  /** The adapter chosen last, which is not in this dialog. */
  async keptAdapter(): Promise<string> {
    return (await get<string>(ADAPTER_KEY).catch(() => undefined)) ?? '';
  }

  keepAdapter(name: string): void {
    void set(ADAPTER_KEY, name).catch(() => undefined);
  }

  private show({ temperature, topP, maxTokens, systemPrompt, ranks, adapterScale, ...cache }: Settings): void {
    this.temperature.valueAsNumber = temperature;
    this.topP.valueAsNumber = topP;
    this.maxTokens.valueAsNumber = maxTokens;
    this.systemPrompt.value = systemPrompt;
    this.ranks.value = ranks;
    this.adapterScale.valueAsNumber = adapterScale;
    this.cache.show(cache);
    this.showValues();
  }

  private showValues(): void {
    byId('temperature-value', HTMLOutputElement).value = this.temperature.valueAsNumber.toFixed(2);
    byId('top-p-value', HTMLOutputElement).value = this.topP.valueAsNumber.toFixed(2);
    byId('adapter-scale-value', HTMLOutputElement).value = this.adapterScale.valueAsNumber.toFixed(2);
    this.cache.showValues();
  }
}
