/** Bytes that contain the adapter key of a GGUF LoRA, which has no vocabulary before it. */
const HEADER_BYTES = 65_536;

/** The dropped files, with those of dropped folders. Call it before the event ends. */
export async function droppedFiles({ items }: DataTransfer): Promise<File[]> {
  const found = [...items].map((item) => {
    const entry = item.webkitGetAsEntry();
    const file = item.getAsFile();
    if (entry?.isDirectory) return filesIn(entry as FileSystemDirectoryEntry);
    return Promise.resolve(file ? [file] : []);
  });
  return (await Promise.all(found)).flat();
}

/** Files of this folder only: an adapter has no subfolders, and a checkout may have thousands. */
async function filesIn(folder: FileSystemDirectoryEntry): Promise<File[]> {
  const reader = folder.createReader();
  const entries: FileSystemEntry[] = [];
  // Each call returns a part; an empty one ends the list.
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) break;
    entries.push(...some);
  }
  const files = entries.filter((entry) => entry.isFile) as FileSystemFileEntry[];
  return Promise.all(files.map((entry) => new Promise<File>((resolve, reject) => entry.file(resolve, reject))));
}

/** Whether these files are a model: GGUF files but not an adapter. */
export async function areModel(files: readonly File[]): Promise<boolean> {
  const gguf = files.find(({ name }) => name.endsWith('.gguf'));
  if (!gguf) return false;
  const header = new Uint8Array(await gguf.slice(0, HEADER_BYTES).arrayBuffer());
  return !new TextDecoder('latin1').decode(header).includes('adapter.type');
}

/** The file, if it is a single text or PDF. */
export const textOf = ([file, ...others]: readonly File[]): File | undefined =>
  file && others.length === 0 && /\.(txt|md|pdf)$/i.test(file.name) ? file : undefined;
