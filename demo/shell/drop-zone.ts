import { byId } from '../basics/dom.ts';
import { areModel, droppedFiles } from './dropped-files.ts';

export interface DropZoneEvents {
  onModel: (files: File[]) => void;
  onAdapter: (files: File[]) => void;
}

/** The whole page takes files: a model, or an adapter's. */
export function watchDrops({ onModel, onAdapter }: DropZoneEvents): void {
  const sign = byId('drop-sign', HTMLElement);
  const isOfFiles = (event: DragEvent): boolean => event.dataTransfer?.types.includes('Files') ?? false;
  document.addEventListener('dragover', (event) => {
    if (!isOfFiles(event)) return;
    event.preventDefault();
    sign.hidden = false;
  });
  // Left for something outside the page, not for another of its elements.
  document.addEventListener('dragleave', ({ relatedTarget }) => {
    if (relatedTarget === null) sign.hidden = true;
  });
  document.addEventListener('drop', (event) => {
    sign.hidden = true;
    if (!event.dataTransfer || !isOfFiles(event)) return;
    event.preventDefault();
    document.body.ariaBusy = 'true'; // until it is known what they are
    void droppedFiles(event.dataTransfer)
      .then(async (files) => {
        if (files.length > 0) ((await areModel(files)) ? onModel : onAdapter)(files);
      })
      .finally(() => (document.body.ariaBusy = null));
  });
}
