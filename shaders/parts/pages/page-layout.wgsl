// How a head of a quantized page lies, in units; see src/kernels/formats/page-forms.ts.
const HALF4 = HEAD_DIM4 / 2u;
const KEY_RANGES = 2u;
const KEY_CODES = KEY_RANGES + HEAD_DIM4;
const VALUE_RANGES = PAGE_TOKENS / 4u;

// Units of a token's codes. Sixteen codes of two bits are a word, so a unit may be half empty.
fn row_of(bits: u32) -> u32 { return (HEAD_DIM4 * bits + 15u) / 16u; }

// What the codes of scales and of minima count, and the lowest minimum.
struct Steps { scale: f32, minimum: f32, lowest: f32 }
