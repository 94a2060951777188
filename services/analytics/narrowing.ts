import type { Timestamp } from "@bufbuild/protobuf/wkt";
import type { HandlerContext } from "@connectrpc/connect";
import type { Condition } from "#gen/waymark/analytics/v1/filter_pb.ts";
import { contextOf } from "#runtime/context.ts";
import { type AnalyticsDeps, ask, type Question } from "./asking.ts";
import { checkPersonal, compileWhere } from "./fields/where.ts";
import { type Scope, scopeOf } from "./scope.ts";
import { scoringOf } from "./scoring/weights.ts";

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
  checkPersonal(context.principal, { from: "events", where });
  const { weights } = where.length > 0 ? await scoringOf(own.store, context.principal) : {};
  const now = Math.floor(context.now());
  const sight = scopeOf(context);
  compileWhere(where, "events", "w", { scope: sight, now, weights });
  const question = await ask(own, handler, narrow);
  const seen = scopeOf(context, {}, question.settings.scansDays);
  const compiled = compileWhere(where, "events", "w", { scope: seen, asked: question.scope, now, weights });
  const { sql, params, asked } = question.scope;
  const scope = {
    sql: `${sql} AND (${compiled.sql})`,
    params: { ...seen.params, ...params, ...compiled.params },
    asked,
  };
  return { ...question, scope, seen, now };
}
