import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { CallOptions } from "@connectrpc/connect";
import fc from "fast-check";
import { VisitorService } from "#gen/waymark/analytics/v1/visitors_pb.ts";
import { TargetSchema, TargetStatus } from "#gen/waymark/codes/v1/directory_pb.ts";
import { ObjectChangedSchema, Purpose } from "#gen/waymark/events/v1/touches_pb.ts";
import { type AnalyticsGround, NOW, until } from "./test-ground.ts";
import { touchOf } from "./test-history.ts";

const MINUTE = 60_000;
const DAY = 86_400_000;

/** Tags of the links of a crowd; those that are not here have none. */
export const TAGS: Readonly<Record<string, readonly string[]>> = {
  link_1: ["shop", "north"],
  link_2: ["shop"],
  link_4: ["goal"],
};

/** An event as plain code sees it. */
export interface Hit {
  /** Whose it is; devices `a` and `b` are one person's in a merged crowd. "" is nobody's. */
  visitor: string;
  link: string;
  at: number;
  talked: boolean;
  country: string;
  utmSource: string;
}

/** A workspace with its events in order of their time, then of their arrival. */
export interface Crowd {
  by: CallOptions;
  hits: readonly Hit[];
  /** Those of somebody. */
  known: readonly Hit[];
  /** When the person behind `a` was identified, where it was. */
  identifiedAt: number | undefined;
}

interface Given {
  events: { device: string; link: string; at: number; talked: boolean; country: string; utmSource: string }[];
  /** How many of them come in a second entry, which is late. */
  late: number;
  isMerged: boolean;
}

/** Few devices and links; times close together, equal, far apart, and about the night in which Berlin's clocks go back. */
const given: fc.Arbitrary<Given> = fc.record({
  events: fc.array(
    fc.record({
      device: fc.constantFrom("a", "b", "c", "d", ""),
      link: fc.constantFrom("link_1", "link_2", "link_3", "link_4"),
      at: fc.oneof(
        fc.integer({ min: 0, max: 40 }).map((n) => NOW - 10 * DAY + n * 10 * MINUTE),
        fc.integer({ min: 0, max: 60 }).map((n) => Date.parse("2026-10-24T21:00:00Z") + n * 30 * MINUTE),
        fc.integer({ min: 1, max: 80 * 24 }).map((n) => NOW - n * 60 * MINUTE),
      ),
      talked: fc.boolean(),
      country: fc.constantFrom("", "DE", "FR"),
      utmSource: fc.constantFrom("", "poster", "flyer"),
    }),
    { minLength: 1, maxLength: 24 },
  ),
  late: fc.nat({ max: 10 }),
  isMerged: fc.boolean(),
});

let run = 0;

/** Runs a check over random crowds, each in a workspace of its own. */
export async function overCrowds(
  ground: AnalyticsGround,
  { numRuns, check }: { numRuns: number; check: (crowd: Crowd) => Promise<void> },
): Promise<void> {
  const property = fc.asyncProperty(given, async (one) => check(await write(ground, one)));
  await fc.assert(property, { numRuns, endOnFailure: true, interruptAfterTimeLimit: 40_000 });
}

async function write(ground: AnalyticsGround, { events, late, isMerged }: Given): Promise<Crowd> {
  run += 1;
  const workspace = `people-${process.pid}-${run}`;
  const touches = events.map(({ device, link, at, talked, country, utmSource }, n) =>
    touchOf({
      id: `e${n}`,
      workspaceId: workspace,
      deviceId: device,
      codeId: link,
      at,
      conversationStarted: talked,
      place: { country },
      campaign: { source: utmSource },
    }),
  );
  const cut = Math.max(1, touches.length - late);
  await ground.append(touches.slice(0, cut));
  if (cut < touches.length) await ground.append(touches.slice(cut));
  await tagLinks(ground, workspace);
  await ground.settle();
  const by = ground.by({ workspace });
  const identifiedAt = isMerged ? await merge(ground, events, by) : undefined;
  const hits = events
    .map((event, n) => ({
      ...event,
      n,
      visitor: event.device === "b" && identifiedAt !== undefined ? "a" : event.device,
    }))
    .toSorted((one, other) => one.at - other.at || one.n - other.n);
  return { by, hits, known: hits.filter(({ visitor }) => visitor !== ""), identifiedAt };
}

/** The links get their tags; resolves when statements see them. */
async function tagLinks(ground: AnalyticsGround, workspace: string): Promise<void> {
  const links = ["link_1", "link_2", "link_3", "link_4"];
  const target = (codeId: string) =>
    create(TargetSchema, {
      ...{ codeId, workspaceId: workspace, purpose: Purpose.MARKETING, status: TargetStatus.ACTIVE },
      ...{ name: `Name of ${codeId}`, tags: [...(TAGS[codeId] ?? [])] },
    });
  ground.targets.push(...links.map(target));
  const records = links.map((objectId) => {
    const payload = toBinary(ObjectChangedSchema, create(ObjectChangedSchema, { workspaceId: workspace, objectId }));
    return { subject: "codes.changed" as const, key: objectId, payload };
  });
  const position = await ground.log.append(records, `tags of ${workspace}`);
  await until(() => (ground.gauges()["analytics.position"] ?? -1) >= position);
}

/** Devices `a` and `b` give one address, two days ago; the time, or undefined where one of them has no event. */
async function merge(ground: AnalyticsGround, events: Given["events"], by: CallOptions): Promise<number | undefined> {
  const firsts = ["a", "b"].map((device) => events.findIndex((event) => event.device === device));
  if (firsts.includes(-1)) return undefined;
  ground.clock.now = NOW - 2 * DAY;
  for (const n of firsts) {
    const lbid = Buffer.from(`e${n}`).toString("base64url");
    const visitor = { data: { $email: "ann@example.com", plan: "pro" } };
    await ground.client(VisitorService).identifyVisitor({ lbid, visitor }, by);
  }
  ground.clock.now = NOW;
  return NOW - 2 * DAY;
}

/** The hits of each visitor, in order. */
export function byVisitor(hits: readonly Hit[]): Hit[][] {
  return [...Map.groupBy(hits, ({ visitor }) => visitor).values()];
}

/** A time of a request. */
export function ms(at: number): ReturnType<typeof timestampFromMs> {
  return timestampFromMs(at);
}

/** The first day of the calendar interval of a time in a zone. */
export function intervalOf(at: number, interval: "day" | "week" | "month", zone: string): Temporal.PlainDate {
  const day = Temporal.Instant.fromEpochMilliseconds(at).toZonedDateTimeISO(zone).toPlainDate();
  if (interval === "day") return day;
  return interval === "week" ? day.subtract({ days: day.dayOfWeek - 1 }) : day.with({ day: 1 });
}

/** So many intervals further. */
export function later(first: Temporal.PlainDate, interval: "day" | "week" | "month", n: number): Temporal.PlainDate {
  if (interval === "month") return first.add({ months: n });
  return first.add({ days: interval === "week" ? 7 * n : n });
}

/** To two decimals. */
export function round2(value: number): number {
  return Math.round(value * 100) / 100;
}

/** In percent, to two decimals; 0 of nothing. */
export function percent(part: number, whole: number): number {
  return whole === 0 ? 0 : Math.round((10_000 * part) / whole) / 100;
}

/** The least value that so many percent do not exceed; undefined of none. */
export function percentile(values: readonly number[], of: number): number | undefined {
  return values.toSorted((one, other) => one - other)[Math.ceil((values.length * of) / 100) - 1];
}
