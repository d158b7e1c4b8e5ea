// MXFP4: of each nibble the upper bit is a sign, the others a size; it becomes 8 plus or minus the size.
fn recoded(words: vec4u) -> vec4u {
  let signs = (words >> vec4u(3u)) & vec4u(0x11111111u);
  return (words ^ (vec4u(0x88888888u) | (signs * 7u))) + signs;
}
