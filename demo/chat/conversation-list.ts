import type { Conversation } from './conversations.ts';
import { byId, create } from '../basics/dom.ts';
import type { ExportForm } from './export.ts';
import { downloadConversation } from './export.ts';

export interface ConversationListEvents {
  onOpen: (conversation: Conversation) => void;
  onRename: (conversation: Conversation, title: string) => void;
  onDelete: (conversation: Conversation) => void;
}

/** The list of conversations: beside the chat, or above it on a narrow page. */
export class ConversationList {
  private readonly sidebar = byId('sidebar', HTMLElement);
  private readonly list = byId('conversations', HTMLUListElement);
  private readonly menu = byId('conversation-menu', HTMLElement);
  /** The conversation of the menu. */
  private chosen: Conversation | undefined;

  constructor(private readonly events: ConversationListEvents) {
    this.addAction('rename-conversation', (conversation) => this.rename(conversation));
    this.addAction('delete-conversation', (conversation) => events.onDelete(conversation));
    const exportAs = (form: ExportForm) => (conversation: Conversation) => downloadConversation(conversation, form);
    this.addAction('export-markdown', exportAs('md'));
    this.addAction('export-json', exportAs('json'));
  }

  show(
    conversations: readonly Conversation[],
    current: Conversation,
    isAnswering: (conversation: Conversation) => boolean,
  ): void {
    // Redrawing the list would take the focus from a title being edited.
    if (this.list.querySelector('input')) return;
    const { activeElement } = document;
    const focused = activeElement?.closest('#conversations li')?.getAttribute('data-id');
    const place = activeElement?.className;
    this.list.replaceChildren(
      ...conversations.map((each) => this.item(each, each.id === current.id, isAnswering(each))),
    );
    if (focused) this.itemOf(focused)?.querySelector<HTMLElement>(`.${place}`)?.focus();
    byId('conversations-empty', HTMLElement).hidden = conversations.length > 0;
    const isElsewhere = conversations.some((each) => each.id !== current.id && isAnswering(each));
    byId('open-sidebar', HTMLElement).classList.toggle('answering', isElsewhere);
  }

  private itemOf(id: string): HTMLElement | undefined {
    return [...this.list.children].find(
      (each): each is HTMLElement => each instanceof HTMLElement && each.dataset['id'] === id,
    );
  }

  private item(conversation: Conversation, isCurrent: boolean, isAnswering: boolean): HTMLElement {
    const item = create('li', '');
    item.dataset['id'] = conversation.id;
    const open = create('button', 'conversation', conversation.title);
    open.type = 'button';
    open.title = conversation.title;
    if (isCurrent) open.ariaCurrent = 'true';
    open.addEventListener('click', () => {
      this.events.onOpen(conversation);
      this.close();
    });
    const more = create('button', 'more', '⋯');
    more.type = 'button';
    more.ariaLabel = `Actions for ${conversation.title}`;
    more.setAttribute('popovertarget', this.menu.id);
    more.addEventListener('click', () => {
      this.chosen = conversation;
      const { right, bottom } = more.getBoundingClientRect();
      this.menu.style.top = `${Math.min(bottom + 4, innerHeight - 190)}px`;
      this.menu.style.left = `${Math.min(right - 28, innerWidth - 200)}px`;
    });
    item.append(open);
    if (isAnswering) {
      const sign = create('span', 'answering');
      sign.role = 'img';
      sign.ariaLabel = sign.title = 'An answer is being written';
      item.append(sign);
    }
    item.append(more);
    return item;
  }

  private addAction(id: string, act: (conversation: Conversation) => void): void {
    byId(id, HTMLButtonElement).addEventListener('click', () => {
      this.menu.hidePopover();
      if (this.chosen) act(this.chosen);
    });
  }

  private rename(conversation: Conversation): void {
    const open = this.itemOf(conversation.id)?.querySelector('.conversation');
    if (!open) return;
    const field = create('input', 'rename');
    field.ariaLabel = 'Title';
    field.value = conversation.title;
    let hasEnded = false; // removing the field fires blur
    const end = (isKept: boolean): void => {
      if (hasEnded) return;
      hasEnded = true;
      const title = field.value.trim();
      field.replaceWith(open);
      if (isKept && title !== '') this.events.onRename(conversation, title);
    };
    field.addEventListener('keydown', (event) => {
      if (event.key === 'Enter' && !event.isComposing) end(true);
      if (event.key !== 'Escape') return;
      event.preventDefault(); // Escape would close the list too
      end(false);
    });
    field.addEventListener('blur', () => end(true));
    open.replaceWith(field);
    field.focus();
    field.select();
  }

  /** On a narrow page the list covers the chat. */
  private close(): void {
    if (this.sidebar.matches(':popover-open')) this.sidebar.hidePopover();
  }
}
