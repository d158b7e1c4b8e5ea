// Values lie rotated in their pages, whatever the form: by a Walsh–Hadamard transform of each 64 components, or of as many as
// a power of two leaves. What stands out in one component is spread over all of them, so codes of few bits suit them. The
// transform is its own inverse: what attention leaves is rotated once more. A kernel's `unrotated(at, k)` gives the vector
// k of what lies at `at`.
const BLOCK4 = min(16u, HEAD_DIM4 & (~HEAD_DIM4 + 1u));
const ROTATED_SCALE = 1.0 / sqrt(f32(4u * BLOCK4));

// Components 4 i to 4 i + 3 of a head that lies at `at`.
fn rotated(at: u32, i: u32) -> vec4f {
  let first = i & ~(BLOCK4 - 1u);
  var sum = vec4f();
  for (var k = 0u; k < BLOCK4; k++) {
    let vector = unrotated(at, first + k);
    sum += select(vector, -vector, (countOneBits(i & k) & 1u) == 1u);
  }
  let pairs = vec4f(sum.x + sum.y, sum.x - sum.y, sum.z + sum.w, sum.z - sum.w);
  return vec4f(pairs.xy + pairs.zw, pairs.xy - pairs.zw) * ROTATED_SCALE;
}
