import { createEngine } from '../src/api/index.ts';
import type { Engine, EngineOptions } from '../src/api/index.ts';
import { AdapterPicker } from './adapter-picker.ts';
import { ADAPTERS } from './adapters.ts';
import { Chat } from './chat.ts';
import { Composer } from './composer.ts';
import { byId, create } from './dom.ts';
import { modelName } from './format.ts';
import { LoadView } from './load-view.ts';
import { RankRecord } from './rank-record.ts';
import { Readouts } from './readouts.ts';
import { SettingsDialog } from './settings.ts';
import { Transcript } from './transcript.ts';

const DEFAULT_MODEL = 'models/SmolLM2-135M-Instruct.Q4_1.gguf';
const EXAMPLES = [
  'Explain how rainbows form, in three sentences.',
  'Write a short poem about the sea at night.',
  'Give me five ideas for a rainy Sunday.',
];

const settings = new SettingsDialog();
const readouts = new Readouts();
const transcript = new Transcript();
const loadView = new LoadView();
const welcome = byId('welcome', HTMLElement);
const fileInput = byId('model-file', HTMLInputElement);

let engine: Engine | undefined;
let chat: Chat | undefined;
let ranks: RankRecord | undefined;
let isAnswering = false;
let wanted: EngineOptions['model'] = new URL(location.href).searchParams.get('model') ?? DEFAULT_MODEL;

const composer = new Composer({
  onSend: (text) => void ask(text),
  onStop: () => chat?.stop(),
});
const picker = new AdapterPicker({
  onChange: () => {
    settings.keepAdapter(picker.kept);
    update();
  },
  onExample: (prompt) => composer.fill(prompt),
});

async function ask(text: string): Promise<void> {
  if (!engine || !chat) return;
  welcome.hidden = true;
  const adapter = picker.chosen;
  // What is late of the last answer still belongs to it; now nothing more comes.
  ranks?.close();
  ranks = adapter && new RankRecord(engine);
  readouts.newAnswer(ranks);
  isAnswering = true;
  update();
  await chat.ask(text, settings.values, adapter && ranks && { adapter, ranks });
  readouts.redraw();
  isAnswering = false;
  update();
}

async function load(): Promise<void> {
  loadView.begin();
  try {
    engine = await createEngine({ model: wanted, onProgress: (progress) => loadView.show(progress) });
    const name = byId('model', HTMLElement);
    name.textContent = modelName(engine.model);
    name.title = engine.model;
    await readouts.follow(engine);
    chat = new Chat(engine, transcript);
    loadView.done();
    update();
    await picker.follow(engine, await settings.keptAdapter());
  } catch (error) {
    loadView.fail(error);
  }
}

function update(): void {
  const isReady = chat !== undefined && !picker.loading;
  composer.setState(isAnswering ? 'answering' : isReady ? 'ready' : 'loading');
  for (const button of welcome.querySelectorAll('button')) button.disabled = !isReady || isAnswering;
}

function addExample(list: string, text: string, title: string, use: () => void): void {
  const button = create('button', 'example', text);
  if (title !== '') button.prepend(create('strong', '', title));
  button.type = 'button';
  button.addEventListener('click', use);
  const item = document.createElement('li');
  item.append(button);
  byId(list, HTMLElement).append(item);
}

for (const text of EXAMPLES) addExample('examples', text, '', () => composer.ask(text));
for (const { name, shows } of ADAPTERS) {
  addExample('adapter-examples', shows, name, () => void picker.choose(name).then(() => picker.example()));
}
update();

byId('new-chat', HTMLButtonElement).addEventListener('click', () => {
  chat?.clear();
  readouts.newChat();
  welcome.hidden = false;
  composer.focus();
});
byId('retry', HTMLButtonElement).addEventListener('click', () => void load());
fileInput.addEventListener('change', () => {
  wanted = [...(fileInput.files ?? [])];
  if (wanted.length > 0) void load();
});

await settings.restore();
await load();
