fn multiply_add(a: number4, b: number4, c: number4) -> number4 { return fma(a, b, c); }
