/**
 * Singular values of a dense `[rows, columns]` matrix, descending, by one-sided Jacobi over its columns (Hestenes,
 * 1958). Independent of any thin factors of the matrix.
 */
export function denseSingularValues(matrix: Float64Array, rows: number, columns: number): number[] {
  const column = Array.from({ length: columns }, (_, j) =>
    Array.from({ length: rows }, (_, i) => matrix[i * columns + j]!),
  );
  const inner = (x: number[], y: number[]): number => x.reduce((sum, value, i) => sum + value * y[i]!, 0);
  const scale = column.reduce((sum, x) => sum + inner(x, x), 0);
  for (let sweep = 0; sweep < 60; sweep++) {
    let off = 0;
    for (let p = 0; p < columns; p++) {
      for (let q = p + 1; q < columns; q++) {
        const x = column[p]!;
        const y = column[q]!;
        const gamma = inner(x, y);
        off = Math.max(off, Math.abs(gamma));
        if (Math.abs(gamma) < 1e-18 * scale) continue;
        const theta = 0.5 * Math.atan2(2 * gamma, inner(x, x) - inner(y, y));
        const c = Math.cos(theta);
        const s = Math.sin(theta);
        for (let i = 0; i < rows; i++) {
          const xi = x[i]!;
          x[i] = c * xi + s * y[i]!;
          y[i] = c * y[i]! - s * xi;
        }
      }
    }
    if (off < 1e-16 * scale) break;
  }
  return column.map((x) => Math.sqrt(inner(x, x))).sort((x, y) => y - x);
}
