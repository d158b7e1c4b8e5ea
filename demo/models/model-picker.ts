import type { DeviceRoom, Fit } from './device-fit.ts';
import { deviceRoom, fitOf } from './device-fit.ts';
import { byId, create } from '../basics/dom.ts';
import { modelName } from '../basics/format.ts';
import { defaultModel, type ListedModel, MODELS } from './models.ts';
import type { PageStorage } from '../basics/storage.ts';

const OPENED_KEY = 'models';
const CHOSEN_KEY = 'model';
const FITS: Record<Fit, string> = {
  fits: 'Fits this device',
  memory: 'May be too large for this device',
  storage: 'More than the browser may keep',
  'no-gpu': 'Needs WebGPU',
};

/** Which model answers: the dialog, and the memory of which were opened here, and which of them the user chose. */
export class ModelPicker {
  private readonly dialog = byId('models', HTMLDialogElement);
  private readonly list = byId('model-list', HTMLUListElement);
  private readonly button = byId('open-models', HTMLButtonElement);
  /** Latest first. */
  private opened: string[] = [];
  private current = '';

  constructor(
    private readonly storage: PageStorage,
    private readonly onChoose: (model: string) => void,
  ) {
    this.button.addEventListener('click', () => void this.open());
    byId('model-url-form', HTMLFormElement).addEventListener('submit', (event) => {
      event.preventDefault();
      this.choose(byId('model-url', HTMLInputElement).value.trim());
    });
  }

  async restore(): Promise<void> {
    this.opened = (await this.storage.get<string[]>(OPENED_KEY)) ?? [];
  }

  /** What the page opens by itself: what the user chose last, or else its own. A link's model alone is not chosen. */
  async plain(): Promise<string> {
    return (await this.storage.get<string>(CHOSEN_KEY)) ?? this.default();
  }

  default(): Promise<string> {
    return defaultModel(this.opened);
  }

  /** `address`: undefined for a file from the disk, which cannot be opened again by itself. */
  async remember(name: string, address: string | undefined, isChosen: boolean): Promise<void> {
    byId('model', HTMLElement).textContent = modelName(name);
    this.button.title = name;
    this.current = address ?? '';
    if (address === undefined) return;
    this.opened = [address, ...this.opened.filter((each) => each !== address)];
    await this.storage.set(OPENED_KEY, this.opened);
    if (isChosen) await this.storage.set(CHOSEN_KEY, address);
  }

  close(): void {
    this.dialog.close();
  }

  private async open(): Promise<void> {
    const room = await deviceRoom();
    const listed = new Set(MODELS.map(({ id }) => fileOf(id)));
    const others = this.opened.filter((address) => !listed.has(fileOf(address)));
    this.list.replaceChildren(...others.map((address) => this.otherItem(address)), ...MODELS.map((model) => this.item(model, room)));
    this.dialog.showModal();
  }

  private item({ name, id, megabytes, about }: ListedModel, room: DeviceRoom): HTMLElement {
    const bytes = megabytes * 1e6;
    // Wherever it was had from.
    const here = this.opened.find((address) => fileOf(address) === fileOf(id));
    const fit = here === undefined ? fitOf(bytes, room) : 'fits';
    const size = megabytes < 1000 ? `${megabytes} MB` : `${(megabytes / 1000).toFixed(1)} GB`;
    const item = this.entry(name, about, size, here ?? id);
    item.dataset['fit'] = fit;
    const place = create('span', 'model-fit', here === undefined ? FITS[fit] : 'On this device');
    item.querySelector('.model-facts')?.append(place);
    return item;
  }

  private otherItem(address: string): HTMLElement {
    const item = this.entry(modelName(address), 'Opened here before', 'On this device', address);
    item.dataset['fit'] = 'fits';
    return item;
  }

  private entry(name: string, about: string, size: string, model: string): HTMLElement {
    const item = create('li', '');
    const button = create('button', 'model-choice');
    button.type = 'button';
    const facts = create('span', 'model-facts');
    facts.append(create('span', '', size));
    button.append(create('strong', '', name), facts, create('span', 'model-about', about));
    if (model === this.current) button.ariaCurrent = 'true';
    button.addEventListener('click', () => this.choose(model));
    item.append(button);
    return item;
  }

  private choose(model: string): void {
    this.close();
    this.onChoose(model);
  }
}

/** The file's name, in an address or behind a hub's id. */
const fileOf = (model: string): string => model.split(/[/:]/).at(-1) ?? '';
