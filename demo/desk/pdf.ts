import { getDocument, type PDFDocumentProxy, PDFWorker } from 'pdfjs-dist/legacy/build/pdf.mjs';
import Worker from 'pdfjs-dist/legacy/build/pdf.worker.mjs?worker';
import { type Line, type PagedText, textOfPages } from './pdf-text.ts';

/** Why a PDF cannot be read; its message completes a sentence that begins with the file's name. */
class PdfFailure extends Error {}

export interface PdfOptions {
  /** Most characters of the text. */
  most: number;
  /** Is called before each page. */
  onPage: (page: number, count: number) => void;
  signal: AbortSignal;
}

/** pdf.js's names of errors, and what they mean. */
const REASONS: Record<string, string> = {
  PasswordException: 'is encrypted: a password opens it',
  InvalidPDFException: 'is not a PDF, or a damaged one',
};

/** Reads the text of a PDF in a worker of its own. An error's message completes a sentence that begins with the file's name. */
export async function readPdf(file: File, options: PdfOptions): Promise<PagedText> {
  const { most, signal } = options;
  const data = await file.arrayBuffer();
  signal.throwIfAborted();
  const port = new Worker();
  const missing: string[] = [];
  /** pdf.js asks for the character maps of fonts that it does not have, and would go on with wrong characters. */
  class NoCharacterMaps {
    fetch({ name }: { name: string }): Promise<never> {
      missing.push(name);
      return Promise.reject(new Error(name));
    }
  }
  const stopped = new Promise<never>((_, reject) => {
    port.addEventListener('error', () => reject(new PdfFailure('made the reader of PDFs fail')));
    signal.addEventListener('abort', () => reject(signal.reason as Error));
  });
  const task = getDocument({
    data,
    worker: PDFWorker.create({ port }),
    CMapReaderFactory: NoCharacterMaps,
    // A part that cannot be read is an error, not an omission.
    stopAtErrors: true,
    // Only the text is wanted, and the page's policy forbids the rest.
    ...{ isEvalSupported: false, useWasm: false, useWorkerFetch: false, disableFontFace: true, verbosity: 0 },
  });
  try {
    const read = await Promise.race([stopped, task.promise.then((document) => pagesOf(document, options))]);
    if (missing.length > 0)
      throw new PdfFailure(`has a font whose character map is not here (${[...new Set(missing)].join(', ')})`);
    const found = textOfPages(read);
    if (found.text.length > most) throw tooLong(most);
    if (found.text === '') throw new PdfFailure('has no text: its pages may be pictures');
    return found;
  } catch (error) {
    if (error instanceof PdfFailure || signal.aborted) throw error;
    const { name, message } = error as Error;
    throw new PdfFailure(REASONS[name] ?? `cannot be read (${message})`, { cause: error });
  } finally {
    port.terminate();
  }
}

const tooLong = (most: number): PdfFailure =>
  new PdfFailure(`has more than ${most.toLocaleString('en')} characters, and no more are read`);

async function pagesOf(document: PDFDocumentProxy, { most, onPage, signal }: PdfOptions): Promise<Line[][]> {
  const pages: Line[][] = [];
  let count = 0;
  for (let number = 1; number <= document.numPages; number++) {
    signal.throwIfAborted();
    onPage(number, document.numPages);
    try {
      const lines = await linesOf(document, number);
      pages.push(lines);
      count += lines.reduce((sum, { text }) => sum + text.length, 0);
    } catch (cause) {
      throw new PdfFailure(`is damaged: page ${number} cannot be read`, { cause });
    }
    if (count > most) throw tooLong(most);
  }
  return pages;
}

async function linesOf(document: PDFDocumentProxy, number: number): Promise<Line[]> {
  const page = await document.getPage(number);
  const { items } = await page.getTextContent();
  const lines: Line[] = [];
  let line: Line | undefined;
  for (const item of items) {
    if (!('str' in item)) continue;
    const [x = 0, y = 0] = item.transform.slice(4) as number[];
    if (!line && item.str.trim() !== '') lines.push((line = { text: '', x, y, size: item.height }));
    if (line) line.text += item.str;
    if (item.hasEOL) line = undefined;
  }
  for (const each of lines) each.text = each.text.replace(/\s+/g, ' ').trim();
  return lines;
}
