import { fromJson, type JsonValue } from "@bufbuild/protobuf";
import { type Condition, ConditionSchema } from "#gen/waymark/analytics/v1/filter_pb.ts";
import type { Question } from "../asking.ts";
import type { Params, Row } from "../engine/query.ts";
import { peopleSql } from "../fields/levels.ts";
import { openValues, type Values } from "../fields/values.ts";
import { compileWhere } from "../fields/where.ts";
import { DAY_MS } from "../rules.ts";
import { asOf, taggedSql } from "../scope.ts";
import type { Parts } from "../scoring/parts.ts";
import { ATTRIBUTES } from "../visitors/visitors.ts";
import type { BehaviourRule, SegmentDoc } from "./model.ts";

/** The conditions of a segment as messages. */
export function conditionsOf({ where }: Pick<SegmentDoc, "where">): Condition[] {
  return where.list.map((one) => fromJson(ConditionSchema, one as JsonValue));
}

/** Whose members, at what time (milliseconds since 1970), and the weights of the workspace's lead score. */
export interface Membership {
  doc: Pick<SegmentDoc, "where" | "behaviours">;
  now: number;
  weights: Parts;
  /** Parameters have names that begin with this, where several segments are asked in one statement. */
  prefix?: string;
}

/** Who is in a segment: SQL of one row a visitor, with `visitor_key` and what it did. `upTo`: as of that position of the log. */
export function membersSql(
  { scope }: Pick<Question, "scope">,
  { doc, now, weights, upTo, prefix = "" }: Membership & { upTo?: number },
): { sql: string; params: Params } {
  const seen = upTo === undefined ? scope : asOf(scope, upTo);
  const where = compileWhere(conditionsOf(doc), "visitors", `${prefix}w`, { scope: seen, now, weights });
  const values = openValues(`${prefix}b`);
  const did = doc.behaviours.list.map((rule) => behaviourSql(rule, { seen: seen.sql, values, now }));
  const people = peopleSql(seen.sql, values.bindAs("Now", BigInt(Math.floor(now))));
  const sql = `WITH base AS (${people}) SELECT * FROM base WHERE ${[where.sql, ...did].join(" AND ")}`;
  return { sql, params: { ...seen.params, ...where.params, ...values.params } };
}

function behaviourSql(
  { linkId, tag, atLeast, withinDays, never }: BehaviourRule,
  { seen, values, now }: { seen: string; values: Values; now: number },
): string {
  const parts = [seen, "visitor_key IS NOT NULL"];
  if (linkId !== undefined) parts.push(`link_id = ${values.bind(linkId)}`);
  if (tag !== undefined) parts.push(taggedSql(values.bind(tag)));
  if (withinDays !== undefined)
    parts.push(`scanned_at >= ${values.bind(BigInt(Math.floor(now - withinDays * DAY_MS)))}`);
  const who = `SELECT visitor_key FROM touches WHERE ${parts.join(" AND ")} GROUP BY 1 HAVING count(*) >= ${values.bind(BigInt(atLeast))}`;
  return `visitor_key ${never ? "NOT IN" : "IN"} (${who})`;
}

/** How many visitors are in a segment now. */
export async function readSize(question: Question, given: Membership): Promise<number> {
  const { sql, params } = membersSql(question, given);
  const whole = `SELECT count(*) AS n FROM (${sql})`;
  const [row] = await question.duck.rows(whole, params, question.signal);
  return Number(row?.n ?? 0);
}

/** A page of a segment's visitors as rows, those with the latest event first. */
export async function readMembers(
  question: Question,
  given: Membership & { upTo: number; offset: number; size: number },
): Promise<{ rows: Row[]; total: number }> {
  const { sql, params } = membersSql(question, given);
  const page = `WITH members AS MATERIALIZED (${sql})
    SELECT m.visitor_key, m.visitor_id, m.visit_count AS visits, m.device_count AS devices, m.first_at, m.last_at,
      v.email, v.phone, v.first_name, v.last_name, a.attributes, (SELECT count(*) FROM members) AS total
    FROM members m LEFT JOIN (SELECT * FROM visitors WHERE workspace = $workspace AND test = $test) v USING (visitor_key)
    LEFT JOIN (${ATTRIBUTES}) a USING (visitor_key)
    ORDER BY m.last_at DESC, m.visitor_key DESC LIMIT ${given.size + 1} OFFSET ${given.offset}`;
  const rows = await question.duck.rows(page, params, question.signal);
  return { rows, total: Number(rows[0]?.total ?? 0) };
}
