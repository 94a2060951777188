import type { DatabaseSync } from "node:sqlite";
import { BroadcastChannel, type MessagePort, parentPort, workerData } from "node:worker_threads";
import { type Answer, channelOf, type Group, type GroupAppend, type Order, type WriterData } from "./group.ts";
import type { Announcement } from "./news.ts";
import { openForWriting, whyOf } from "./schema.ts";

/** How long a batch id is remembered. */
const REMEMBER_MS = 10 * 60 * 1000;

/** Writes one group in one transaction; the last position of each append, or an error and nothing was written. */
export function groupWriter(db: DatabaseSync): (group: Group) => number[] {
  const insert = insertion(db);
  const forget = forgetting(db);
  return (group) => {
    db.exec("BEGIN IMMEDIATE");
    try {
      const positions = insert(group);
      forget(group);
      db.exec("COMMIT");
      return positions;
    } catch (cause) {
      if (db.isTransaction) db.exec("ROLLBACK");
      throw cause;
    }
  };
}

function insertion(db: DatabaseSync): (group: Group) => number[] {
  const known = db.prepare("SELECT position FROM batches WHERE batch_id = ?");
  const entry = db.prepare("INSERT INTO entries (partition, subject, appended_at, payload) VALUES (?, ?, ?, ?)");
  const batch = db.prepare("INSERT INTO batches (position, batch_id, at) VALUES (?, ?, ?)");
  const pulse = db.prepare("INSERT INTO pulse (id, at) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET at = excluded.at");
  return ({ at, appends, bytes }) => {
    let start = 0;
    const one = ({ batchId, records }: GroupAppend): number => {
      if (records.length === 0) {
        pulse.run(at);
        return 0;
      }
      const before = known.get(batchId) as { position: number } | undefined;
      let last = before?.position ?? 0;
      for (const { subject, partition, sizeBytes } of records) {
        const payload = bytes.subarray(start, start + sizeBytes);
        start += sizeBytes;
        if (before === undefined) last = Number(entry.run(partition, subject, at, payload).lastInsertRowid);
      }
      if (before === undefined) batch.run(last, batchId, at);
      return last;
    };
    return appends.map(one);
  };
}

// Two for each that comes: the table stays as long as the rate of appends makes it, and no group pays for all.
function forgetting(db: DatabaseSync): (group: Group) => void {
  const oldest = db.prepare("SELECT position, at FROM batches ORDER BY position LIMIT ?");
  const forget = db.prepare("DELETE FROM batches WHERE position <= ?");
  return ({ at, appends }) => {
    const rows = oldest.all(2 * appends.length) as { position: number; at: number }[];
    const young = rows.findIndex((row) => row.at >= at - REMEMBER_MS);
    const last = rows[(young === -1 ? rows.length : young) - 1];
    if (last !== undefined) forget.run(last.position);
  };
}

/** Serves one log's appends over a port until told to close. Announces each new head. */
export function serveAppends(port: MessagePort, { path, maxBytes }: WriterData): void {
  const db = openForWriting(path, maxBytes);
  const write = groupWriter(db);
  const heads = new BroadcastChannel(channelOf(path));
  const append = (group: Group): Answer => {
    try {
      const positions = write(group);
      const last = Math.max(...positions);
      if (last > 0) heads.postMessage(announcementOf(group));
      return { kind: "appended", positions };
    } catch (cause) {
      return { kind: "refused", why: whyOf(cause) };
    }
  };
  port.on("message", (order: Order) => {
    if (order.kind === "append") return port.postMessage(append(order.group));
    db.close();
    heads.close();
    port.close();
  });
}

function announcementOf({ appends }: Group): Announcement {
  const subjects = new Set(appends.flatMap(({ records }) => records.map(({ subject }) => subject)));
  return { subjects: [...subjects] };
}

const data = workerData as WriterData | null;
if (parentPort !== null && data?.role === "waymark-log-writer") serveAppends(parentPort, data);
