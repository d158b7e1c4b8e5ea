// Codes as they are.
fn recoded(words: vec4u) -> vec4u { return words; }
