import type { Asking } from "../asking.ts";
import type { Params, Row } from "../engine/query.ts";
import { withPrograms } from "../scope.ts";
import { ATTRIBUTES } from "../visitors/visitors.ts";

/** What a change is about. At one position events are told before visitors. */
export type Kind = "event" | "visitor";

/** Where a reader of changes is: behind the one of this position and key; see `keyOf`. */
export interface SyncPoint {
  position: number;
  key: string;
}

/** One change, as its row: `gone` says why it is there no more. */
export interface Change {
  kind: Kind;
  position: number;
  id: string;
  row: Row;
  gone: string | undefined;
}

/** What changes of one position are ordered by: events first, then by id. */
export function keyOf({ kind, id }: Pick<Change, "kind" | "id">): string {
  return `${kind}/${id}`;
}

interface Reading {
  after: SyncPoint;
  upTo: number;
  limit: number;
  /** Visitors are told too. */
  people: boolean;
}

/**
 * Changes behind a point in the order of the log: events that are new or changed, those that a revision made a program's, and
 * those that are gone; and visitors. `scope` is the caller's; programs that never counted are not told.
 */
export async function readChanges(asking: Asking, reading: Reading): Promise<Change[]> {
  const events = await read(asking, { kind: "event", sql: eventsSql(asking.scope.sql), ...reading });
  if (!reading.people) return events;
  const visitors = await read(asking, { kind: "visitor", sql: VISITORS, ...reading });
  // Sorting keeps what is equal in its order: events first.
  return [...events, ...visitors].sort((a, b) => a.position - b.position).slice(0, reading.limit);
}

async function read(
  { duck, scope, signal }: Asking,
  { kind, sql, after, upTo, limit }: Reading & { kind: Kind; sql: string },
): Promise<Change[]> {
  const params: Params = {
    ...scope.params,
    position: BigInt(after.position),
    key: after.key,
    upTo: BigInt(upTo),
    limit: BigInt(limit),
  };
  const rows = await duck.rows(sql, params, signal);
  return rows.map((row) => {
    const gone = row.why === null ? undefined : String(row.why);
    return { kind, position: Number(row.told_at), id: String(row.told_id), row, gone };
  });
}

const behind = (kind: Kind, id: string): string =>
  `changed >= $position AND changed <= $upTo AND (changed > $position OR '${kind}/' || ${id} > $key)`;

const OWN = "workspace = $workspace AND test = $test";
const ORDER = "ORDER BY changed, id LIMIT $limit";

/** One statement picks rows and reads them: between two, a checkpoint may give them other row ids. */
function eventsSql(scope: string): string {
  const all = `${withPrograms(scope)} AND (human OR revised_at IS NOT NULL)`;
  const live = `SELECT rowid AS row, changed, id, NULL AS gone_at FROM events WHERE ${all} AND ${behind("event", "id")} ${ORDER}`;
  const dead = `SELECT -1 AS row, changed, id, gone_at FROM tombstones WHERE ${OWN} AND ${behind("event", "id")} ${ORDER}`;
  return `WITH picked AS MATERIALIZED (SELECT * FROM ((${live}) UNION ALL (${dead})) ${ORDER})
    SELECT p.changed AS told_at, p.id AS told_id, coalesce(p.gone_at, t.revised_at, t.recorded_at) AS happened_at,
      CASE WHEN t.id IS NULL THEN 'erased' WHEN t.human THEN NULL ELSE coalesce(t.reason, 'other') END AS why, t.*
    FROM picked p LEFT JOIN (SELECT row_id AS rowid, * FROM touches
      WHERE row_id IN (SELECT row FROM picked)) t ON t.rowid = p.row ORDER BY p.changed, p.id`;
}

const VISITORS = `WITH live AS (SELECT visitor_key, visitor_id AS id, changed, updated_at AS happened_at, NULL AS why, email,
    phone, first_name, last_name, identified_at, updated_at FROM visitors
    WHERE ${OWN} AND ${behind("visitor", "visitor_id")} ${ORDER}),
  gone AS (SELECT visitor_id AS id, changed, gone_at AS happened_at, reason AS why FROM gone_visitors
    WHERE ${OWN} AND ${behind("visitor", "visitor_id")} ${ORDER}),
  known AS (SELECT * FROM (${ATTRIBUTES}) WHERE visitor_key IN (SELECT visitor_key FROM live))
  SELECT changed AS told_at, id AS told_id, * FROM (
    SELECT live.*, known.attributes FROM live LEFT JOIN known USING (visitor_key) UNION ALL BY NAME SELECT * FROM gone) ${ORDER}`;
