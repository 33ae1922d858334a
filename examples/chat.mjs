// A streamed chat through Vel with the unchanged OpenAI SDK.
//
//     npm install openai
//     VEL_KEY=sk-vel-… node examples/chat.mjs "Say hello."

import OpenAI from "openai";

const client = new OpenAI({
  baseURL: (process.env.VEL_URL ?? "http://127.0.0.1:8080") + "/v1",
  apiKey: process.env.VEL_KEY,
});

const stream = await client.chat.completions.create({
  model: process.env.VEL_MODEL ?? "sim-fast",
  messages: [{ role: "user", content: process.argv.slice(2).join(" ") || "Say hello." }],
  stream: true,
});
for await (const chunk of stream) {
  process.stdout.write(chunk.choices[0].delta.content ?? "");
}
process.stdout.write("\n");
