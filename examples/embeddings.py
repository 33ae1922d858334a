"""How close texts are to the first one, through Vel with the unchanged OpenAI SDK.

    pip install openai
    VEL_KEY=sk-vel-… python examples/embeddings.py "a cat" "a kitten" "a lorry"

The SDK asks for base64 and makes numbers of it; Vel sees to it that it gets base64, whatever the provider sends.
"""

import math
import os
import sys

from openai import OpenAI

client = OpenAI(
    base_url=os.environ.get("VEL_URL", "http://127.0.0.1:8080") + "/v1",
    api_key=os.environ["VEL_KEY"],
)

texts = sys.argv[1:] or ["a cat", "a kitten", "a lorry"]
answer = client.embeddings.create(model=os.environ.get("VEL_MODEL", "sim-fast"), input=texts)
vectors = [item.embedding for item in answer.data]


def closeness(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b)) / (math.hypot(*a) * math.hypot(*b))


for text, vector in zip(texts, vectors):
    print(f"{closeness(vectors[0], vector):.3f}  {text}")
