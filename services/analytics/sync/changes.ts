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
  { duck, scope, signal }: Asking,
  { after, upTo, limit }: { after: SyncPoint; upTo: number; limit: number },
): Promise<Change[]> {
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
  // One statement picks rows and reads them: between two, a checkpoint may give them other row ids.
  const sql = `WITH picked AS MATERIALIZED (SELECT * FROM ((${live}) UNION ALL (${dead})) ${order})
    SELECT p.changed AS told_at, p.id AS told_id, t.* FROM picked p LEFT JOIN (SELECT row_id AS rowid, * FROM touches
      WHERE row_id IN (SELECT row FROM picked)) t ON t.rowid = p.row ORDER BY p.changed, p.id`;
  const rows = await duck.rows(sql, params, signal);
  return rows.map((row) => changeOf(row, { position: Number(row.told_at), id: String(row.told_id) }));
}

function changeOf(row: Row, { position, id }: SyncPoint): Change {
  const isLive = row.human === true;
  const why = row.id === null ? "erased" : String(row.reason ?? "other");
  return { position, id, row, gone: isLive ? undefined : why };
}
