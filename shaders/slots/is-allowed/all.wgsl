// Of a stream that may draw any token.
fn is_allowed(token: u32) -> bool {
  return true;
}
