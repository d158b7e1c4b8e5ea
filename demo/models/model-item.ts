import { create } from '../basics/dom.ts';
import type { HubFacts } from './hub-listing.ts';
import { shownLicense } from './questions.ts';

/** A model as the picker shows it. */
export interface ShownModel {
  name: string;
  about: string;
  size?: string | undefined;
  /** Whether it fits, in words. */
  fit?: string | undefined;
  /** Else it is shown with the reason, and cannot be chosen. */
  isOffered: boolean;
  facts?: HubFacts | undefined;
  speed: string | undefined;
  isCurrent: boolean;
  choose: () => void;
}

const month = new Intl.DateTimeFormat('en', { month: 'short', year: 'numeric', timeZone: 'UTC' });

/** A button that opens it, and below what the hub says of it, with a link to the licence. */
export function modelItem({
  name,
  about,
  size,
  fit,
  isOffered,
  facts,
  speed,
  isCurrent,
  choose,
}: ShownModel): HTMLElement {
  const item = create('li', 'model-item');
  const button = create('button', 'model-choice');
  button.type = 'button';
  button.disabled = !isOffered;
  const beside = create('span', 'model-facts');
  for (const told of [size, isOffered ? fit : undefined])
    if (told !== undefined) beside.append(create('span', '', told));
  button.append(create('strong', '', name), beside, create('span', 'model-about', about));
  if (!isOffered) button.append(create('span', 'model-reason', fit));
  if (isCurrent) button.ariaCurrent = 'true';
  button.addEventListener('click', choose);
  item.append(button);
  const told = [facts && month.format(facts.created), facts && licenseLink(facts, name), speed].filter(
    (each) => each !== undefined,
  );
  if (told.length > 0) {
    const terms = create('p', 'model-terms');
    terms.append(...told.flatMap((each, i) => (i === 0 ? [each] : [' · ', each])));
    item.append(terms);
  }
  return item;
}

/** Its text is a stranger's; CSS keeps its direction to itself. */
function licenseLink({ license, licenseUrl }: HubFacts, name: string): HTMLElement {
  const link = create('a', '', shownLicense(license));
  link.href = licenseUrl;
  link.target = '_blank';
  link.rel = 'noopener noreferrer';
  link.ariaLabel = `Licence of ${name}: ${shownLicense(license)}`;
  return link;
}
