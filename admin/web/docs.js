// Shows /api/openapi.json. What comes from the document is only ever set as text.
"use strict";

const methods = ["get", "post", "put", "patch", "delete"];

// el makes an element: el("p.note", "text", child, …); attributes come as a plain object.
function el(what, ...children) {
  const [tag, ...classes] = what.split(".");
  const e = document.createElement(tag);
  if (classes.length) e.className = classes.join(" ");
  for (const c of children.flat()) {
    if (c === null || c === undefined || c === "") continue;
    if (typeof c === "object" && !(c instanceof Node)) for (const [k, v] of Object.entries(c)) e.setAttribute(k, v);
    else e.append(c);
  }
  return e;
}

// prose reads the little markup that descriptions have: paragraphs, **bold** and `code`.
function prose(text) {
  return (text || "").split("\n\n").filter(Boolean).map((p) =>
    el("p", p.split(/(\*\*[^*]+\*\*|`[^`]+`)/).map((part) =>
      part.startsWith("**") ? el("strong", part.slice(2, -2)) : part.startsWith("`") ? el("code", part.slice(1, -1)) : part)));
}

class Page {
  constructor(doc) {
    this.doc = doc;
    this.operations = [];
    for (const [path, item] of Object.entries(doc.paths))
      for (const method of methods)
        if (item[method]) this.operations.push({ path, method, ...item[method] });
  }

  // resolve follows a reference within the document.
  resolve(x) {
    while (x && x.$ref) x = x.$ref.slice(2).split("/").reduce((at, key) => at[key], this.doc);
    return x || {};
  }

  // type is a schema in one line.
  type(schema) {
    const name = schema.$ref ? schema.$ref.split("/").pop() : "";
    const s = this.resolve(schema);
    const types = [].concat(s.type || "any");
    const main = types.filter((t) => t !== "null").map((t) => t === "array" ? "list of " + this.type(s.items || {}) : t === "object" && name ? name : t).join(" or ");
    return main + (s.format ? " (" + s.format + ")" : "") + (types.includes("null") ? ", or null" : "");
  }

  // limits is what else a value must be.
  limits(schema) {
    const s = this.resolve(schema), of = s.items ? this.resolve(s.items) : {};
    const say = (x, each) => [
      x.enum && each + "one of " + x.enum.join(", "),
      x.maxLength && each + (x.minLength ? x.minLength + " to " : "at most ") + x.maxLength + " characters",
      x.minimum !== undefined && each + "at least " + x.minimum,
      x.maximum !== undefined && each + "at most " + x.maximum,
      x.maxItems && "at most " + x.maxItems + " entries",
      x.default !== undefined && "default " + JSON.stringify(x.default),
    ];
    const all = [...say(s, ""), ...say(of, "each ")].filter(Boolean);
    return all.length ? el("div.limits", all.join(" · ")) : null;
  }

  // row is one named value: a parameter or a member.
  row(name, schema, { description, must, note, seen = [] }) {
    const s = this.resolve(schema), inner = s.type === "array" ? s.items : schema;
    const ref = inner && inner.$ref, below = this.resolve(inner).properties && !seen.includes(ref);
    return el("tr",
      el("td.name", name, must ? el("small.must", "required") : null, note ? el("small", note) : null),
      el("td", el("span.type", this.type(schema)), prose(description || s.description).map((p) => el("div", ...p.childNodes)), this.limits(schema),
        below ? this.members(inner, [...seen, ref]) : null));
  }

  // members is the table of an object's members, the required ones first.
  members(schema, seen = [schema.$ref]) {
    const s = this.resolve(schema), required = s.required || [], rank = ([name]) => required.includes(name) ? 0 : 1;
    return el("table", el("tbody", Object.entries(s.properties || {}).sort((a, b) => rank(a) - rank(b)).map(([name, of]) =>
      this.row(name, of, { description: of.description, must: required.includes(name), note: of.writeOnly ? "never shown" : "", seen }))));
  }

  // sample makes an example of a body.
  sample(schema, depth = 0) {
    const s = this.resolve(schema), type = [].concat(s.type)[0];
    if (s.examples) return s.examples[0];
    if (s.enum) return s.enum[0];
    if (type === "object") return Object.fromEntries(Object.entries(s.properties || {}).filter(([k]) => (s.required || []).includes(k)).map(([k, v]) => [k, this.sample(v, depth + 1)]));
    if (type === "array") return [];
    if (type === "integer" || type === "number") return s.minimum ?? 1;
    if (type === "boolean") return false;
    if (s.format === "date-time") return "2030-01-31T00:00:00Z";
    return "…";
  }

  curl(op, body) {
    const lines = ["curl" + (op.method === "get" ? "" : " -X " + op.method.toUpperCase()) + " " + location.origin + op.path];
    if (op["x-vel-permission"] !== "public") lines.push("-H \"Authorization: Bearer $TOKEN\"");
    if (body) lines.push("-H 'Content-Type: application/json'", "-d '" + JSON.stringify(this.sample(body)) + "'");
    return el("pre", el("code", lines.join(" \\\n  ")));
  }

  answer(status, response) {
    const r = this.resolve(response), group = status < 300 ? "ok" : status < 500 ? "refused" : "failed";
    const media = Object.entries(r.content || {});
    return el("details", el("summary", el("span.status." + group, status), r.description || ""),
      el("div",
        Object.keys(r.headers || {}).length ? el("table", el("tbody", Object.entries(r.headers).map(([name, h]) => {
          h = this.resolve(h);
          return this.row(name, h.schema || {}, { description: h.description, note: "header" });
        }))) : null,
        media.map(([type, m]) => [el("div.limits", type), this.members(m.schema || {})]),
        media.length ? null : el("div.limits", "No body.")));
  }

  // problems are the answers that many operations share: one line, and what they look like once.
  problems(responses) {
    if (!responses.length) return null;
    const schema = Object.values(this.resolve(responses[0][1]).content)[0].schema;
    return el("details", el("summary", responses.map(([status, r]) =>
      el("span.status." + (status < 500 ? "refused" : "failed"), { title: this.resolve(r).description }, status)), "Problems"),
      el("div", el("table", el("tbody", responses.map(([status, r]) => el("tr", el("td.name", status), el("td", this.resolve(r).description))))),
        el("div.limits", "application/problem+json"), this.members(schema)));
  }

  operation(op) {
    const body = op.requestBody && Object.values(op.requestBody.content)[0].schema;
    const needs = { public: "for everybody", session: "for people who have signed in" }[op["x-vel-permission"]] || "needs " + op["x-vel-permission"];
    const answers = Object.entries(op.responses), shared = answers.filter(([, r]) => r.$ref), own = answers.filter(([, r]) => !r.$ref);
    const parameters = (op.parameters || []).map((p) => this.resolve(p));
    return el("article", { id: op.operationId },
      el("header", el("span.method." + op.method, op.method), el("span.path", op.path), el("h3", op.summary || ""), el("span.needs", needs)),
      el("div",
        prose(op.description),
        parameters.length ? [el("h4", "Parameters"), el("table", el("tbody", parameters.map((p) =>
          this.row(p.name, p.schema, { description: p.description, must: p.required, note: p.in }))))] : null,
        body ? [el("h4", "Body"), this.members(body)] : null,
        el("h4", "Answers"), own.map(([status, r]) => this.answer(status, r)), this.problems(shared),
        el("h4", "Example"), this.curl(op, body)));
  }

  show() {
    const main = document.getElementById("top"), menu = document.getElementById("menu");
    const info = this.doc.info;
    document.title = info.title;
    const parts = [el("h1", info.title), el("p.version", "Version " + info.version + " · OpenAPI " + this.doc.openapi + " · ", el("a", { href: "/api/openapi.json" }, "openapi.json")), el("div.intro", prose(info.description))];
    for (const tag of this.doc.tags) {
      const ops = this.operations.filter((op) => op.tags.includes(tag.name));
      if (!ops.length) continue;
      parts.push(el("section.tag", { id: "tag-" + tag.name }, el("h2", tag.name), prose(tag.description), ops.map((op) => this.operation(op))));
      menu.append(el("div", el("h2", tag.name), el("ul", ops.map((op) =>
        el("li", { "data-text": [op.summary, op.path, op.method, tag.name].join(" ").toLowerCase() },
          el("a", { href: "#" + op.operationId }, el("span.method." + op.method, op.method), op.summary))))));
    }
    main.replaceChildren(...parts);
    if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
  }
}

// search hides what does not have every word.
function search(text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  for (const group of document.getElementById("menu").children) {
    let any = false;
    for (const item of group.querySelectorAll("li")) {
      const fits = words.every((w) => item.dataset.text.includes(w));
      item.hidden = !fits;
      any = any || fits;
    }
    group.hidden = !any;
  }
}

document.getElementById("search").addEventListener("input", (e) => search(e.target.value));
fetch("/api/openapi.json")
  .then((r) => r.ok ? r.json() : Promise.reject(new Error("status " + r.status)))
  .then((doc) => new Page(doc).show())
  .catch((err) => document.getElementById("top").replaceChildren(el("p", "The document could not be read: " + err.message)));
