// Words of a file's bytes. Halves stand at even bytes, and with WHOLE_WORDS blocks begin at words.

// Unit of `raw` that goes to unit i: rows (2t, 2t + 1) of a head become its rows (t, t + headDim / 2), unless it has none.
fn source_of(i: u32) -> u32 {
  if (params.headDim == 0u) { return params.firstRow * params.rowUnits + i; }
  let row = params.firstRow + i / params.rowUnits;
  let place = row % params.headDim;
  let half = params.headDim / 2u;
  let origin = row - place + select(2u * (place - half) + 1u, 2u * place, place < half);
  return origin * params.rowUnits + i % params.rowUnits;
}

fn half_at(byte: u32) -> u32 { return (raw[byte / 4u] >> (8u * (byte & 2u))) & 0xffffu; }

// In two shifts: one by 32 bits is none at all.
fn word_at(byte: u32) -> u32 {
  let low = raw[byte / 4u];
  if (WHOLE_WORDS) { return low; }
  let shift = 8u * (byte & 3u);
  return (low >> shift) | ((raw[byte / 4u + 1u] << 1u) << (31u - shift));
}

fn words_at(byte: u32) -> vec4u {
  let i = byte / 4u;
  let words = vec4u(raw[i], raw[i + 1u], raw[i + 2u], raw[i + 3u]);
  if (WHOLE_WORDS) { return words; }
  let shift = 8u * (byte & 3u);
  return (words >> vec4u(shift)) | ((vec4u(words.yzw, raw[i + 4u]) << vec4u(1u)) << vec4u(31u - shift));
}

// An exponent of ones, which NaN and infinities have, carries into the sign when STEP, its lowest bit, is added.
fn are_finite(words: vec4u) -> bool {
  let carried = ((words & vec4u(EXPONENTS)) + vec4u(STEP)) & vec4u(SIGNS);
  return all(carried == vec4u());
}
