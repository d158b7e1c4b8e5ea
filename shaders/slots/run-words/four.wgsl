// As two, of four words.
alias RunScales = vec4u;
const RUN_WORDS = 4u;
