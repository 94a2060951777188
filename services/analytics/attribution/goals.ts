import { type Conversion, ConversionKind } from "#gen/waymark/analytics/v1/filter_pb.ts";
import { fail } from "#runtime/failure.ts";
import type { Params } from "../engine/query.ts";
import { taggedSql } from "../scope.ts";

/** What a conversion is. */
export type Goal =
  | { kind: "link" | "tag" | "attribute"; value: string }
  | { kind: "conversation" | "identified" | "either" };

/** Conversions in SQL. */
export interface Goals {
  /**
   * A row a conversion: `visitor_key`, `won_at` (milliseconds), and `position` and `row_id` of the event that it is; both are
   * the greatest BIGINT where it is no event, so that it comes after all events of that time.
   */
  sql: string;
  params: Params;
  /** Condition of events that are conversions and no touches; of none where a touch may convert by itself. */
  isGoal: string;
}

/** The kinds of goals by what names them. */
const KINDS = {
  linkId: { kind: "link", named: ConversionKind.LINK },
  tag: { kind: "tag", named: ConversionKind.TAG },
  attribute: { kind: "attribute", named: ConversionKind.ATTRIBUTE },
} as const;

/** What a request means by a conversion; without one: a conversation, or being identified. Refuses what is contradictory. */
export function goalOf(conversion: Conversion | undefined): Goal {
  if (conversion === undefined) return { kind: "either" };
  const { goal, kind } = conversion;
  if (goal.case === undefined) {
    if (kind === ConversionKind.IDENTIFIED) return { kind: "identified" };
    if (kind === ConversionKind.CONVERSATION) return { kind: "conversation" };
    const must = "must have one of linkId, tag, conversation, identified, attribute";
    throw fail("INVALID_FIELD", { field: "conversion", must });
  }
  if (goal.case === "conversation" || goal.case === "identified") return flagOf(goal, kind);
  agree(kind, KINDS[goal.case].named);
  return meantBy(goal);
}

/** The goal that a request names; without one: a conversation, or being identified. */
export function meantBy(goal: Conversion["goal"]): Goal {
  if (goal.case === undefined) return { kind: "either" };
  if (goal.case === "conversation" || goal.case === "identified") return { kind: goal.case };
  return { kind: KINDS[goal.case].kind, value: goal.value };
}

function flagOf(
  { case: flag, value }: { case: "conversation" | "identified"; value: boolean },
  kind: ConversionKind,
): Goal {
  if (!value) throw fail("INVALID_FIELD", { field: `conversion.${flag}`, must: "must be true" });
  agree(kind, flag === "conversation" ? ConversionKind.CONVERSATION : ConversionKind.IDENTIFIED);
  return { kind: flag };
}

function agree(kind: ConversionKind, named: ConversionKind): void {
  if (kind !== ConversionKind.UNSPECIFIED && kind !== named)
    throw fail("INVALID_FIELD", { field: "conversion.kind", must: "must fit what else is in conversion" });
}

const OWN = "workspace = $workspace AND test = $test";
const LATEST = "9223372036854775807";
const IDENTIFIED = `SELECT visitor_key, identified_at AS won_at, ${LATEST} AS position, ${LATEST} AS row_id FROM visitors
  WHERE ${OWN} AND identified_at IS NOT NULL`;

/** Conversions among the events of a condition (follows WHERE), and among identified visitors. */
export function goalsSql(goal: Goal, condition: string): Goals {
  const events = (more: string) => `SELECT visitor_key, scanned_at AS won_at, position, row_id FROM touches
    WHERE ${condition} AND visitor_key IS NOT NULL AND ${more}`;
  switch (goal.kind) {
    case "link":
      return { sql: events("link_id = $goal"), params: { goal: goal.value }, isGoal: "link_id = $goal" };
    case "tag": {
      const isGoal = taggedSql("$goal");
      return { sql: events(isGoal), params: { goal: goal.value }, isGoal };
    }
    case "attribute": {
      const sql = `SELECT visitor_key, recorded_at AS won_at, ${LATEST} AS position, ${LATEST} AS row_id FROM attributes
        WHERE ${OWN} AND key = $goal`;
      return { sql, params: { goal: goal.value }, isGoal: "false" };
    }
    case "conversation":
      return { sql: events("talked"), params: {}, isGoal: "false" };
    case "identified":
      return { sql: IDENTIFIED, params: {}, isGoal: "false" };
    case "either":
      return { sql: `${IDENTIFIED} UNION ALL ${events("talked")}`, params: {}, isGoal: "false" };
  }
}
