import { type FoundFiles, modelUrl } from '../../src/api/index.ts';
import { formatBytes, modelName } from '../basics/format.ts';
import type { Question } from './offer.ts';

/**
 * A page may be opened by a link of anybody's: nothing comes from where it names before this is answered. `bytes`: of the
 * model, where the hub has told of it before.
 */
export function linkQuestion(model: string, bytes: number | undefined): Question {
  const url = new URL(modelUrl(model));
  const isElsewhere = url.origin !== location.origin;
  return {
    title: 'Open the model that this link names?',
    host: isElsewhere ? hostOf(url) : `${hostOf(url)}, and where it leads on to`,
    facts: [
      ['Model', nameOf(url)],
      ['Address', url.href],
      ...(bytes === undefined ? [] : [['Size', formatBytes(bytes)] satisfies [string, string]]),
    ],
    about: `${isElsewhere ? 'Nothing has been fetched from there yet. ' : ''}Open it only if you trust whoever sent the link: the file is kept on this device, and what it answers is up to them.`,
    accept: 'Open model',
    decline: 'Not now',
  };
}

/** Before a download that is larger than the default model's. `current`: the model that stays where it is declined. */
export function downloadQuestion(
  { kind, name, bytes, missingBytes, license }: FoundFiles,
  current: string | undefined,
): Question {
  const url = new URL(modelUrl(name));
  const size = formatBytes(missingBytes);
  return {
    title: `Download ${size}?`,
    host: hostOf(url),
    facts: [
      [kind === 'model' ? 'Model' : 'Adapter', nameOf(url)],
      ['Size', missingBytes < bytes ? `${size} of ${formatBytes(bytes)}; the rest is here` : size],
      ['Licence', shownLicense(license)],
    ],
    about: 'It is kept on this device; later visits download nothing.',
    accept: `Download ${size}`,
    decline: current === undefined || kind === 'adapter' ? 'Not now' : `Keep ${current}`,
  };
}

/** What is loaded, in a line. */
export function foundLine({ name, bytes, license }: FoundFiles): string {
  const url = new URL(modelUrl(name));
  // A name may have signs that turn the direction of what comes after it.
  return [hostOf(url), nameOf(url), formatBytes(bytes), ...(license === undefined ? [] : [shownLicense(license)])].join(
    ' · ',
  );
}

const LONGEST_LICENSE = 60;

/** It is a text of the file's, of any length. */
export const shownLicense = (license = 'not told'): string =>
  license.length > LONGEST_LICENSE ? `${license.slice(0, LONGEST_LICENSE)} …` : license;

/** With the port; of addresses without a host the scheme. */
const hostOf = ({ host, protocol }: URL): string => (host === '' ? protocol : host);

const nameOf = ({ pathname }: URL): string => modelName(pathname) || 'not named';
