import type { ChunkwiseError, Engine } from '../../src/api/index.ts';
import { byId } from '../basics/dom.ts';
import { formatBytes, formatRate, modelName } from '../basics/format.ts';
import type { PageStorage } from '../basics/storage.ts';
import { errorWords } from '../basics/error-words.ts';
import { closestTo, inOrder } from './choices.ts';
import { canRun, type DeviceRoom, deviceRoom, fitOf, fitWords } from './device-fit.ts';
import { HUB_HOST, HubListing } from './hub-listing.ts';
import { modelItem } from './model-item.ts';
import { defaultModel, fileOf, MODELS } from './models.ts';
import { type Rate, rated, type RatedChoice, recommended } from './recommendation.ts';
import { Speeds } from './speeds.ts';
import { isSame, type StoredModel, StoredModels } from './stored-models.ts';

const OPENED_KEY = 'models';
const CHOSEN_KEY = 'model';
/** Key of the better model that the user declined. */
const DECLINED_KEY = 'declined-model';
/** Most models named in a failure of the hub. */
const MOST_NAMED = 3;
const day = new Intl.DateTimeFormat('en', { dateStyle: 'long' });

export interface ModelPickerEvents {
  onUse: (model: string) => void;
  /** The answering engine, which lists stored models. */
  engine: () => Engine | undefined;
}

/** The model dialog, and the stored list of opened and chosen models. */
export class ModelPicker {
  readonly listing: HubListing;
  readonly speeds: Speeds;
  private readonly stored: StoredModels;
  private readonly dialog = byId('models', HTMLDialogElement);
  private readonly list = byId('model-list', HTMLUListElement);
  private readonly button = byId('open-models', HTMLButtonElement);
  private readonly ask = byId('hub-ask', HTMLButtonElement);
  private readonly said = byId('hub-said', HTMLElement);
  private readonly search = byId('model-search', HTMLInputElement);
  private readonly failure = byId('model-error', HTMLElement);
  /** Latest first. */
  private opened: string[] = [];
  private current = '';
  private isAsking = false;

  constructor(
    private readonly storage: PageStorage,
    private readonly events: ModelPickerEvents,
  ) {
    this.listing = new HubListing(storage);
    this.speeds = new Speeds(storage);
    this.stored = new StoredModels(events.engine);
    this.button.addEventListener('click', () => void this.open());
    this.ask.addEventListener('click', () => void this.askHub());
    this.search.addEventListener('input', () => this.filter());
    byId('model-url-form', HTMLFormElement).addEventListener('submit', (event) => {
      event.preventDefault();
      this.use(byId('model-url', HTMLInputElement).value.trim());
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

  /**
   * The model to open at the start: the user's last choice, or the default. A linked model that was not chosen does not
   * count.
   */
  async plain(): Promise<string> {
    return (await this.storage.get<string>(CHOSEN_KEY)) ?? this.default();
  }

  default(): Promise<string> {
    return defaultModel(this.opened);
  }

  /** Shows a model's name in the page's header: the open one, or the loading one; undefined: neither. */
  showName(name = 'choose one'): void {
    byId('model', HTMLElement).textContent = name;
  }

  /** Stores an opened model. `address`: undefined for a file from disk, which cannot be reopened automatically. */
  async remember(name: string, address: string | undefined, isChosen: boolean): Promise<void> {
    this.showName(modelName(name));
    this.button.title = name;
    this.current = address ?? '';
    if (address === undefined) return;
    this.opened = [address, ...this.opened.filter((each) => each !== address)];
    await this.storage.set(OPENED_KEY, this.opened);
    if (isChosen) await this.storage.set(CHOSEN_KEY, address);
  }

  /** The list's model to offer in place of `failed`, with words about it. */
  async closestTo(
    failed: string,
    isTooLarge: boolean,
  ): Promise<{ name: string; address: string; about: string } | undefined> {
    const closest = closestTo(failed, this.choices(await deviceRoom()), isTooLarge);
    if (!closest) return undefined;
    const { model, address, bytes, isHere, fit } = closest;
    const which = fit === 'fits' ? 'that fits this device' : 'on this page’s list';
    const size = isHere ? 'already here' : `${formatBytes(bytes)} to download`;
    return { name: model.name, address, about: `The closest model ${which} is ${model.name}, ${size}.` };
  }

  /** Size of a listed model, if known. */
  bytesOf(address: string): number | undefined {
    return this.listing.of(address)?.bytes ?? MODELS.find(({ id }) => id === address)?.bytes;
  }

  /**
   * A better model than the page's default if the GPU is real and fast enough; undefined if there is none or the user
   * declined it.
   */
  async better(): Promise<{ name: string; address: string; size: string; decline: () => void } | undefined> {
    const own = MODELS[0];
    if (!own || fileOf(this.current) !== fileOf(own.id)) return undefined;
    const [room, declined] = await Promise.all([deviceRoom(), this.storage.get<string>(DECLINED_KEY)]);
    if (room.gpu !== 'real') return undefined;
    const best = recommended(this.choices(room), room);
    if (!best || best.model === own || best.model.id === declined) return undefined;
    const { model, address, bytes, isHere } = best;
    const size = isHere ? 'it is already here' : `${formatBytes(bytes)}, downloaded once`;
    return { name: model.name, address, size, decline: () => void this.storage.set(DECLINED_KEY, model.id) };
  }

  close(): void {
    this.dialog.close();
  }

  private async open(): Promise<void> {
    this.search.value = '';
    this.failure.hidden = true;
    await this.draw();
    this.showAsked();
    this.dialog.showModal();
  }

  private async draw(): Promise<void> {
    const [room] = await Promise.all([deviceRoom(), this.stored.read()]);
    const choices = this.choices(room);
    const best = recommended(choices, room);
    const rest = inOrder(choices).filter((choice) => choice !== best);
    this.list.replaceChildren(
      ...(best ? [this.item(best, room, true)] : []),
      ...this.others().map((address) => this.otherItem(address)),
      ...rest.map((choice) => this.item(choice, room, false)),
    );
    const bytes = this.stored.all.reduce((sum, each) => sum + each.bytes, 0);
    byId('models-kept', HTMLElement).textContent =
      `Downloaded once and kept on this device${bytes > 0 ? `: ${formatBytes(bytes)} so far` : ''}.`;
    this.filter();
  }

  private choices(room: DeviceRoom): RatedChoice[] {
    const choices = MODELS.map((model) => {
      const isIt = (address: string): boolean => fileOf(address) === fileOf(model.id);
      const opened = this.opened.find(isIt);
      const address = opened ?? this.stored.all.find(({ name }) => isIt(name))?.name ?? model.id;
      const facts = this.listing.of(model.id);
      const bytes = facts?.bytes ?? model.bytes;
      const isHere = opened !== undefined && this.isStored(opened);
      const fit = room.gpu === 'none' ? 'no-gpu' : isHere ? 'fits' : fitOf({ ...model, bytes }, room);
      return { model, address, isHere, facts, bytes, fit };
    });
    return rated(choices, room.gpu, (address) => this.speeds.of(address));
  }

  /** Models that were opened or stored here and are not on the page's list. */
  private others(): string[] {
    const listed = new Set(MODELS.map(({ id }) => fileOf(id)));
    const stored = this.stored.all.map(({ name }) => name);
    return [...this.opened, ...stored.filter((name) => !this.opened.some((address) => isSame(address, name)))].filter(
      (address) => !listed.has(fileOf(address)),
    );
  }

  /** Size in bytes, if known. */
  private isStored(address: string): boolean {
    return !this.stored.isKnown || this.stored.of(address) !== undefined;
  }

  private item({ model, address, bytes, isHere, facts, fit, rate }: RatedChoice, room: DeviceRoom, isBest: boolean) {
    return modelItem({
      name: model.name,
      about: model.about,
      size: formatBytes(bytes),
      fit: isHere && fit === 'fits' ? 'On this device' : fitWords(fit, { ...model, bytes }, room),
      isOffered: canRun(fit),
      isRecommended: isBest,
      facts,
      speed: rate && speedWords(rate),
      isCurrent: address === this.current,
      use: () => this.use(address),
      stored: this.storedOf(address),
    });
  }

  private otherItem(address: string): HTMLElement {
    const tokensPerSecond = this.speeds.of(address);
    const stored = this.storedOf(address);
    return modelItem({
      name: modelName(address),
      about: this.opened.includes(address) ? 'Opened here before' : 'Not opened here yet',
      size: stored?.size,
      fit: this.isStored(address) ? 'On this device' : 'No longer on this device',
      isOffered: true,
      speed: tokensPerSecond === undefined ? undefined : speedWords({ tokensPerSecond, by: 'measured' }),
      isCurrent: address === this.current,
      use: () => this.use(address),
      stored,
    });
  }

  private storedOf(address: string): { size: string; remove: () => void } | undefined {
    const stored = this.stored.of(address);
    if (!stored || !this.events.engine()) return undefined;
    return { size: formatBytes(stored.bytes), remove: () => void this.remove(stored) };
  }

  /** Also forgets the model, which the page would otherwise download again. */
  private async remove(stored: StoredModel): Promise<void> {
    this.failure.hidden = true;
    try {
      await this.stored.delete(stored);
      this.opened = this.opened.filter((address) => !isSame(address, stored.name));
      await this.storage.set(OPENED_KEY, this.opened);
      const chosen = await this.storage.get<string>(CHOSEN_KEY);
      if (chosen !== undefined && isSame(chosen, stored.name)) await this.storage.delete(CHOSEN_KEY);
    } catch (error) {
      const { title, advice, detail } = errorWords(error);
      this.failure.textContent = `${title}. ${advice} (${detail})`;
      this.failure.hidden = false;
    }
    await this.draw();
    byId('models-title', HTMLElement).focus(); // the focused button is gone
  }

  /** Shows models that match all words of the search. */
  private filter(): void {
    const words = this.search.value.toLowerCase().split(/\s+/);
    let isAny = false;
    for (const item of this.list.children) {
      if (!(item instanceof HTMLElement)) continue;
      const text = item.textContent.toLowerCase();
      item.hidden = !words.every((word) => text.includes(word));
      isAny ||= !item.hidden;
    }
    byId('model-none', HTMLElement).hidden = isAny;
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

  /** Source and date of the entries. `failure`: result of the last request. */
  private showAsked(failure = ''): void {
    const { asked } = this.listing;
    this.ask.textContent = asked === undefined ? `Ask ${HUB_HOST}` : 'Ask again';
    this.said.textContent =
      asked === undefined
        ? `${failure}Dates, licences and new sizes come from ${HUB_HOST}, which then sees your address. The page asks only when you click.`
        : `${failure}Dates, sizes and licences from ${HUB_HOST} of ${day.format(asked)}.`;
  }

  private use(model: string): void {
    this.close();
    this.events.onUse(model);
  }
}

/** Speed in words; empty if nothing was measured. */
function speedWords({ tokensPerSecond, by }: Rate): string | undefined {
  if (by === 'assumed') return undefined;
  return by === 'measured'
    ? `${formatRate(tokensPerSecond)} on this device`
    : `about ${formatRate(tokensPerSecond)} expected`;
}

/** Failures of the last request to the hub in words. */
function failureOf(failed: readonly ChunkwiseError[]): string {
  if (failed.length === 0) return '';
  if (failed.length === MODELS.length && failed.every(({ code }) => code === 'network'))
    return `${HUB_HOST} could not be reached. `;
  const more = failed.length > MOST_NAMED ? ` and ${failed.length - MOST_NAMED} more` : '';
  return `${HUB_HOST} has no readable entry for some: ${failed
    .slice(0, MOST_NAMED)
    .map(({ message }) => message)
    .join('; ')}${more}. `;
}
