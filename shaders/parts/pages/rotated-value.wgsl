// A vector of what is rotated, by who needs no other of it. A kernel's `unrotated(at, k)` gives the vector k of what lies at `at`.
// needs: rotation

// Components 4 i to 4 i + 3 of a head that lies at `at`.
fn rotated(at: u32, i: u32) -> vec4f {
  let first = i & ~(BLOCK4 - 1u);
  var sum = vec4f();
  for (var k = 0u; k < BLOCK4; k++) {
    let vector = unrotated(at, first + k);
    sum += select(vector, -vector, (countOneBits(i & k) & 1u) == 1u);
  }
  return rotated_within(sum);
}
