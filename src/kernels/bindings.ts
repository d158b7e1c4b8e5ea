import type { Binding } from '../gpu/kernel.ts';

/** A binding `array<element>` that a kernel only reads. */
export const reads = (name: string, element: string): Binding => ({ name, type: `array<${element}>`, access: 'read' });

/** A binding `array<element>` that a kernel writes, and may read. */
export const writes = (name: string, element: string): Binding => ({
  ...reads(name, element),
  access: 'read_write',
});
