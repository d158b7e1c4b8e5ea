// Scale of the first half of a block and of the second, then what is added to either half. MINIMA: whether nothing is, the
// same to both, or something to each.
const MINIMA = 0u;

// The words of the run of blocks that a block is in: what is read at once. Tiles keep it for as long as a run lasts.
alias RunScales = u32;

fn run_scales(row: u32, block: u32) -> RunScales { return 0u; }

// Those of the matrix's `i`th block, which is in the run.
fn scales_of(run: RunScales, i: u32) -> vec4f { return vec4f(1.0, 1.0, 0.0, 0.0); }

fn scales(row: u32, block: u32) -> vec4f { return scales_of(run_scales(row, block), row * BLOCKS + block); }
