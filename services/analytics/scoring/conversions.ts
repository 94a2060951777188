import { type Conversion, ConversionKind } from "#gen/waymark/analytics/v1/filter_pb.ts";
import { fail } from "#runtime/failure.ts";
import type { Params } from "../engine/query.ts";

/** What a conversion is. */
export type Goal = Conversion["goal"];

const CASES: Readonly<Record<number, Goal["case"]>> = {
  [ConversionKind.IDENTIFIED]: "identified",
  [ConversionKind.CONVERSATION]: "conversation",
  [ConversionKind.LINK]: "linkId",
  [ConversionKind.TAG]: "tag",
  [ConversionKind.ATTRIBUTE]: "attribute",
};

/** The goal of a request. Refuses one that is said not to be, and a kind that does not fit its goal. */
export function goalIn(conversion: Pick<Conversion, "goal" | "kind"> | undefined): Goal {
  if (conversion === undefined) return { case: undefined };
  const { goal, kind } = conversion;
  const wanted = CASES[kind];
  if (goal.value === false) throw fail("INVALID_FIELD", { field: "conversion", must: "must be true where it is set" });
  if (wanted === undefined || wanted === goal.case) return goal;
  if (goal.case === undefined && (wanted === "identified" || wanted === "conversation"))
    return { case: wanted, value: true };
  throw fail("INVALID_FIELD", { field: "conversion.kind", must: "must fit what the conversion is" });
}

/** A part of a statement with its parameters. */
export interface Part {
  sql: string;
  params: Params;
}

const OWN = "workspace = $workspace AND test = $test";
const IDENTIFIED = `SELECT visitor_key, identified_at AS happened_at FROM visitors WHERE ${OWN} AND identified_at IS NOT NULL`;

/**
 * The first conversion of each visitor who has one: `visitor_key`, `happened_at`. Over the events of a condition (follows WHERE)
 * where it is about events. Without a goal: identified, or a conversation.
 */
export function firstConversionsSql(goal: Goal, condition: string): Part {
  const { sql, params } = conversions(goal, (more) => {
    return `SELECT visitor_key, scanned_at AS happened_at FROM touches WHERE ${condition} AND visitor_key IS NOT NULL AND ${more}`;
  });
  return { sql: `SELECT visitor_key, min(happened_at) AS happened_at FROM (${sql}) GROUP BY visitor_key`, params };
}

function conversions(goal: Goal, events: (more: string) => string): Part {
  switch (goal.case) {
    case "linkId":
      return { sql: events("link_id = $goal"), params: { goal: goal.value } };
    case "tag": {
      const links = `SELECT link_id FROM links WHERE ${OWN} AND list_contains(tags, $goal)`;
      return { sql: events(`link_id IN (${links})`), params: { goal: goal.value } };
    }
    case "conversation":
      return { sql: events("talked"), params: {} };
    case "identified":
      return { sql: IDENTIFIED, params: {} };
    case "attribute": {
      const sql = `SELECT visitor_key, recorded_at AS happened_at FROM attributes WHERE ${OWN} AND key = $goal`;
      return { sql, params: { goal: goal.value } };
    }
    case undefined:
      return { sql: `${IDENTIFIED} UNION ALL ${events("talked")}`, params: {} };
  }
}
