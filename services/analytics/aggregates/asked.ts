import { type Timestamp, timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { HandlerContext } from "@connectrpc/connect";
import { contextOf } from "#runtime/context.ts";
import { type AnalyticsDeps, ask, type Question } from "../asking.ts";
import { lastMs, type Scope, scopeOf } from "../scope.ts";
import { dayStart, zoneOf } from "./calendar.ts";
import type { Ranged } from "./range.ts";

/** What every aggregate can be narrowed by. */
export interface Filters extends Ranged {
  linkId?: string | undefined;
  tag?: string | undefined;
  timezone?: string | undefined;
  explain: boolean;
}

/** A question about events, with what is around it. */
export interface Asked extends Question, Ranged {
  /** The same link or tag at all times. Its parameters are among those of `scope`. */
  whole: Scope;
  /** All that the caller sees. Its parameters are among those of `scope`. */
  seen: Scope;
  /** IANA time zone of its days and hours. */
  zone: string;
  /** Time of the question, milliseconds since 1970. */
  now: number;
}

/** The range of a request, where it may be left open. */
export type RangeOf<Q = Ranged> = (request: Q, given: { now: number; zone: string }) => Ranged;

/** All that there is, where the request names no range. */
export const always: RangeOf = ({ startDate, endDate }) => ({ startDate, endDate });

/** Days of the calendar up to the one of the end, and until now, where the request leaves it open. */
export function lastDays(
  days: number,
): (...given: Parameters<RangeOf>) => { startDate: Timestamp; endDate: Timestamp } {
  return ({ startDate, endDate }, { now, zone }) => {
    if (startDate !== undefined)
      return { startDate, endDate: endDate ?? timestampFromMs(Math.max(now, Number(lastMs(startDate)))) };
    const end = endDate ?? timestampFromMs(now);
    return { startDate: timestampFromMs(dayStart(Number(lastMs(end)), zone, days - 1)), endDate: end };
  };
}

/** The question of a call. Refuses an unknown time zone and a reversed range before it waits for the engine. */
export async function askFor<Q extends Filters>(
  own: AnalyticsDeps,
  handler: HandlerContext,
  given: { request: Q; range: RangeOf<Q> },
): Promise<Asked> {
  const { request, range } = given;
  const context = contextOf(handler);
  const narrow = { linkId: request.linkId || undefined, tag: request.tag };
  zoneOf(request.timezone, "UTC");
  scopeOf(context, always(request, { now: 0, zone: "UTC" }));
  const settings = await own.settingsOf(context.principal.workspace);
  const zone = zoneOf(request.timezone, settings.timezone);
  const now = Math.floor(context.now());
  const known = range(request, { now, zone });
  const question = await ask(own, handler, { ...narrow, ...known });
  const whole = scopeOf(context, narrow, settings.scansDays);
  return { ...question, ...known, whole, seen: scopeOf(context, {}, settings.scansDays), zone, now };
}
