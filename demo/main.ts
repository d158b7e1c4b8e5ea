import { AdapterPicker } from './adapters/adapter-picker.ts';
import { address, addressed } from './chat/address.ts';
import { ShownEvents } from './chat/answer-events.ts';
import { Chat } from './chat/chat.ts';
import { Composer } from './chat/composer.ts';
import { ConversationList } from './chat/conversation-list.ts';
import { type Conversation, Conversations, newConversation } from './chat/conversations.ts';
import { byId } from './basics/dom.ts';
import { DeskSwitch } from './desk/desk-switch.ts';
import { DeviceDialog } from './readouts/device-dialog.ts';
import { watchDrops } from './shell/drop-zone.ts';
import { LoadView } from './models/load-view.ts';
import { forgetLink, isBesidePage, linkedModel } from './models/model-link.ts';
import { ModelLoader } from './models/model-loader.ts';
import { ModelPicker } from './models/model-picker.ts';
import { notify, withdraw } from './shell/notices.ts';
import { Offer } from './models/offer.ts';
import { stayOffline } from './shell/offline.ts';
import { linkQuestion } from './models/questions.ts';
import { Readouts } from './readouts/readouts.ts';
import { SettingsDialog } from './settings/settings.ts';
import { PageStorage } from './basics/storage.ts';
import { Transcript } from './chat/transcript.ts';
import { allowOwnWorkers } from './shell/trusted-types.ts';
import { WaitingPrompt } from './chat/waiting-prompt.ts';
import { Welcome } from './chat/welcome.ts';

/** Milliseconds during which a deletion can be undone. */
const UNDO_MS = 10_000;

allowOwnWorkers();
const composer = new Composer(); // first, so that the user can write at once
const storage = await PageStorage.open();
const conversations = new Conversations(storage);
const settings = new SettingsDialog(storage, (prompt) => void chat.setSystemPrompt(prompt));
await Promise.all([settings.restore(), conversations.read()]);

const readouts = new Readouts();
const shownEvents = new ShownEvents();
const device = new DeviceDialog();
const desk = new DeskSwitch();
const showChat = (): void => desk.close();
const loadView = new LoadView(showChat);
const offer = new Offer(showChat);
const transcript = new Transcript({
  onRetry: (index) => void askAgain(index, chat.conversation.exchanges[index]?.prompt ?? ''),
  onEdit: (index, prompt) => void askAgain(index, prompt),
});
const chat = new Chat(
  conversations,
  transcript,
  (told) => {
    readouts.newAnswer(told?.ranks);
    shownEvents.show(told?.events);
  },
  settings.values.systemPrompt,
);
const waiting = new WaitingPrompt(transcript, composer);
const picker = new AdapterPicker({
  onChange: () => {
    settings.keepAdapter(picker.kept);
    update();
  },
  onExample: (prompt) => composer.fill(prompt),
});
const welcome = new Welcome({
  onAsk: (text) => composer.ask(text),
  onAdapter: (name) => void picker.choose(name).then(() => picker.example()),
});
const list = new ConversationList({
  onOpen: open,
  onRename: (conversation, title) => {
    conversation.title = title;
    void conversations.save(conversation);
    update();
  },
  onDelete: remove,
});
const models = new ModelPicker(storage, {
  onUse: (model) => void loader.load(model, true),
  engine: () => loader.engine,
});
const loader: ModelLoader = new ModelLoader(loadView, offer, models, {
  onChange: update,
  onLeave: () => {
    chat.stopAll();
    picker.leave();
    update();
  },
  onReplaced: (engine) => chat.idle(engine),
  onReady: (engine, memory) => {
    readouts.follow(shownEvents.of(engine), memory);
    chat.showTold();
    device.follow(engine);
    void picker.follow(engine, settings.keptAdapter);
    void offerBetter();
  },
  onFail: () => waiting.giveBack(),
  onDeclined: (model) => void loadAnother(model),
});

/** Sends a prompt, or keeps it until the model or adapter is loaded. */
function send(text: string): void {
  if (isReady()) void ask(text);
  else waiting.begin(text, loader.engine ? 'the adapter' : 'the model');
  update();
}

function stop(): void {
  waiting.giveBack();
  chat.stop();
  update();
}

async function ask(text: string): Promise<void> {
  const { engine } = loader;
  if (!engine) return;
  loadView.dismiss();
  const asked = chat.ask(text, {
    engine,
    settings: settings.values,
    adapter: picker.chosen,
    onMeasured: (measured) => void models.speeds.add(engine.model, measured),
    compare: picker.isComparing,
  });
  // A new chat gets this address; a copy of a conversation gets a new one.
  address(chat.conversation.id, addressed() === undefined ? 'replace' : 'push');
  update();
  await asked;
  readouts.redraw();
  update();
}

async function askAgain(index: number, prompt: string): Promise<void> {
  if (!isReady() || chat.isAnswering()) return;
  chat.goBackTo(index);
  await ask(prompt);
}

function show(conversation: Conversation): void {
  waiting.giveBack();
  readouts.newChat();
  chat.open(conversation);
  settings.showSystemPrompt(chat.conversation.systemPrompt);
  update();
}

function open(conversation: Conversation, how: 'push' | 'replace' = 'push'): void {
  if (conversation === chat.conversation) return;
  show(conversation);
  address(conversation.exchanges.length > 0 ? conversation.id : undefined, how);
  composer.focus();
}

/** Opens the conversation in the address, at the start and after back or forward. */
async function openAddressed(): Promise<void> {
  const id = addressed();
  if (id === undefined) {
    if (chat.conversation.exchanges.length > 0) show(newConversation(settings.values.systemPrompt));
    return;
  }
  if (!conversations.find(id)) await conversations.read(); // another tab may have started it
  const found = conversations.find(id);
  if (found) return show(found);
  if (storage.state === 'kept') notify('address', { text: 'This conversation is not on this device.' });
  address(undefined, 'replace');
  show(newConversation(settings.values.systemPrompt));
}

function remove(conversation: Conversation): void {
  chat.stop(conversation);
  if (conversation.id === chat.conversation.id) open(newConversation(settings.values.systemPrompt), 'replace');
  void conversations.delete(conversation);
  update();
  const undo = (): void => {
    void conversations.restore(conversation);
    update();
  };
  notify('deleted', { text: 'The conversation was deleted.', action: { label: 'Undo', act: undo }, lasts: UNDO_MS });
}

function isReady(): boolean {
  return loader.engine !== undefined && !picker.loading;
}

function update(): void {
  const isAnswering = chat.isAnswering();
  if (waiting.isThere && isReady() && !isAnswering) {
    // Without its adapter the question would be another one.
    if (picker.hasFailed) waiting.giveBack();
    else return void ask(waiting.take() ?? '');
  }
  const idle = isReady() ? 'ready' : loader.hasFailed && !loader.isLoading ? 'no model' : 'loading';
  composer.setState(isAnswering ? 'answering' : waiting.isThere ? 'waiting' : idle);
  desk.follow(loader.engine, idle);
  welcome.show(chat.conversation.exchanges.length === 0 && !waiting.isThere, idle);
  list.show(conversations.list, chat.conversation, (conversation) => chat.isAnswering(conversation));
}

/**
 * Opens the model in the page's address, after a click unless it is in the page's own folder; else the page's own
 * choice.
 */
async function begin(): Promise<void> {
  loadView.begin(undefined);
  await models.restore();
  const link = linkedModel();
  if (link !== undefined) {
    if (await isBesidePage(link)) return loadFirst(link, false);
    if (loader.hasBegun) return;
    loadView.done();
    models.showName(undefined);
    const answer = await offer.ask(linkQuestion(link, models.bytesOf(link)));
    if (answer === 'withdrawn') return;
    if (answer === 'accepted') return loadFirst(link, true);
    forgetLink();
  }
  return loadFirst(await models.plain(), false);
}

/** Loads a model unless the user chose one meanwhile. */
async function loadFirst(model: string, isChosen: boolean): Promise<void> {
  if (!loader.hasBegun) await loader.load(model, isChosen);
}

/** After a declined download without another model. */
async function loadAnother(declined: string | File[]): Promise<void> {
  const plain = await models.plain();
  const next = plain === declined ? await models.default() : plain;
  if (next !== declined && !loader.isLoading) await loader.load(next, false);
}

/** Offers a better model in a notice, if the page's default answers and the device is fast enough. */
async function offerBetter(): Promise<void> {
  const better = await models.better();
  if (!better) return withdraw('better');
  const { name, address, size, decline } = better;
  notify('better', {
    text: `${name} answers better, and this device should be quick enough for it: ${size}.`,
    action: { label: `Use ${name}`, act: () => void loader.load(address, true) },
    onDismiss: decline,
  });
}

byId('new-chat', HTMLButtonElement).addEventListener('click', () =>
  open(newConversation(settings.values.systemPrompt)),
);
byId('retry', HTMLButtonElement).addEventListener('click', () => loader.retry());
byId('other-model', HTMLButtonElement).addEventListener('click', () => byId('open-models', HTMLButtonElement).click());
for (const id of ['model-file', 'picker-file']) {
  const input = byId(id, HTMLInputElement);
  input.addEventListener('change', () => {
    models.close();
    const files = [...(input.files ?? [])];
    input.value = ''; // lets the user pick the same file again
    if (files.length > 0) void loader.load(files, true);
  });
}
watchDrops({
  onModel: (files) => void loader.load(files, true),
  onAdapter: (files) => picker.open(files),
  onText: (file) => void desk.open(file),
});
document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape' && !event.defaultPrevented && !document.querySelector('dialog[open], :popover-open'))
    stop();
});
window.addEventListener('hashchange', () => void openAddressed());
document.addEventListener('visibilitychange', () => {
  if (document.visibilityState === 'visible') void conversations.read().then(update);
});
storage.onFull = () =>
  notify('storage', {
    text: 'The browser has no room left: changes are not saved from now on. Export what you need to keep.',
  });
if (storage.state === 'newer') {
  notify('storage', {
    text: 'A newer version of this page stored your conversations. They are safe; reload the page to see them.',
  });
} else if (storage.state === 'unavailable') {
  notify('storage', { text: 'This browser stores nothing for this page: conversations are lost when it closes.' });
}
await openAddressed();
composer.follow({ onSend: send, onStop: stop });
update();
void stayOffline();
await begin();
