// Bit e of a block's word is element e: 0 or 2, from which 1 is subtracted. Bits are masked but not shifted down (nibbles.wgsl).
const CODE_STEP = vec4f(2.0, 1.0, 0.5, 0.25);

fn bits4(word: u32) -> vec4f { return vec4f(vec4i(vec4u(word) & vec4u(1u, 2u, 4u, 8u))); }
