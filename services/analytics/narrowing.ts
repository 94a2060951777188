import type { Timestamp } from "@bufbuild/protobuf/wkt";
import type { HandlerContext } from "@connectrpc/connect";
import type { Condition } from "#gen/waymark/analytics/v1/filter_pb.ts";
import { contextOf } from "#runtime/context.ts";
import { type AnalyticsDeps, ask, type Question } from "./asking.ts";
import { compileWhere } from "./fields/where.ts";
import { type Scope, scopeOf } from "./scope.ts";

/** By what a question about events is narrowed. */
export interface Narrowed {
  linkId?: string | undefined;
  tag?: string | undefined;
  where: readonly Condition[];
  startDate?: Timestamp | undefined;
  endDate?: Timestamp | undefined;
}

/** A question about some events, beside all that its caller sees. */
export interface NarrowedQuestion extends Question {
  /** All that the caller sees. Its parameters are among those of `scope`. */
  seen: Scope;
  /** Time of the question, milliseconds since 1970. */
  now: number;
}

/** The question of a call, narrowed by link, tag, conditions and time. Refuses a reversed range and unknown fields. */
export async function askNarrowed(
  own: AnalyticsDeps,
  handler: HandlerContext,
  { where, ...narrow }: Narrowed,
): Promise<NarrowedQuestion> {
  const context = contextOf(handler);
  const now = Math.floor(context.now());
  const sight = scopeOf(context);
  compileWhere(where, "events", "w", { scope: sight, now });
  const question = await ask(own, handler, narrow);
  const seen = scopeOf(context, {}, question.settings.scansDays);
  const compiled = compileWhere(where, "events", "w", { scope: seen, now });
  const { sql, params, asked } = question.scope;
  const scope = {
    sql: `${sql} AND (${compiled.sql})`,
    params: { ...seen.params, ...params, ...compiled.params },
    asked,
  };
  return { ...question, scope, seen, now };
}
