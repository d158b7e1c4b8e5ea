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

/** What an empty conversation shows: prompts to begin with. */
export class Welcome {
  private readonly element = byId('welcome', HTMLElement);

  constructor({ onAsk, onAdapter }: WelcomeEvents) {
    for (const text of EXAMPLES) addExample('examples', text, '', () => onAsk(text));
    for (const { name, shows } of ADAPTERS) addExample('adapter-examples', shows, name, () => onAdapter(name));
  }

  show(isShown: boolean, isReady: boolean): void {
    this.element.hidden = !isShown;
    for (const button of this.element.querySelectorAll('button')) button.disabled = !isReady;
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
