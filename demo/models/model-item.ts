import { create } from '../basics/dom.ts';
import type { HubFacts } from './hub-listing.ts';
import { shownLicense } from './questions.ts';

/** A model in the picker. */
export interface ShownModel {
  name: string;
  about: string;
  size?: string | undefined;
  /** Its fit, or that it is stored, in words. */
  fit: string;
  /** Otherwise it is listed with the reason, and cannot be used. */
  isOffered: boolean;
  /** Recommended for this device. */
  isRecommended?: boolean;
  facts?: HubFacts | undefined;
  speed: string | undefined;
  isCurrent: boolean;
  use: () => void;
  /** If stored: its size and a function that deletes it. */
  stored?: { size: string; remove: () => void } | undefined;
}

const month = new Intl.DateTimeFormat('en', { month: 'short', year: 'numeric', timeZone: 'UTC' });

/** A model's list item with buttons to use it and to delete its stored files. */
export function modelItem(shown: ShownModel): HTMLElement {
  const { name, about, size, fit, isOffered, isRecommended = false, facts, speed, isCurrent } = shown;
  const item = create('li', 'model-item');
  if (isRecommended) item.append(create('p', 'model-recommended', 'Recommended for this device'));
  if (isCurrent) item.ariaCurrent = 'true';
  const told = [size, isOffered ? fit : undefined, speed, facts && month.format(facts.created)];
  const terms = create('p', 'model-terms');
  const parts = [...told, facts && licenseLink(facts, name)].filter((each) => each !== undefined);
  terms.append(...parts.flatMap((each, i) => (i === 0 ? [each] : [' · ', each])));
  item.append(create('strong', 'model-name', name), create('p', 'model-about', about));
  if (!isOffered) item.append(create('p', 'model-reason', fit));
  item.append(terms, actions(shown, isRecommended ? 'primary' : 'quiet'));
  return item;
}

function actions({ name, isOffered, isCurrent, use, stored }: ShownModel, kind: string): HTMLElement {
  const box = create('div', 'model-actions');
  if (isCurrent) box.append(create('span', 'model-current', 'In use'));
  else {
    const button = create('button', kind, 'Use');
    button.type = 'button';
    button.ariaLabel = `Use ${name}`;
    button.disabled = !isOffered;
    button.addEventListener('click', use);
    box.append(button);
  }
  // A model in use continues until its GPU is lost, and could not be reopened after a deletion.
  if (stored && !isCurrent) box.append(deletion(name, stored, box));
  return box;
}

/** Replaces the actions by a confirmation. */
function deletion(name: string, { size, remove }: NonNullable<ShownModel['stored']>, box: HTMLElement): HTMLElement {
  const button = create('button', 'plain', 'Delete');
  button.type = 'button';
  button.ariaLabel = `Delete ${name}`;
  button.addEventListener('click', () => {
    const before = [...box.childNodes];
    const confirm = create('button', 'quiet danger', `Delete ${size}`);
    const keep = create('button', 'quiet', 'Keep');
    confirm.type = keep.type = 'button';
    confirm.addEventListener('click', remove);
    keep.addEventListener('click', () => {
      box.replaceChildren(...before);
      button.focus();
    });
    box.replaceChildren(confirm, keep);
    keep.focus();
  });
  return button;
}

/** The text comes from a stranger; CSS isolates its direction. */
function licenseLink({ license, licenseUrl }: HubFacts, name: string): HTMLElement {
  const link = create('a', '', shownLicense(license));
  link.href = licenseUrl;
  link.target = '_blank';
  link.rel = 'noopener noreferrer';
  link.ariaLabel = `Licence of ${name}: ${shownLicense(license)}`;
  return link;
}
