import { byId, create } from '../basics/dom.ts';

export interface Notice {
  text: string;
  action?: { label: string; act: () => void };
  /** Called when the user dismisses it. */
  onDismiss?: () => void;
  /** Milliseconds until it disappears. */
  lasts?: number;
}

/** Shows a notice above the page; one per kind. */
export function notify(kind: string, { text, action, onDismiss, lasts }: Notice): void {
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
  close.addEventListener('click', () => {
    leave();
    onDismiss?.();
  });
  notice.append(close);
  withdraw(kind);
  notices.append(notice);
  if (lasts !== undefined) setTimeout(leave, lasts);
}

/** Removes the notice of this kind. */
export function withdraw(kind: string): void {
  for (const notice of byId('notices', HTMLElement).querySelectorAll<HTMLElement>('.notice'))
    if (notice.dataset['kind'] === kind) notice.remove();
}
