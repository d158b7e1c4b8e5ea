// What scores are multiplied by: of a query at `position`, and of a pair of vectors, the first of which are rotated.
fn score_scale(position: u32, pair: u32) -> f32 {
  return select(PASSED_SCALE, SCALE, pair < ROTATED4) * (1.0 + TEMPERATURE * log(f32(1u + position / TEMPERATURE_TOKENS)));
}
