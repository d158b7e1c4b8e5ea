export interface TinyPdfOptions {
  /** Needs a password that nobody knows. */
  isEncrypted?: boolean;
  /** The font's encoding: a name of PDF's. */
  encoding?: string;
}

const LEADING = 14;
const TOP = 780;

/** A PDF with a line of text for each string; an empty string is an empty line. */
export function tinyPdf(
  pages: readonly (readonly string[])[],
  { isEncrypted = false, encoding = 'WinAnsiEncoding' }: TinyPdfOptions = {},
): Buffer {
  const isComposite = encoding !== 'WinAnsiEncoding';
  const font = isComposite
    ? `<< /Type /Font /Subtype /Type0 /BaseFont /Song /Encoding /${encoding} /DescendantFonts [<< /Type /Font /Subtype /CIDFontType0 /BaseFont /Song /CIDSystemInfo << /Registry (Adobe) /Ordering (GB1) /Supplement 2 >> /FontDescriptor << /Type /FontDescriptor /FontName /Song /Flags 4 >> >>] >>`
    : `<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /${encoding} >>`;
  const objects = ['<< /Type /Catalog /Pages 2 0 R >>', '', font];
  const kids: string[] = [];
  for (const lines of pages) {
    const shown = lines.map((line) => `(${line.replace(/[\\()]/g, '\\$&')}) Tj T*`).join('\n');
    const content = `BT /F1 11 Tf ${LEADING} TL 72 ${TOP} Td\n${shown}\nET`;
    objects.push(`<< /Length ${content.length} >>\nstream\n${content}\nendstream`);
    kids.push(`${objects.length + 1} 0 R`);
    const resources = '<< /Font << /F1 3 0 R >> >>';
    objects.push(
      `<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents ${objects.length} 0 R /Resources ${resources} >>`,
    );
  }
  objects[1] = `<< /Type /Pages /Kids [${kids.join(' ')}] /Count ${kids.length} >>`;
  const hex = `<${'5a'.repeat(32)}>`;
  const encryption = isEncrypted
    ? ` /Encrypt << /Filter /Standard /V 1 /R 2 /P -4 /O ${hex} /U ${hex} >> /ID [<00> <00>]`
    : '';
  let text = '%PDF-1.4\n';
  const places = objects.map((object, i) => {
    const place = text.length;
    text += `${i + 1} 0 obj\n${object}\nendobj\n`;
    return `${String(place).padStart(10, '0')} 00000 n \n`;
  });
  const size = objects.length + 1;
  text += `xref\n0 ${size}\n0000000000 65535 f \n${places.join('')}trailer\n<< /Size ${size} /Root 1 0 R${encryption} >>\nstartxref\n${text.length}\n%%EOF\n`;
  return Buffer.from(text, 'latin1');
}
