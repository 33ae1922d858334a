// Makes list.json of the npm package @pydantic/genai-prices. A person runs it, no build and no test does:
//
//	npm pack @pydantic/genai-prices@VERSION && tar xzf pydantic-genai-prices-VERSION.tgz
//	node accounting/prices/generate.mjs package > accounting/prices/list.json
//
// Only what Vel can speak to is taken. Prices become decimals as text, in dollars for the units that accounting/class.go
// names. What Vel does not measure is left out; a rule or a constraint that is not known here ends the run.
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";

const from = process.argv[2];
const manifest = JSON.parse(readFileSync(join(from, "package.json"), "utf8"));
const taken = ["anthropic", "deepseek", "google", "groq", "mistral", "openai", "perplexity", "x-ai"];

// classes says which of its prices are which of ours, and by how many decimal places theirs is to be moved.
const classes = {
  input_mtok: ["input", 0], cache_read_mtok: ["cached_input", 0], cache_write_mtok: ["cache_write", 0],
  output_mtok: ["output", 0], output_reasoning_mtok: ["reasoning", 0],
  input_audio_mtok: ["audio_input", 0], output_audio_mtok: ["audio_output", 0],
  input_image_mtok: ["image_input", 0], output_image_mtok: ["image_output", 0],
  audio_hours: ["audio_hour", 0], web_searches_kcount: ["search", 3], requests_kcount: ["request", 3],
};
const unmeasured = new Set([
  "cache_write_1h_mtok", "cache_audio_read_mtok", "cache_image_read_mtok", "input_video_mtok", "output_video_mtok",
  "output_citation_mtok", "input_audio_hours", "input_document_kpages", "input_annotated_document_kpages",
  "storage_searches_kcount", "input_text_messages_kcount",
]);

// free is what costs nothing on purpose. Others without a price are not in the list: nothing is free by accident.
const free = new Set(["moderation"]);

// decimal writes a number without exponent, the point moved to the left.
function decimal(n, places) {
  let text = String(n);
  const [mantissa, exponent] = text.split("e");
  let [whole, part = ""] = mantissa.split(".");
  places -= Number(exponent ?? 0);
  for (; places > 0; places--) {
    part = (whole.slice(-1) || "0") + part;
    whole = whole.slice(0, -1);
  }
  for (; places < 0; places++) {
    whole += part[0] ?? "0";
    part = part.slice(1);
  }
  whole = whole.replace(/^0+(?=\d)/, "") || "0";
  part = part.replace(/0+$/, "");
  return part ? `${whole}.${part}` : whole;
}

// rates are the prices of one period: the base, then what is different above a number of input tokens.
function rates(prices) {
  const base = {}, tiers = new Map();
  for (const [key, price] of Object.entries(prices)) {
    if (unmeasured.has(key)) continue;
    if (!classes[key]) throw new Error(`the price ${key} is not known`);
    const [name, places] = classes[key];
    base[name] = decimal(price.base ?? price, places);
    for (const { start, price: above } of price.tiers ?? []) {
      tiers.set(start, { ...tiers.get(start), [name]: decimal(above, places) });
    }
  }
  if (tiers.size > 0) {
    base.tiers = [...tiers].sort(([a], [b]) => a - b).map(([above, tier]) => ({ above, ...tier }));
  }
  return base;
}

const time = (text) => /^(\d\d:\d\d):00Z$/.exec(text)[1];

function period({ constraint, prices }) {
  switch (constraint?.type) {
    case undefined: return rates(prices);
    case "start_date": return { from: constraint.start_date, ...rates(prices) };
    case "time_of_date": return { daily: [time(constraint.start_time), time(constraint.end_time)], ...rates(prices) };
  }
  throw new Error(`the constraint ${JSON.stringify(constraint)} is not known`);
}

// rule is how names of a model are known. Go's expressions have no look-ahead: "no speech" is said in another way.
function rule(match) {
  const [kind, value] = Object.entries(match)[0];
  if (kind === "or" || kind === "and") return { [kind]: value.map(rule) };
  if (kind !== "regex") return { [kind]: value.toLowerCase() };
  if (value === "^(?!.*-[tT][tT][sS](?:$|-))") return { not: { regex: "-[tT][tT][sS](?:$|-)" } };
  if (value.includes("(?")) throw new Error(`the expression ${value} is not known`);
  return { regex: value };
}

function model({ id, match, prices }) {
  const periods = (Array.isArray(prices) ? prices : [{ prices }]).map(period);
  return { id, match: rule(match), prices: periods, ...(free.has(id) && { free: true }) };
}

// Of what has only prices that Vel does not measure, or is said to cost 0, nothing is known.
const isPriced = (p) => Object.entries(p).some(([key, value]) => typeof value === "string" && key !== "from" && value !== "0");
const isListed = (m) => m.free || m.prices.every(isPriced);

// The package has no file with the data alone: it is the first value in its module.
const module = readFileSync(join(from, "dist", "index.js"), "utf8");
const begin = "const E = ";
const end = module.search(/\n\](,|;)/);
if (!module.startsWith(begin) || end < 0) throw new Error("the package is laid out in another way");
const data = JSON.parse(JSON.stringify(new Function(`return ${module.slice(begin.length, end)}\n]`)()));

const one = (v) => JSON.stringify(v);
const providers = taken.map((id) => {
  const { models } = data.find((p) => p.id === id);
  return `  {"id": ${one(id)}, "models": [\n${models.map(model).filter(isListed).map((m) => `    ${one(m)}`).join(",\n")}\n  ]}`;
});
console.log(`{
"source": "npm ${manifest.name}",
"version": ${one(manifest.version)},
"license": ${one(manifest.license)},
"copyright": ${one(/Copyright.*/.exec(readFileSync(join(from, "LICENSE"), "utf8"))[0])},
"date": ${one(process.argv[3] ?? statSync(from).ctime.toISOString().slice(0, 10))},
"providers": [
${providers.join(",\n")}
]}`);
