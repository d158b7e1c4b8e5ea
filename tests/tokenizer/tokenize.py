"""Token ids of texts by the `tokenizers` library. Arguments: the folder it is installed in, a tokenizer.json.

In: JSON list of texts. Out: JSON of two lists of lists of ids, with special tokens as text and as tokens; none are added.
"""

import json
import sys

sys.path.insert(0, sys.argv[1])
from tokenizers import Tokenizer  # noqa: E402

tokenizer = Tokenizer.from_file(sys.argv[2])
texts = json.load(sys.stdin)
results = []
for as_text in (True, False):
    tokenizer.encode_special_tokens = as_text
    results.append([encoding.ids for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)])
json.dump(results, sys.stdout)
