import { ADAPTERS } from '../adapters/adapters.ts';
import { byId, create } from '../basics/dom.ts';

const EXAMPLES = [
  'Explain how rainbows form, in three sentences.',
  'Write a short poem about the sea at night.',
  'Give me five ideas for a rainy Sunday.',
];

export interface WelcomeEvents {
  onAsk: (prompt: string) => void;
  onAdapter: (name: string) => void;
}

/** An empty conversation's example prompts. */
export class Welcome {
  private readonly element = byId('welcome', HTMLElement);
  private readonly adapters = byId('adapter-examples', HTMLElement);

  constructor({ onAsk, onAdapter }: WelcomeEvents) {
    for (const text of EXAMPLES) addExample('examples', text, '', () => onAsk(text));
    for (const { name, title, does } of ADAPTERS) addExample('adapter-examples', does, title, () => onAdapter(name));
  }

  /** A prompt may wait for a loading model; an adapter needs an open one. */
  show(isShown: boolean, state: 'ready' | 'loading' | 'no model'): void {
    this.element.hidden = !isShown;
    this.element.classList.toggle('without-examples', state === 'no model');
    for (const button of this.adapters.querySelectorAll('button')) button.disabled = state !== 'ready';
  }
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
