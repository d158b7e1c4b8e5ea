/** Where the key of a GGUF LoRA stands, which has no vocabulary before it. */
const HEADER_BYTES = 65_536;

/** The files that were dropped, those of dropped folders among them. To be called before the event has ended. */
export async function droppedFiles({ items }: DataTransfer): Promise<File[]> {
  const found = [...items].map((item) => {
    const entry = item.webkitGetAsEntry();
    const file = item.getAsFile();
    if (entry?.isDirectory) return filesIn(entry as FileSystemDirectoryEntry);
    return Promise.resolve(file ? [file] : []);
  });
  return (await Promise.all(found)).flat();
}

/** Of this folder alone: an adapter has none below it, and a checkout may have thousands. */
async function filesIn(folder: FileSystemDirectoryEntry): Promise<File[]> {
  const reader = folder.createReader();
  const entries: FileSystemEntry[] = [];
  // Each call gives some; none are left when it gives none.
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) break;
    entries.push(...some);
  }
  const files = entries.filter((entry) => entry.isFile) as FileSystemFileEntry[];
  return Promise.all(files.map((entry) => new Promise<File>((resolve, reject) => entry.file(resolve, reject))));
}

/** Whether these are a model: GGUF files that are no adapter. */
export async function areModel(files: readonly File[]): Promise<boolean> {
  const gguf = files.find(({ name }) => name.endsWith('.gguf'));
  if (!gguf) return false;
  const header = new Uint8Array(await gguf.slice(0, HEADER_BYTES).arrayBuffer());
  return !new TextDecoder('latin1').decode(header).includes('adapter.type');
}
