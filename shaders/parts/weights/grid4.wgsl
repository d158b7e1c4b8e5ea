// Elements of IQ3_XXS: sizes from GRID, and signs. As bytes of codes/8bit.wgsl they stand 1, 256, 65536 and 16777216 too large.
// needs: grid
const CODE_STEP = vec4f(1.0, 0.00390625, 0.0000152587890625, 5.9604644775390625e-8);

// Four elements, whose signs begin at the lowest bit.
fn grid4(index: u32, signs: u32) -> vec4f {
  let sizes = vec4f(vec4i(vec4u(GRID[index & 255u]) & vec4u(0xffu, 0xff00u, 0xff0000u, 0xff000000u)));
  let bits = (vec4u(signs) << vec4u(31u, 30u, 29u, 28u)) & vec4u(0x80000000u);
  return bitcast<vec4f>(bitcast<vec4u>(sizes) | bits);
}

// Eight signs from seven.
fn signs8(bits: u32) -> u32 { return (bits & 127u) | ((countOneBits(bits & 127u) & 1u) << 7u); }
