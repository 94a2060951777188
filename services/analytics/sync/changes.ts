import type { Asking } from "../asking.ts";
import type { Params, Row } from "../engine/query.ts";
import { withPrograms } from "../scope.ts";

/** Where a reader of changes is: behind the one of this position and id. */
export interface SyncPoint {
  position: number;
  id: string;
}

/** One change, as its row: `gone` says why it is no event any more. */
export interface Change {
  position: number;
  id: string;
  row: Row;
  gone: string | undefined;
}

/**
 * Changes behind a point in the order of the log, ties by id: events that are new or changed, those that a revision made a
 * program's, and those that are gone. `scope` is the caller's; programs that never counted are not told.
 */
export async function readChanges(
  asking: Asking,
  given: { after: SyncPoint; upTo: number; limit: number },
): Promise<Change[]> {
  const { duck, scope, signal } = asking;
  const { after, upTo, limit } = given;
  const all = withPrograms(scope.sql);
  const params: Params = {
    ...scope.params,
    at: BigInt(after.position),
    last: after.id,
    upTo: BigInt(upTo),
    limit: BigInt(limit),
  };
  const behind = "changed >= $at AND changed <= $upTo AND (changed > $at OR id > $last)";
  const order = "ORDER BY changed, id LIMIT $limit";
  const live = `SELECT rowid AS row, changed, id FROM events WHERE ${all} AND (human OR revised_at IS NOT NULL) AND ${behind} ${order}`;
  const dead = `SELECT -1 AS row, changed, id FROM tombstones WHERE workspace = $workspace AND test = $test AND ${behind} ${order}`;
  const picked = await duck.rows(`SELECT * FROM ((${live}) UNION ALL (${dead})) ${order}`, params, signal);
  const rows = picked.map(({ row }) => BigInt(String(row))).filter((row) => row >= 0n);
  const found = await duck.rows(
    "SELECT row_id AS rowid, * FROM touches WHERE workspace = $workspace AND row_id IN (SELECT unnest($rows))",
    { workspace: scope.params.workspace ?? "", rows: rows.length > 0 ? rows : [-1n] },
    signal,
  );
  const byRow = new Map(found.map((row) => [String(row.rowid), row]));
  return picked.map(({ row, changed, id }) =>
    changeOf(byRow.get(String(row)) ?? {}, { position: Number(changed), id: String(id) }),
  );
}

function changeOf(row: Row, { position, id }: SyncPoint): Change {
  const isLive = row.human === true;
  const why = row.id === undefined ? "erased" : String(row.reason ?? "other");
  return { position, id, row, gone: isLive ? undefined : why };
}
