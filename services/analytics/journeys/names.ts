import type { Asking } from "../asking.ts";

/** Names of links by id, as they are now; a link without a name, or whose name is not known, is missing. */
export async function linkNames(
  { duck, scope, signal }: Asking,
  ids: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  if (ids.length === 0) return new Map();
  const sql = `SELECT link_id, name FROM links WHERE workspace = $workspace AND test = $test
    AND list_contains($ids, link_id) AND name <> ''`;
  const { workspace, test } = scope.params;
  const rows = await duck.rows(sql, { workspace: workspace ?? "", test: test ?? false, ids }, signal);
  return new Map(rows.map((row) => [String(row.link_id), String(row.name)]));
}
