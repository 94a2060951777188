import { isMap, isScalar, type Pair, parseDocument, type YAMLMap } from "yaml";
import { read } from "./chart.ts";

/** A key of values.yaml: its path, what its comment says, and its default when it is no group of others. */
export interface ValueLine {
  path: string;
  comment: string | undefined;
  fallback: unknown;
}

/** All keys of values.yaml in their order. */
export function valueLines(): ValueLine[] {
  const document = parseDocument(read("charts/waymark/values.yaml"));
  return linesOf(document.contents as YAMLMap, []);
}

function linesOf(map: YAMLMap, above: readonly string[]): ValueLine[] {
  return map.items.flatMap((pair, index) => {
    const path = [...above, String((pair.key as { value: unknown }).value)];
    const isGroup = isMap(pair.value) && pair.value.items.length > 0;
    const line = {
      path: path.join("."),
      comment: commentOf(pair, index === 0 ? (map.commentBefore ?? undefined) : undefined),
      fallback: isGroup ? undefined : isScalar(pair.value) ? pair.value.value : JSON.parse(JSON.stringify(pair.value)),
    };
    return [line, ...(isGroup ? linesOf(pair.value as YAMLMap, path) : [])];
  });
}

/** The comment above a key; that of the first stands before the whole map. */
function commentOf(pair: Pair, ofMap: string | undefined): string | undefined {
  const text = (pair.key as { commentBefore?: string | null }).commentBefore ?? ofMap;
  return text
    ?.split("\n")
    .map((line) => line.trim())
    .join(" ");
}

/** The values of the chart as a table: what its README shows. */
export function valuesTable(): string {
  const rows = valueLines().flatMap(({ path, comment, fallback }) => {
    if (comment === undefined) return [];
    const shown = fallback === undefined ? "" : `\`${JSON.stringify(fallback)}\``;
    return [`| \`${path}\` | ${shown} | ${comment.replaceAll("|", "\\|")} |`];
  });
  return ["| value | default | what it does |", "|---|---|---|", ...rows].join("\n");
}
