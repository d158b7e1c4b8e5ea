// 32 consecutive elements of a row.
struct Block { a: vec4f, b: vec4f, c: vec4f, d: vec4f, e: vec4f, f: vec4f, g: vec4f, h: vec4f }

// Eight of them.
struct Codes8 { a: vec4f, b: vec4f }

// The first and the second half apart: some formats scale them apart.
fn block_dots(x: Block, y: Block) -> vec2f {
  return vec2f(
    dot(x.a, y.a) + dot(x.b, y.b) + dot(x.c, y.c) + dot(x.d, y.d),
    dot(x.e, y.e) + dot(x.f, y.f) + dot(x.g, y.g) + dot(x.h, y.h));
}

fn block_dot(x: Block, y: Block) -> f32 {
  let halves = block_dots(x, y);
  return halves.x + halves.y;
}

fn block_times(x: Block, y: vec4f) -> Block {
  return Block(x.a * y, x.b * y, x.c * y, x.d * y, x.e * y, x.f * y, x.g * y, x.h * y);
}

fn half_sums(x: Block) -> vec2f {
  return vec2f(dot(x.a + x.b + x.c + x.d, vec4f(1.0)), dot(x.e + x.f + x.g + x.h, vec4f(1.0)));
}
