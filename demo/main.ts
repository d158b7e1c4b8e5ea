import { createEngine } from '../src/api/index.ts';
import type { EngineOptions } from '../src/api/index.ts';
import { Chat } from './chat.ts';
import { Composer } from './composer.ts';
import { byId, create } from './dom.ts';
import { modelName } from './format.ts';
import { LoadView } from './load-view.ts';
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
const examples = byId('examples', HTMLElement);
const fileInput = byId('model-file', HTMLInputElement);

let chat: Chat | undefined;
let wanted: EngineOptions['model'] = new URL(location.href).searchParams.get('model') ?? DEFAULT_MODEL;

const composer = new Composer({
  onSend: (text) => void ask(text),
  onStop: () => chat?.stop(),
});

async function ask(text: string): Promise<void> {
  const current = chat;
  if (current === undefined) return;
  welcome.hidden = true;
  readouts.newAnswer();
  composer.setState('answering');
  await current.ask(text, settings.values);
  composer.setState('ready');
}

async function load(): Promise<void> {
  loadView.begin();
  try {
    const engine = await createEngine({ model: wanted, onProgress: (progress) => loadView.show(progress) });
    const name = byId('model', HTMLElement);
    name.textContent = modelName(engine.model);
    name.title = engine.model;
    await readouts.follow(engine);
    chat = new Chat(engine, transcript);
    loadView.done();
    composer.setState('ready');
    setExamplesDisabled(false);
  } catch (error) {
    loadView.fail(error);
  }
}

function setExamplesDisabled(disabled: boolean): void {
  for (const button of examples.querySelectorAll('button')) button.disabled = disabled;
}

for (const text of EXAMPLES) {
  const button = create('button', 'example', text);
  button.type = 'button';
  button.addEventListener('click', () => composer.ask(text));
  const item = document.createElement('li');
  item.append(button);
  examples.append(item);
}
setExamplesDisabled(true);

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
