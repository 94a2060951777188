import type { MessageInitShape } from "@bufbuild/protobuf";
import { type Timestamp, timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { ExplanationSchema } from "#gen/waymark/analytics/v1/explain_pb.ts";
import type { Log } from "#runtime/log.ts";
import { VERDICT_RULES } from "#runtime/touches.ts";
import type { Question } from "./asking.ts";
import type { Row } from "./engine/query.ts";
import { FEED_SUBJECTS } from "./feed/changes.ts";
import { readWatermark } from "./feed/watermark.ts";
import { withPrograms } from "./scope.ts";

/** Version of what this engine computes: it changes when a definition in docs/analytics.md does. */
export const ANALYTICS_RULES = "1";

/** Version of the rules by which devices become visitors. */
export const IDENTITY_RULES = "1";

/** What an answer says of itself beside the numbers. */
export interface Telling {
  /** Heading of docs/analytics.md that defines the numbers: "breakdown". */
  definition: string;
  startDate?: Timestamp | undefined;
  endDate?: Timestamp | undefined;
  timezone?: string | undefined;
  notes?: readonly string[];
  /** A further condition of the question over the view `touches`, with values in the scope's params. */
  where?: string;
}

/** Where the numbers of a question come from: how complete they are, and what is not in them and why. */
export async function explain(
  question: Question,
  { log, ...telling }: Telling & { log: Pick<Log, "read"> },
): Promise<MessageInitShape<typeof ExplanationSchema>> {
  const { duck, scope, signal } = question;
  const mark = await readWatermark(duck);
  const where = telling.where === undefined ? scope.sql : `${scope.sql} AND (${telling.where})`;
  const sql = `SELECT human, reason, count(*) AS n, count(*) FILTER (device_key IS NULL) AS nameless,
    count(revised_at) AS revised FROM touches WHERE ${withPrograms(where)} GROUP BY 1, 2`;
  const [rows, behind] = await Promise.all([duck.rows(sql, scope.params, signal), countBehind(log, mark.position)]);
  const people = rows.filter(({ human }) => human === true);
  return {
    completeTo: BigInt(mark.position),
    completeUntil: mark.appendedAt === 0 ? undefined : timestampFromMs(mark.appendedAt),
    behind: BigInt(behind),
    considered: sum(people, "n"),
    filtered: filteredOf(rows),
    withoutDevice: sum(people, "nameless"),
    revised: sum(rows, "revised"),
    rules: { analytics: ANALYTICS_RULES, identity: IDENTITY_RULES, verdict: VERDICT_RULES },
    shownFrom: question.floor && timestampFromMs(Math.floor(question.floor.at)),
    shownFromReason: question.floor?.why,
    startDate: telling.startDate,
    endDate: telling.endDate,
    timezone: telling.timezone,
    definition: `docs/analytics.md#${telling.definition}`,
    notes: [...(telling.notes ?? [])],
  };
}

/** More entries than these are not counted. */
const MOST_BEHIND = 64;

/** Entries that the table does not have yet, of those that it is made from. */
async function countBehind(log: Pick<Log, "read">, position: number): Promise<number> {
  for await (const entries of log.read({ after: position, subjects: FEED_SUBJECTS, chunk: MOST_BEHIND }))
    return entries.length;
  return 0;
}

function sum(rows: readonly Row[], column: string): bigint {
  return rows.reduce((all, row) => all + BigInt(Number(row[column])), 0n);
}

function filteredOf(rows: readonly Row[]): Record<string, bigint> {
  const filtered: Record<string, bigint> = {};
  for (const row of rows) if (row.human !== true) filtered[String(row.reason ?? "other")] = BigInt(Number(row.n));
  return filtered;
}
