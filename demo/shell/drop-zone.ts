import { byId } from '../basics/dom.ts';
import { areModel, droppedFiles, textOf } from './dropped-files.ts';

export interface DropZoneEvents {
  onModel: (files: File[]) => void;
  onAdapter: (files: File[]) => void;
  onText: (file: File) => void;
}

/** Makes the whole page a drop target for a model, an adapter or a text. */
export function watchDrops({ onModel, onAdapter, onText }: DropZoneEvents): void {
  const sign = byId('drop-sign', HTMLElement);
  const isOfFiles = (event: DragEvent): boolean => event.dataTransfer?.types.includes('Files') ?? false;
  document.addEventListener('dragover', (event) => {
    if (!isOfFiles(event)) return;
    event.preventDefault();
    sign.hidden = false;
  });
  // The pointer left the page, not just one of its elements.
  document.addEventListener('dragleave', ({ relatedTarget }) => {
    if (relatedTarget === null) sign.hidden = true;
  });
  document.addEventListener('drop', (event) => {
    sign.hidden = true;
    if (!event.dataTransfer || !isOfFiles(event)) return;
    event.preventDefault();
    document.body.ariaBusy = 'true'; // until the files are identified
    void droppedFiles(event.dataTransfer)
      .then(async (files) => {
        const text = textOf(files);
        if (text) onText(text);
        else if (files.length > 0) ((await areModel(files)) ? onModel : onAdapter)(files);
      })
      .finally(() => (document.body.ariaBusy = null));
  });
}
