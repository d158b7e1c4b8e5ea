// Four signed bytes of a word, with packed_4x8_integer_dot_product.
fn unpack_bytes(word: u32) -> vec4i { return unpack4xI8(word); }
