import { createEngine } from '../src/api/index.ts';
import type { Engine } from '../src/api/index.ts';
import { AdapterPicker } from './adapter-picker.ts';
import { Chat } from './chat.ts';
import { Composer } from './composer.ts';
import { ConversationList } from './conversation-list.ts';
import { type Conversation, Conversations, newConversation } from './conversations.ts';
import { byId } from './dom.ts';
import { watchDrops } from './drop-zone.ts';
import { LoadView } from './load-view.ts';
import { ModelPicker } from './model-picker.ts';
import { defaultModel } from './models.ts';
import { notify } from './notices.ts';
import { stayOffline } from './offline.ts';
import { RankRecord } from './rank-record.ts';
import { Readouts } from './readouts.ts';
import { SettingsDialog } from './settings.ts';
import { PageStorage } from './storage.ts';
import { Transcript } from './transcript.ts';
import { allowOwnWorkers } from './trusted-types.ts';
import { Welcome } from './welcome.ts';

/** Milliseconds in which a deleted conversation can be had back. */
const UNDO_MS = 10_000;

allowOwnWorkers();
const storage = await PageStorage.open();
const conversations = new Conversations(storage);
const settings = new SettingsDialog(storage, (prompt) => void chat.setSystemPrompt(prompt));
await Promise.all([settings.restore(), conversations.read()]);

const readouts = new Readouts();
const loadView = new LoadView();
const transcript = new Transcript({
  onRetry: (index) => void askAgain(index, chat.conversation.exchanges[index]?.prompt ?? ''),
  onEdit: (index, prompt) => void askAgain(index, prompt),
});
const chat = new Chat(conversations, transcript, settings.values.systemPrompt);
const composer = new Composer({ onSend: (text) => void ask(text), onStop: () => chat.stop() });
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
const models = new ModelPicker(storage, (model) => void load(model));

let engine: Engine | undefined;
let ranks: RankRecord | undefined;
let answers = 0;
let wanted: string | File[] = '';
let loading: AbortController | undefined;

async function ask(text: string): Promise<void> {
  if (!engine) return;
  const adapter = picker.chosen;
  // What is late of the last answer still belongs to it; now nothing more comes.
  ranks?.close();
  ranks = adapter && new RankRecord(engine);
  readouts.newAnswer(ranks);
  answers++;
  const asked = chat.ask(text, {
    engine,
    settings: settings.values,
    adapted: adapter && ranks && { adapter, ranks },
    compare: picker.isComparing,
  });
  update();
  await asked;
  answers--;
  readouts.redraw();
  update();
}

async function askAgain(index: number, prompt: string): Promise<void> {
  if (!isReady() || answers > 0) return;
  chat.goBackTo(index);
  await ask(prompt);
}

function open(conversation: Conversation): void {
  if (conversation === chat.conversation) return;
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

async function load(model: string | File[]): Promise<void> {
  // One at a time: the one that was asked for last.
  loading?.abort();
  const own = (loading = new AbortController());
  wanted = model;
  chat.stop();
  loadView.begin();
  const before = engine;
  engine = undefined;
  update();
  await before?.dispose();
  try {
    const opened = await createEngine({ model, signal: own.signal, onProgress: (progress) => loadView.show(progress) });
    if (own.signal.aborted) return await opened.dispose();
    engine = opened;
    await models.remember(engine.model, typeof model === 'string' ? model : undefined);
    await readouts.follow(engine);
    loadView.done();
    update();
    await picker.follow(engine, await settings.keptAdapter());
  } catch (error) {
    if (!own.signal.aborted) loadView.fail(error);
  }
}

function isReady(): boolean {
  return engine !== undefined && !picker.loading;
}

function update(): void {
  composer.setState(answers > 0 ? 'answering' : isReady() ? 'ready' : 'loading');
  welcome.show(chat.conversation.exchanges.length === 0, isReady() && answers === 0);
  list.show(conversations.list, chat.conversation);
  document.body.classList.toggle('answering', answers > 0);
}

byId('new-chat', HTMLButtonElement).addEventListener('click', () => open(newConversation(settings.values.systemPrompt)));
byId('retry', HTMLButtonElement).addEventListener('click', () => void load(wanted));
byId('other-model', HTMLButtonElement).addEventListener('click', () => byId('open-models', HTMLButtonElement).click());
for (const id of ['model-file', 'picker-file']) {
  const input = byId(id, HTMLInputElement);
  input.addEventListener('change', () => {
    models.close();
    const files = [...(input.files ?? [])];
    input.value = ''; // the same file may be picked again
    if (files.length > 0) void load(files);
  });
}
watchDrops({ onModel: (files) => void load(files), onAdapter: (files) => picker.open(files) });
document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape' && !event.defaultPrevented && !document.querySelector('dialog[open], :popover-open')) chat.stop();
});
document.addEventListener('visibilitychange', () => {
  if (document.visibilityState === 'visible') void conversations.read().then(update);
});
storage.onFull = () => notify('storage', { text: 'The browser has no room left: what is said now is not kept.' });
if (storage.state === 'newer') {
  notify('storage', { text: 'A newer version of this page keeps your conversations: they are safe, but not shown. Reload for it.' });
} else if (storage.state === 'unavailable') {
  notify('storage', { text: 'This browser keeps nothing for this page: conversations end with it.' });
}
update();
void stayOffline();
const asked = new URL(location.href).searchParams.get('model');
await load(asked ?? (await models.last()) ?? (await defaultModel()));
