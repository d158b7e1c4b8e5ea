import { byId } from '../basics/dom.ts';
import { chooseLook, chosenLook } from '../basics/looks.ts';
import { DEFAULT_KV, type KvChoice, KvSettings } from './kv-settings.ts';
import type { PageStorage } from '../basics/storage.ts';

export interface Settings extends KvChoice {
  temperature: number;
  topP: number;
  /** 0: all tokens. */
  topK: number;
  minP: number;
  /** 0: none. */
  presencePenalty: number;
  /** Undefined: a new one for each answer. */
  seed: number | undefined;
  maxTokens: number;
  /** Draft and verify tokens. */
  speculate: boolean;
  /** System prompt of new conversations: the last one entered. */
  systemPrompt: string;
  ranks: 'chunkwise' | 'uniform';
  adapterScale: number;
}

const KEY = 'settings';
const ADAPTER_KEY = 'adapter';
const DEFAULTS: Settings = {
  temperature: 0.2,
  topP: 0.9,
  topK: 0,
  minP: 0,
  presencePenalty: 1.5, // without it a quarter of the default model’s answers repeated endlessly
  seed: undefined,
  maxTokens: 512,
  speculate: true,
  systemPrompt: '',
  ranks: 'chunkwise',
  adapterScale: 1,
  ...DEFAULT_KV,
};
const SLIDERS = ['temperature', 'top-p', 'min-p', 'presence-penalty', 'adapter-scale'];

/** The settings dialog; settings persist if the browser stores anything. */
export class SettingsDialog {
  private readonly dialog = byId('settings', HTMLDialogElement);
  private readonly temperature = byId('temperature', HTMLInputElement);
  private readonly topP = byId('top-p', HTMLInputElement);
  private readonly topK = byId('top-k', HTMLInputElement);
  private readonly minP = byId('min-p', HTMLInputElement);
  private readonly presencePenalty = byId('presence-penalty', HTMLInputElement);
  private readonly seed = byId('seed', HTMLInputElement);
  private readonly maxTokens = byId('max-tokens', HTMLInputElement);
  private readonly speculation = byId('speculation', HTMLSelectElement);
  private readonly systemPrompt = byId('system-prompt', HTMLTextAreaElement);
  private readonly ranks = byId('ranks', HTMLSelectElement);
  private readonly adapterScale = byId('adapter-scale', HTMLInputElement);
  private readonly theme = byId('theme', HTMLSelectElement);
  private readonly cache = new KvSettings();
  /** The last chosen adapter, which this dialog does not show. */
  keptAdapter = '';

  /** `onSystemPrompt`: receives the prompt for the conversation on the page. */
  constructor(
    private readonly storage: PageStorage,
    onSystemPrompt: (systemPrompt: string) => void,
  ) {
    this.show(DEFAULTS);
    byId('open-settings', HTMLButtonElement).addEventListener('click', () => this.dialog.showModal());
    this.systemPrompt.addEventListener('input', () => onSystemPrompt(this.systemPrompt.value));
    this.dialog.addEventListener('input', () => this.keep());
    this.theme.value = chosenLook('theme');
    this.theme.addEventListener('change', () => chooseLook('theme', this.theme.value));
    byId('reset-settings', HTMLButtonElement).addEventListener('click', () => this.reset());
    // Open the advanced part if it contains an invalid field, which blocks closing.
    const advanced = byId('advanced-settings', HTMLDetailsElement);
    this.dialog.addEventListener('invalid', () => (advanced.open = true), { capture: true });
  }

  async restore(): Promise<void> {
    const [kept, adapter] = await Promise.all([
      this.storage.get<Partial<Settings>>(KEY),
      this.storage.get<string>(ADAPTER_KEY),
    ]);
    this.keptAdapter = adapter ?? '';
    this.show({ ...DEFAULTS, ...kept });
  }

  get values(): Settings {
    return {
      temperature: this.temperature.valueAsNumber,
      topP: this.topP.valueAsNumber,
      topK: valueOf(this.topK) ?? DEFAULTS.topK,
      minP: this.minP.valueAsNumber,
      presencePenalty: this.presencePenalty.valueAsNumber,
      seed: valueOf(this.seed),
      maxTokens: valueOf(this.maxTokens) ?? DEFAULTS.maxTokens,
      speculate: this.speculation.value === 'on',
      systemPrompt: this.systemPrompt.value,
      ranks: this.ranks.value === 'uniform' ? 'uniform' : 'chunkwise',
      adapterScale: this.adapterScale.valueAsNumber,
      ...this.cache.values,
    };
  }

  /** Shows another conversation's system prompt. */
  showSystemPrompt(systemPrompt: string): void {
    this.systemPrompt.value = systemPrompt;
  }

  keepAdapter(name: string): void {
    this.keptAdapter = name;
    void this.storage.set(ADAPTER_KEY, name);
  }

  private keep(): void {
    this.showValues();
    void this.storage.set(KEY, this.values);
  }

  /** Resets the settings except the system prompt. */
  private reset(): void {
    this.show({ ...DEFAULTS, systemPrompt: this.systemPrompt.value });
    this.theme.value = '';
    chooseLook('theme', '');
    this.keep();
  }

  private show({
    temperature,
    topP,
    topK,
    minP,
    presencePenalty,
    seed,
    maxTokens,
    speculate,
    systemPrompt,
    ranks,
    adapterScale,
    ...cache
  }: Settings): void {
    this.temperature.valueAsNumber = temperature;
    this.topP.valueAsNumber = topP;
    this.topK.valueAsNumber = topK;
    this.minP.valueAsNumber = minP;
    this.presencePenalty.valueAsNumber = presencePenalty;
    this.seed.value = seed === undefined ? '' : String(seed);
    this.maxTokens.valueAsNumber = maxTokens;
    this.speculation.value = speculate ? 'on' : 'off';
    this.systemPrompt.value = systemPrompt;
    this.ranks.value = ranks;
    this.adapterScale.valueAsNumber = adapterScale;
    this.cache.show(cache);
    this.showValues();
  }

  private showValues(): void {
    for (const id of SLIDERS) {
      byId(`${id}-value`, HTMLOutputElement).value = byId(id, HTMLInputElement).valueAsNumber.toFixed(2);
    }
    this.cache.showValues();
  }
}

/** Undefined for an empty or invalid field. */
function valueOf(field: HTMLInputElement): number | undefined {
  return field.validity.valid && field.value !== '' ? field.valueAsNumber : undefined;
}
