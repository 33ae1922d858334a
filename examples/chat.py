"""A streamed chat through Vel with the unchanged OpenAI SDK.

    pip install openai
    VEL_KEY=sk-vel-… python examples/chat.py "Say hello."
"""

import os
import sys

from openai import OpenAI

client = OpenAI(
    base_url=os.environ.get("VEL_URL", "http://127.0.0.1:8080") + "/v1",
    api_key=os.environ["VEL_KEY"],
)

stream = client.chat.completions.create(
    model=os.environ.get("VEL_MODEL", "sim-fast"),
    messages=[{"role": "user", "content": " ".join(sys.argv[1:]) or "Say hello."}],
    stream=True,
)
for chunk in stream:
    print(chunk.choices[0].delta.content or "", end="", flush=True)
print()
