import { AdapterPicker } from './adapters/adapter-picker.ts';
import { Chat } from './chat/chat.ts';
import { Composer } from './chat/composer.ts';
import { ConversationList } from './chat/conversation-list.ts';
import { type Conversation, Conversations, newConversation } from './chat/conversations.ts';
import { byId } from './basics/dom.ts';
import { DeviceDialog } from './readouts/device-dialog.ts';
import { watchDrops } from './shell/drop-zone.ts';
import { LoadView } from './models/load-view.ts';
import { forgetLink, isBesidePage, linkedModel } from './models/model-link.ts';
import { ModelLoader } from './models/model-loader.ts';
import { ModelPicker } from './models/model-picker.ts';
import { notify } from './shell/notices.ts';
import { Offer } from './models/offer.ts';
import { stayOffline } from './shell/offline.ts';
import { linkQuestion } from './models/questions.ts';
import { RankRecord } from './readouts/rank-record.ts';
import { Readouts } from './readouts/readouts.ts';
import { SettingsDialog } from './settings/settings.ts';
import { PageStorage } from './basics/storage.ts';
import { Transcript } from './chat/transcript.ts';
import { allowOwnWorkers } from './shell/trusted-types.ts';
import { WaitingPrompt } from './chat/waiting-prompt.ts';
import { Welcome } from './chat/welcome.ts';

/** Milliseconds in which a deleted conversation can be had back. */
const UNDO_MS = 10_000;

allowOwnWorkers();
const composer = new Composer(); // before anything is waited for: a user may write at once
const storage = await PageStorage.open();
const conversations = new Conversations(storage);
const settings = new SettingsDialog(storage, (prompt) => void chat.setSystemPrompt(prompt));
await Promise.all([settings.restore(), conversations.read()]);

const readouts = new Readouts();
const device = new DeviceDialog();
const loadView = new LoadView();
const offer = new Offer();
const transcript = new Transcript({
  onRetry: (index) => void askAgain(index, chat.conversation.exchanges[index]?.prompt ?? ''),
  onEdit: (index, prompt) => void askAgain(index, prompt),
});
const chat = new Chat(conversations, transcript, settings.values.systemPrompt);
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
const models = new ModelPicker(storage, (model) => void loader.load(model, true));
const loader = new ModelLoader(loadView, offer, models, {
  onChange: update,
  onLeave: () => {
    chat.stop();
    picker.leave();
    update();
  },
  onReady: (engine, memory) => {
    readouts.follow(engine, memory);
    device.follow(engine);
    void picker.follow(engine, settings.keptAdapter);
  },
  onFail: () => waiting.giveBack(),
  onDeclined: (model) => void loadAnother(model),
});

let ranks: RankRecord | undefined;
let answers = 0;

/** A prompt waits for what is being loaded. */
function send(text: string): void {
  if (isReady()) void ask(text);
  else waiting.begin(text, loader.engine && !loader.isLoading ? 'the adapter' : 'the model');
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
  loadView.done();
  const adapter = picker.chosen;
  answers++;
  const asked = chat.ask(text, {
    engine,
    settings: settings.values,
    adapter,
    begin: () => beginAnswer(adapter && new RankRecord(engine)),
    onMeasured: (measured) => void models.speeds.add(engine.model, measured),
    compare: picker.isComparing,
  });
  update();
  await asked;
  answers--;
  readouts.redraw();
  update();
}

/** What is late of the last answer still belongs to it; now nothing more comes. */
function beginAnswer(next: RankRecord | undefined): RankRecord | undefined {
  ranks?.close();
  ranks = next;
  readouts.newAnswer(ranks);
  return ranks;
}

async function askAgain(index: number, prompt: string): Promise<void> {
  if (!isReady() || answers > 0) return;
  chat.goBackTo(index);
  await ask(prompt);
}

function open(conversation: Conversation): void {
  if (conversation === chat.conversation) return;
  waiting.giveBack();
  chat.open(conversation);
  settings.showSystemPrompt(conversation.systemPrompt);
  readouts.newChat();
  update();
  composer.focus();
}

function remove(conversation: Conversation): void {
  if (conversation === chat.conversation) open(newConversation(settings.values.systemPrompt));
  void conversations.delete(conversation);
  update();
  const undo = (): void => {
    void conversations.restore(conversation);
    update();
  };
  notify('deleted', { text: 'The conversation was deleted.', action: { label: 'Undo', act: undo }, lasts: UNDO_MS });
}

function isReady(): boolean {
  return loader.engine !== undefined && !loader.isLoading && !picker.loading;
}

function update(): void {
  if (waiting.isThere && isReady() && answers === 0) {
    // Without the adapter that it was to be asked with it would be another question.
    if (picker.hasFailed) waiting.giveBack();
    else return void ask(waiting.take() ?? '');
  }
  const idle = isReady() ? 'ready' : loader.hasFailed ? 'no model' : 'loading';
  composer.setState(answers > 0 ? 'answering' : waiting.isThere ? 'waiting' : idle);
  welcome.show(chat.conversation.exchanges.length === 0 && !waiting.isThere, isReady() && answers === 0);
  list.show(conversations.list, chat.conversation);
  document.body.classList.toggle('answering', answers > 0);
}

/** What the page's address names, after a click where it does not lie beside the page; else what the page opens by itself. */
async function begin(): Promise<void> {
  loadView.begin();
  await models.restore();
  const link = linkedModel();
  if (link !== undefined) {
    if (await isBesidePage(link)) return loadFirst(link, false);
    if (loader.hasBegun) return;
    loadView.done();
    const answer = await offer.ask(linkQuestion(link, models.listing.of(link)?.bytes));
    if (answer === 'withdrawn') return;
    if (answer === 'accepted') return loadFirst(link, true);
    forgetLink();
  }
  return loadFirst(await models.plain(), false);
}

/** Unless the user has chosen one meanwhile. */
async function loadFirst(model: string, isChosen: boolean): Promise<void> {
  if (!loader.hasBegun) await loader.load(model, isChosen);
}

/** After a download that the user did not want, where no other model is there. */
async function loadAnother(declined: string | File[]): Promise<void> {
  const plain = await models.plain();
  const next = plain === declined ? await models.default() : plain;
  if (next !== declined && !loader.isLoading) await loader.load(next, false);
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
    input.value = ''; // the same file may be picked again
    if (files.length > 0) void loader.load(files, true);
  });
}
watchDrops({ onModel: (files) => void loader.load(files, true), onAdapter: (files) => picker.open(files) });
document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape' && !event.defaultPrevented && !document.querySelector('dialog[open], :popover-open'))
    stop();
});
document.addEventListener('visibilitychange', () => {
  if (document.visibilityState === 'visible') void conversations.read().then(update);
});
storage.onFull = () =>
  notify('storage', {
    text: 'The browser has no room left: what changes now is not kept. What must not be lost can be exported.',
  });
if (storage.state === 'newer') {
  notify('storage', {
    text: 'A newer version of this page keeps your conversations: they are safe, but not shown. Reload for it.',
  });
} else if (storage.state === 'unavailable') {
  notify('storage', { text: 'This browser keeps nothing for this page: conversations end with it.' });
}
composer.follow({ onSend: send, onStop: stop });
update();
void stayOffline();
await begin();
