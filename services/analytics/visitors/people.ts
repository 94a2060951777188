import type { Principal } from "#runtime/context.ts";
import type { Asking } from "../asking.ts";
import type { Row } from "../engine/query.ts";
import { profileOf, textOf } from "../events/messages.ts";

/** Whether a key may see who visitors are, and not only how many. */
export function seesPeople({ scopes, keyClass }: Pick<Principal, "scopes" | "keyClass">): boolean {
  return keyClass === "internal" || scopes.includes("admin") || scopes.includes("visitors:read");
}

/** What is known of the visitors of these rows, by their ids. */
export async function readPeople({ duck, signal, scope }: Asking, rows: readonly Row[]) {
  const { workspace = "", test = false } = scope.params;
  const ids = [...new Set(rows.flatMap((row) => textOf(row.visitor_id) ?? []))];
  if (ids.length === 0) return new Map<string, ReturnType<typeof personOf>>();
  const sql = `SELECT visitor_id, email, phone, first_name, last_name FROM visitors
    WHERE workspace = $workspace AND test = $test AND list_contains($ids, visitor_id)`;
  const known = await duck.rows(sql, { workspace, test, ids }, signal);
  return new Map(known.map((row) => [String(row.visitor_id), personOf(row)]));
}

function personOf(row: Row) {
  return {
    id: String(row.visitor_id),
    ...profileOf(row),
  };
}
