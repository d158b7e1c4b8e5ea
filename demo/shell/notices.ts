import { byId, create } from '../basics/dom.ts';

export interface Notice {
  text: string;
  action?: { label: string; act: () => void };
  /** Milliseconds after which it leaves by itself. */
  lasts?: number;
}

/** Tells something in a line above the page; one of a kind at a time. */
export function notify(kind: string, { text, action, lasts }: Notice): void {
  const notices = byId('notices', HTMLElement);
  const notice = create('div', 'notice', text);
  notice.dataset['kind'] = kind;
  const leave = (): void => notice.remove();
  if (action) {
    const button = create('button', 'plain', action.label);
    button.type = 'button';
    button.addEventListener('click', () => {
      leave();
      action.act();
    });
    notice.append(button);
  }
  const close = create('button', 'close', '×');
  close.type = 'button';
  close.ariaLabel = 'Dismiss';
  close.addEventListener('click', leave);
  notice.append(close);
  for (const old of notices.children) if (old instanceof HTMLElement && old.dataset['kind'] === kind) old.remove();
  notices.append(notice);
  if (lasts !== undefined) setTimeout(leave, lasts);
}
