import type { ChunkwiseError } from '../../src/api/index.ts';
import { byId } from '../basics/dom.ts';
import { formatBytes, formatRate, modelName } from '../basics/format.ts';
import type { PageStorage } from '../basics/storage.ts';
import { type Choice, closestTo, inOrder } from './choices.ts';
import { canRun, type DeviceRoom, deviceRoom, fitOf, fitWords } from './device-fit.ts';
import { HUB_HOST, HubListing } from './hub-listing.ts';
import { modelItem } from './model-item.ts';
import { defaultModel, fileOf, MODELS } from './models.ts';
import { Speeds } from './speeds.ts';

const OPENED_KEY = 'models';
const CHOSEN_KEY = 'model';
/** Models of which it is said why the hub told nothing. */
const MOST_NAMED = 3;
const day = new Intl.DateTimeFormat('en', { dateStyle: 'long' });

/** Which model answers: the dialog, and the memory of which were opened here, and which of them the user chose. */
export class ModelPicker {
  readonly listing: HubListing;
  readonly speeds: Speeds;
  private readonly dialog = byId('models', HTMLDialogElement);
  private readonly list = byId('model-list', HTMLUListElement);
  private readonly button = byId('open-models', HTMLButtonElement);
  private readonly ask = byId('hub-ask', HTMLButtonElement);
  private readonly said = byId('hub-said', HTMLElement);
  /** Latest first. */
  private opened: string[] = [];
  private current = '';
  private isAsking = false;

  constructor(
    private readonly storage: PageStorage,
    private readonly onChoose: (model: string) => void,
  ) {
    this.listing = new HubListing(storage);
    this.speeds = new Speeds(storage);
    this.button.addEventListener('click', () => void this.open());
    this.ask.addEventListener('click', () => void this.askHub());
    byId('model-url-form', HTMLFormElement).addEventListener('submit', (event) => {
      event.preventDefault();
      this.choose(byId('model-url', HTMLInputElement).value.trim());
    });
  }

  async restore(): Promise<void> {
    const [opened] = await Promise.all([
      this.storage.get<string[]>(OPENED_KEY),
      this.listing.restore(),
      this.speeds.restore(),
    ]);
    this.opened = opened ?? [];
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

  /** The model of the list to open in place of `failed`, and what to say of it. */
  async closestTo(
    failed: string,
    isTooLarge: boolean,
  ): Promise<{ name: string; address: string; about: string } | undefined> {
    const closest = closestTo(failed, this.choices(await deviceRoom()), isTooLarge);
    if (!closest) return undefined;
    const { model, address, facts, isHere, fit } = closest;
    const which = fit === 'fits' ? 'that fits this device' : 'on this page’s list';
    const size = facts ? `, ${formatBytes(facts.bytes)} to download.` : '. Its size is told before it is downloaded.';
    return {
      name: model.name,
      address,
      about: `The closest model ${which} is ${model.name}${isHere ? ', already here.' : size}`,
    };
  }

  close(): void {
    this.dialog.close();
  }

  private async open(): Promise<void> {
    await this.draw();
    this.showAsked();
    this.dialog.showModal();
  }

  private async draw(): Promise<void> {
    const room = await deviceRoom();
    const listed = new Set(MODELS.map(({ id }) => fileOf(id)));
    const others = this.opened.filter((address) => !listed.has(fileOf(address)));
    this.list.replaceChildren(
      ...others.map((address) => this.otherItem(address)),
      ...inOrder(this.choices(room)).map((choice) => this.item(choice, room)),
    );
  }

  private choices(room: DeviceRoom): Choice[] {
    return MODELS.map((model) => {
      const here = this.opened.find((address) => fileOf(address) === fileOf(model.id));
      const facts = this.listing.of(model.id);
      const isHere = here !== undefined;
      const fit = !room.hasGpu ? 'no-gpu' : isHere ? 'fits' : facts && fitOf({ ...model, ...facts }, room);
      return { model, address: here ?? model.id, isHere, facts, fit };
    });
  }

  private item({ model, address, isHere, facts, fit }: Choice, room: DeviceRoom): HTMLElement {
    const words = fit && fitWords(fit, { ...model, bytes: facts?.bytes ?? 0 }, room);
    return modelItem({
      name: model.name,
      about: model.about,
      size: facts && formatBytes(facts.bytes),
      fit: isHere && fit === 'fits' ? 'On this device' : words,
      isOffered: fit === undefined || canRun(fit),
      facts,
      speed: this.speedOf(address),
      isCurrent: address === this.current,
      choose: () => this.choose(address),
    });
  }

  private otherItem(address: string): HTMLElement {
    return modelItem({
      name: modelName(address),
      about: 'Opened here before',
      fit: 'On this device',
      isOffered: true,
      speed: this.speedOf(address),
      isCurrent: address === this.current,
      choose: () => this.choose(address),
    });
  }

  private speedOf(address: string): string | undefined {
    const rate = this.speeds.of(address);
    return rate === undefined ? undefined : `${formatRate(rate)} on this device`;
  }

  private async askHub(): Promise<void> {
    if (this.isAsking) return;
    this.isAsking = true;
    this.said.textContent = `Asking ${HUB_HOST} …`;
    const failed = await this.listing.ask();
    this.isAsking = false;
    await this.draw();
    this.showAsked(failureOf(failed));
  }

  /** Whose list it is, and of when. `failure`: how asking for a newer one went. */
  private showAsked(failure = ''): void {
    const { asked } = this.listing;
    this.ask.textContent = asked === undefined ? `Ask ${HUB_HOST}` : 'Ask again';
    this.said.textContent =
      asked === undefined
        ? `${failure}Dates, sizes and licences are told by ${HUB_HOST}, which then sees your address. It is not asked before you click.`
        : `${failure}Dates, sizes and licences as ${HUB_HOST} told them on ${day.format(asked)}.`;
  }

  private choose(model: string): void {
    this.close();
    this.onChoose(model);
  }
}

/** How asking the hub went, where not all that was asked for came. */
function failureOf(failed: readonly ChunkwiseError[]): string {
  if (failed.length === 0) return '';
  if (failed.length === MODELS.length && failed.every(({ code }) => code === 'network'))
    return `${HUB_HOST} could not be reached. `;
  const more = failed.length > MOST_NAMED ? ` and ${failed.length - MOST_NAMED} more` : '';
  return `${HUB_HOST} did not tell of some: ${failed
    .slice(0, MOST_NAMED)
    .map(({ message }) => message)
    .join('; ')}${more}. `;
}
