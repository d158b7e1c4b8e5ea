// Values lie rotated in their pages, whatever the form: by a Walsh–Hadamard transform of each 64 components, or of as many as
// a power of two leaves. What stands out in one component is spread over all of them, so codes of few bits suit them. The
// transform is its own inverse: what attention leaves is rotated once more.
const BLOCK4 = min(16u, HEAD_DIM4 & (~HEAD_DIM4 + 1u));
const ROTATED_SCALE = 1.0 / sqrt(f32(4u * BLOCK4));

// The transform within a vector, and its scale, behind that of a block's vectors.
fn rotated_within(sum: vec4f) -> vec4f {
  let pairs = vec4f(sum.x + sum.y, sum.x - sum.y, sum.z + sum.w, sum.z - sum.w);
  return vec4f(pairs.xy + pairs.zw, pairs.xy - pairs.zw) * ROTATED_SCALE;
}
