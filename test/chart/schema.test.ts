import { describe, expect, it } from "vitest";
import { type Rendered, read } from "./chart.ts";
import { valueLines, valuesTable } from "./comments.ts";

const schema = JSON.parse(read("charts/waymark/values.schema.json"));

/** A part of the schema by its reference: "#/$defs/process". */
function resolved(node: Rendered): Rendered {
  if (node?.$ref === undefined) return node;
  const found = node.$ref
    .split("/")
    .slice(1)
    .reduce((at: Rendered, name: string) => at?.[name], schema);
  return { ...found, ...node };
}

/** What the schema says of a path: "services.scans.replicas". */
function at(path: string): Rendered {
  return path.split(".").reduce((node, name) => resolved(resolved(node)?.properties?.[name]), schema);
}

const lines = valueLines();

describe("the schema of the values", () => {
  it("knows every key of values.yaml", () => {
    expect(
      lines.map(({ path }) => path).filter((path) => at(path) === undefined && !/\.(requests|limits)\./.test(path)),
    ).toEqual([]);
  });

  it.each(lines.filter(({ comment }) => comment !== undefined).map(({ path, comment }) => [path, comment]))(
    "says of %s what its comment says",
    (path, comment) => {
      expect(at(path as string).description).toBe(comment);
    },
  );

  it("has no key that values.yaml does not explain", () => {
    const explained = new Set(lines.flatMap(({ path, comment }) => (comment === undefined ? [] : [path])));
    const keys = (node: Rendered, path: string[]): string[] =>
      Object.entries(resolved(node)?.properties ?? {}).flatMap(([name, below]) => {
        const own = [...path, name];
        const isLaidOver = /^(allInOne|services\.\w+)\./.test(own.join("."));
        const isContainers = /\.resources\.|ingress\.tls\./.test(own.join("."));
        return isLaidOver || isContainers ? [] : [own.join("."), ...keys(below, own)];
      });
    expect(keys(schema, []).filter((path) => !explained.has(path) && path !== "global")).toEqual([]);
  });

  it("lets no object of ours have a key that it does not know", () => {
    const open: string[] = [];
    const look = (node: Rendered, path: string): void => {
      if (node === null || typeof node !== "object") return;
      if (node.properties !== undefined && node.additionalProperties !== false) open.push(path);
      for (const [name, below] of Object.entries(node)) look(below, `${path}/${name}`);
    };
    look(schema, "");
    expect(open).toEqual([]);
  });

  it("describes every key", () => {
    const bare: string[] = [];
    const look = (node: Rendered, path: string): void => {
      if (node === null || typeof node !== "object") return;
      for (const [name, below] of Object.entries<Rendered>(node.properties ?? {})) {
        if (typeof below.description !== "string" || below.description === "") bare.push(`${path}.${name}`);
      }
      for (const [name, below] of Object.entries(node)) look(below, `${path}.${name}`);
    };
    look(schema, "");
    expect(bare).toEqual([]);
  });
});

it("the README of the chart shows all values", () => {
  expect(read("charts/waymark/README.md")).toContain(`\n${valuesTable()}\n`);
});

it.each(["docs/kubernetes.md", "charts/waymark/README.md"])("%s sets only values that exist", (path) => {
  const named = [...read(path).matchAll(/--set ([\w.]+)=/g)].map((match) => match[1] as string);
  expect(named.length).toBeGreaterThan(0);
  expect(named.filter((one) => at(one) === undefined)).toEqual([]);
});

it("the chart is for the version of the product, and its notes are short", () => {
  const { version } = JSON.parse(read("package.json"));
  expect(read("charts/waymark/Chart.yaml")).toContain(`appVersion: "${version}"`);
  expect(read("charts/waymark/templates/NOTES.txt").trimEnd().split("\n").length).toBeLessThan(10);
});
