// B · h of a tile of eight tokens for eight outputs, summed over the adapters of their mix. Columns of B are read up to
// the highest rank in the tile; a token takes none above its own.
// needs: lora-half, lora-linear, low-columns

// A component of h of the tile's first four tokens and of the others; and of two components, the first one even.
struct Column { first: vec4f, second: vec4f }
struct Columns { even: Column, odd: Column }

fn add_column(sums: Tile, w: mat2x4f, h: Column) -> Tile {
  return Tile(
    sums.a + h.first.x * w, sums.b + h.first.y * w, sums.c + h.first.z * w, sums.d + h.first.w * w,
    sums.e + h.second.x * w, sums.f + h.second.y * w, sums.g + h.second.z * w, sums.h + h.second.w * w);
}

fn either(before: mat2x4f, after: mat2x4f, is_after: bool) -> mat2x4f {
  return mat2x4f(select(before[0], after[0], is_after), select(before[1], after[1], is_after));
}

// Whatever B holds there, a token that does not take the column keeps its sum.
fn add_column_where(sums: Tile, w: mat2x4f, h: Column, first: vec4<bool>, second: vec4<bool>) -> Tile {
  let added = add_column(sums, w, h);
  return Tile(
    either(sums.a, added.a, first.x), either(sums.b, added.b, first.y),
    either(sums.c, added.c, first.z), either(sums.d, added.d, first.w),
    either(sums.e, added.e, second.x), either(sums.f, added.f, second.y),
    either(sums.g, added.g, second.z), either(sums.h, added.h, second.w));
}

// Eight outputs of a column of B; zeros where they are another linear's.
fn lora_column(at: u32, is_own: bool) -> mat2x4f {
  return mat2x4f(
    select(vec4f(), lora_half4(lora[at]), is_own), select(vec4f(), lora_half4(lora[at + 1u]), is_own));
}

// `row`: the first of the outputs. `ends`: the same of the workgroup's first and last invocation, so that all of them
// come to the same broadcasts.
fn lora_tile(token: u32, row: u32, ends: vec2u, local: u32) -> Tile {
  let next = NUM_LINEARS * params.adapters * params.lowStride;
  var sums = Tile();
  for (var i = 0u; i < NUM_LINEARS; i++) {
    let linear = lora_linear(i);
    if (ends.y < linear.start || ends.x >= linear.start + linear.width) { continue; }
    let is_own = row >= linear.start && row < linear.start + linear.width;
    let own_row = select(0u, (row - linear.start) / 4u, is_own);
    let step = linear.width / 4u;
    for (var index = 0u; index < params.adapters; index++) {
      let at = low_at(token, index, i);
      let b = low[at + 1u] + own_row;
      let first = vec4u(low[at], low[at + next], low[at + 2u * next], low[at + 3u * next]);
      let second =
        vec4u(low[at + 4u * next], low[at + 5u * next], low[at + 6u * next], low[at + 7u * next]);
      let lowest = min(first, second);
      let highest = max(first, second);
      let least = min(min(lowest.x, lowest.y), min(lowest.z, lowest.w));
      let rank = max(max(highest.x, highest.y), max(highest.z, highest.w));
      // Four columns at a time, as long as all tokens take them: the sums are spilled between steps.
      let whole = least & ~3u;
      for (var k = 0u; k < whole; k += 4u) {
        let h = low_columns(at, next, k, local);
        let g = low_columns(at, next, k + 2u, local);
        sums = add_column(sums, lora_column(b + k * step, is_own), h.even);
        sums = add_column(sums, lora_column(b + (k + 1u) * step, is_own), h.odd);
        sums = add_column(sums, lora_column(b + (k + 2u) * step, is_own), g.even);
        sums = add_column(sums, lora_column(b + (k + 3u) * step, is_own), g.odd);
      }
      for (var k = whole; k < rank; k += 2u) {
        let h = low_columns(at, next, k, local);
        let w = lora_column(b + k * step, is_own);
        sums = add_column_where(sums, w, h.even, vec4u(k) < first, vec4u(k) < second);
        let v = lora_column(b + min(k + 1u, rank - 1u) * step, is_own);
        sums = add_column_where(sums, v, h.odd, vec4u(k + 1u) < first, vec4u(k + 1u) < second);
      }
    }
  }
  return sums;
}
