import { type MessageInitShape, toJson } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import type { CallOptions } from "@connectrpc/connect";
import fc from "fast-check";
import {
  type BotRulesSchema,
  type Revision,
  RevisionDifferenceSchema,
  RevisionService,
  RevisionState,
} from "#gen/waymark/analytics/v1/revisions_pb.ts";
import { type Touch, Verdict } from "#gen/waymark/events/v1/touches_pb.ts";
import { type AnalyticsGround, NOW, until } from "../test-ground.ts";
import { touchOf } from "../test-history.ts";
import { judgeLike } from "./test-judge.ts";

/** Rules of a request. */
export type Bots = MessageInitShape<typeof BotRulesSchema>;

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

/** A touch of few values, so that rules meet it. */
function touch(workspaceId: string): fc.Arbitrary<Touch> {
  return fc
    .record({
      id: fc.integer({ min: 1, max: 60 }).map((n) => `scan_${n}`),
      codeId: fc.constantFrom("link_1", "link_2"),
      deviceId: fc.constantFrom("", "d1", "d2", "d3"),
      userAgent: fc.constantFrom("", "Safari/1", "HeadlessChrome/2", "Robot/3"),
      method: fc.constantFrom("", "GET", "GET", "HEAD"),
      verdictReason: fc.constantFrom("", "", "", "isbot", "prefetch", "rate"),
      asn: fc.constantFrom(0, 64_500, 64_501),
      at: fc.integer({ min: 0, max: 8 }).map((n) => NOW - (n % 3) * DAY_MS - n * 17_000),
      test: fc.constantFrom(false, false, false, true),
    })
    .map(({ asn, verdictReason, ...one }) => {
      const verdict = verdictReason === "" ? Verdict.HUMAN : Verdict.BOT;
      return touchOf({ ...one, workspaceId, verdictReason, verdict, place: { asn } });
    });
}

/** Touches of a workspace. */
export const touches = (workspaceId: string): fc.Arbitrary<Touch[]> =>
  fc.array(touch(workspaceId), { minLength: 1, maxLength: 50 });

/** Rules, at least one. */
export const bots: fc.Arbitrary<Bots> = fc
  .record({
    builtIn: fc.boolean(),
    userAgentContains: fc.constantFrom([], [], ["headless"], ["ROBOT", "safari"]),
    deviceIds: fc.constantFrom([], [], ["d1"], ["vis_d2", "d3"]),
    asns: fc.constantFrom([], [], [64_500]),
    most: fc.constantFrom(0, 0, 1, 2),
  })
  .filter(
    ({ builtIn, userAgentContains, deviceIds, asns, most }) =>
      builtIn || userAgentContains.length + deviceIds.length + asns.length + most > 0,
  )
  .map(({ builtIn, userAgentContains, deviceIds, asns, most }) => ({
    ...{ builtIn, userAgentContains: [...userAgentContains], deviceIds: [...deviceIds], asns: [...asns] },
    ...(most > 0 && { maxScansPerMinutePerDevice: most }),
  }));

/** A touch and what it is by other rules. */
export interface Rerun {
  touch: Touch;
  at: number;
  from: string;
  to: string;
  unjudged: boolean;
}

/** What a person would find who goes through the touches of a range one by one. */
export function rerun(all: readonly Touch[], rules: Bots): Rerun[] {
  const {
    builtIn = false,
    userAgentContains = [],
    deviceIds = [],
    asns = [],
    maxScansPerMinutePerDevice: most,
  } = rules;
  const found = all.map((one): Rerun => {
    const { userAgent, method, verdictReason: from } = one;
    const judged = builtIn ? judgeLike({ userAgent, method, reason: from }) : { verdict: 0, reason: "" };
    const base = judged.verdict === Verdict.UNSPECIFIED ? from : (judged.reason ?? "");
    const own = () => {
      if (userAgentContains.some((part) => userAgent.toLowerCase().includes(part.toLowerCase()))) return "agent";
      if (deviceIds.some((device) => device.replace("vis_", "") === one.deviceId)) return "device";
      return asns.includes(one.place?.asn ?? 0) ? "network" : "";
    };
    const isBlind = builtIn && judged.verdict === Verdict.UNSPECIFIED;
    const unjudged = userAgent === "" && (isBlind || (userAgentContains.length > 0 && base === ""));
    return { touch: one, at: one.scannedAt ? timestampMs(one.scannedAt) : 0, from, to: base || own(), unjudged };
  });
  if (most === undefined) return found;
  const inOrder = found.toSorted((a, b) => a.at - b.at || (a.touch.id < b.touch.id ? -1 : 1));
  const seen = new Map<string, number>();
  for (const one of inOrder) {
    if (one.to !== "" || one.touch.deviceId === "") continue;
    const minute = `${one.touch.deviceId}/${Math.floor(one.at / MINUTE_MS)}`;
    seen.set(minute, (seen.get(minute) ?? 0) + 1);
    if ((seen.get(minute) ?? 0) > most) one.to = "rate";
  }
  return found;
}

const visitorsIn = (some: readonly Rerun[]) =>
  new Set(some.map(({ touch: { deviceId } }) => deviceId).filter((device) => device !== "")).size;

function numbersOf(some: readonly Rerun[]) {
  const before = some.filter(({ from }) => from === "");
  const after = some.filter(({ to }) => to === "");
  return {
    ...{ eventsBefore: String(before.length), eventsAfter: String(after.length) },
    ...{ visitorsBefore: String(visitorsIn(before)), visitorsAfter: String(visitorsIn(after)) },
  };
}

/** The difference by hand, as JSON, without position and sample. */
export function differenceByHand(found: readonly Rerun[]): unknown {
  const moved = found.filter(({ from, to }) => from !== to);
  const changeOf = (some: readonly Rerun[]) => {
    return { changed: String(some.filter(({ from, to }) => from !== to).length), numbers: numbersOf(some) };
  };
  const by = (name: (one: Rerun) => string) =>
    [...Map.groupBy(found, name)].filter(([, some]) => some.some(({ from, to }) => from !== to));
  const moves = [...Map.groupBy(moved, ({ from, to }) => JSON.stringify([from, to]))].map(([pair, some]) => {
    const [fromReason, toReason] = JSON.parse(pair);
    return { fromReason, toReason, touches: String(some.length) };
  });
  return {
    ...{ considered: String(found.length), changed: String(moved.length) },
    unjudged: String(found.filter(({ unjudged }) => unjudged).length),
    moves: moves.toSorted(order),
    totals: numbersOf(found),
    byLink: by(({ touch: { codeId } }) => codeId)
      .map(([linkId, some]) => ({ linkId, ...changeOf(some) }))
      .toSorted(order),
    byDay: by(({ at }) => new Date(at).toISOString().slice(0, 10))
      .map(([date, some]) => ({ date, ...changeOf(some) }))
      .toSorted(order),
  };
}

const order = (one: unknown, other: unknown) => (JSON.stringify(one) < JSON.stringify(other) ? -1 : 1);

/** The difference of a revision in the same form. */
export function differenceOf({ difference }: Revision): unknown {
  if (difference === undefined) return undefined;
  const json = toJson(RevisionDifferenceSchema, difference, { alwaysEmitImplicit: true }) as Record<string, unknown[]>;
  const { upTo: _at, sample: _some, ...rest } = json;
  const { moves = [], byLink = [], byDay = [] } = rest;
  return { ...rest, moves: moves.toSorted(order), byLink: byLink.toSorted(order), byDay: byDay.toSorted(order) };
}

/** The last ten days. */
export const RANGE = { startDate: timestampFromMs(NOW - 10 * DAY_MS), endDate: timestampFromMs(NOW) };

/** Waits until a revision is in a state; answers with it. */
export async function reach(
  ground: Pick<AnalyticsGround, "client">,
  { id, state, by }: { id: string; state: RevisionState; by: CallOptions },
): Promise<Revision> {
  let last: Revision | undefined;
  await until(async () => {
    last = (await ground.client(RevisionService).getRevision({ id }, by)).revision;
    if (last?.state === RevisionState.FAILED) throw new Error(last.error);
    return last?.state === state;
  });
  return last as Revision;
}
