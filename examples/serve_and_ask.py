"""Ask a running service for the labels of texts: xmcpipe serve MODEL, then

python examples/serve_and_ask.py http://127.0.0.1:8000 "A plugin that adds spell checking" "A chess game"
"""

import json
import sys
import urllib.error
import urllib.request

address, *texts = sys.argv[1:]
request = urllib.request.Request(
    f"{address}/predict",
    json.dumps({"texts": texts, "k": 3}).encode(),
    {"Content-Type": "application/json"},
)
try:
    with urllib.request.urlopen(request) as response:
        results = json.load(response)["results"]
except urllib.error.HTTPError as error:
    sys.exit(json.load(error)["error"])
for text, result in zip(texts, results, strict=True):
    print(text)
    for label in result["labels"]:
        print(f"  {label['label']:30} {label['probability'] or label['score']:.2f}")
