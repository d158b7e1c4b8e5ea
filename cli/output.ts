/** What a command prints: the same as text, or as one JSON object with `--json`. */
export interface Output {
  json: object;
  text: string;
}
