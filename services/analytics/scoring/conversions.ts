import { type Conversion, ConversionKind } from "#gen/waymark/analytics/v1/filter_pb.ts";
import { fail } from "#runtime/failure.ts";
import { goalsSql, meantBy } from "../attribution/goals.ts";
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

/**
 * The first conversion of each visitor who has one: `visitor_key`, `happened_at`. Over the events of a condition (follows WHERE)
 * where it is about events. Without a goal: identified, or a conversation.
 */
export function firstConversionsSql(goal: Goal, condition: string): Part {
  const { sql, params } = goalsSql(meantBy(goal), condition);
  return { sql: `SELECT visitor_key, min(won_at) AS happened_at FROM (${sql}) GROUP BY visitor_key`, params };
}
