import { type FoundFiles, modelUrl } from '../../src/api/index.ts';
import { formatBytes, modelName } from '../basics/format.ts';
import type { Question } from './offer.ts';

/**
 * Asks before anything is fetched from a linked address, which anyone may have chosen. `bytes`: the model's size, if
 * the hub stated it before.
 */
export function linkQuestion(model: string, bytes: number | undefined): Question {
  const url = new URL(modelUrl(model));
  const isElsewhere = url.origin !== location.origin;
  return {
    title: 'Open the model that this link names?',
    host: isElsewhere ? hostOf(url) : `${hostOf(url)}, and where it redirects to`,
    facts: [
      ['Model', nameOf(url)],
      ['Address', url.href],
      ...(bytes === undefined ? [] : [['Size', formatBytes(bytes)] satisfies [string, string]]),
    ],
    about: `${isElsewhere ? 'Nothing has been fetched from there yet. ' : ''}Open it only if you trust whoever sent the link: the file is kept on this device, and they control its answers.`,
    accept: 'Open model',
    decline: 'Not now',
  };
}

/** Asks before a download larger than the default model. `current`: the model that stays if the user declines. */
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

/** The loading model in a line. */
export function foundLine({ name, bytes, license }: FoundFiles): string {
  const url = new URL(modelUrl(name));
  // A name may contain characters that change the text direction.
  return [hostOf(url), nameOf(url), formatBytes(bytes), ...(license === undefined ? [] : [shownLicense(license)])].join(
    ' · ',
  );
}

const LONGEST_LICENSE = 60;

/** The license is a text of any length from the file. */
export const shownLicense = (license = 'not stated'): string =>
  license.length > LONGEST_LICENSE ? `${license.slice(0, LONGEST_LICENSE)} …` : license;

/** Host with port; the scheme of an address without a host. */
const hostOf = ({ host, protocol }: URL): string => (host === '' ? protocol : host);

const nameOf = ({ pathname }: URL): string => modelName(pathname) || 'not named';
