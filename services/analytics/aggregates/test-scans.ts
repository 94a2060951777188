import { create, toBinary } from "@bufbuild/protobuf";
import type { CallOptions } from "@connectrpc/connect";
import fc from "fast-check";
import { VisitorService } from "#gen/waymark/analytics/v1/visitors_pb.ts";
import { TargetSchema, TargetStatus } from "#gen/waymark/codes/v1/directory_pb.ts";
import { DeviceType, ObjectChangedSchema, Purpose, Verdict } from "#gen/waymark/events/v1/touches_pb.ts";
import { type AnalyticsGround, NOW, until } from "../test-ground.ts";
import { touchOf } from "../test-history.ts";

const DAY = 86_400_000;
const QUARTER = 900_000;

/** Tags of the links; `link_3` has none, `link_4` is not known. */
export const TAGS: Readonly<Record<string, readonly string[]>> = {
  link_1: ["shop", "north"],
  link_2: ["shop"],
  link_3: [],
};

/** Zones whose clocks change, in either direction, by an hour or by half of one, or stand at odd minutes. */
export const ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"] as const;

/** When the clocks of these zones change in 2026. */
const CHANGES = [
  "2026-03-08T07:00:00Z",
  "2026-03-29T01:00:00Z",
  "2026-04-04T15:00:00Z",
  "2026-10-03T15:30:00Z",
  "2026-10-25T01:00:00Z",
  "2026-11-01T06:00:00Z",
].map((time) => Date.parse(time));

/** A scan as plain code sees it. */
export interface Scan {
  id: string;
  /** "" is unknown. */
  device: string;
  /** Whose it is: `a` and `b` may be one person. */
  visitor: string;
  link: string;
  at: number;
  country: string;
  language: string;
  kind: DeviceType;
  method: string;
  destination: string;
  rule: string;
  /** How long the redirect took, in microseconds; 0 is unknown. */
  redirectUs: number;
  /** Why it does not count; "": it does. */
  reason: string;
  talked: boolean;
}

/** A workspace with its scans in the order of their arrival. */
export interface Scans {
  workspace: string;
  by: CallOptions;
  /** By people and programs. */
  all: readonly Scan[];
  /** By people. */
  people: readonly Scan[];
  /** Visitors who are known by name. */
  names: ReadonlySet<string>;
}

const words = (...all: string[]) => fc.constantFrom("", ...all);
const times = fc.oneof(
  fc
    .record({ change: fc.constantFrom(...CHANGES), quarters: fc.integer({ min: -120, max: 120 }) })
    .map(({ change, quarters }) => change + quarters * QUARTER),
  fc.integer({ min: 0, max: 14 * DAY }).map((ms) => NOW - ms),
  fc.integer({ min: 0, max: 300 * 24 }).map((hours) => NOW - hours * 3_600_000),
);

/** Few values of each, so that devices, links and times meet again and again. */
const scan = fc.record({
  device: fc.constantFrom("a", "b", "c", "d", ""),
  link: fc.constantFrom("link_1", "link_2", "link_3", "link_4"),
  at: times,
  country: words("DE", "FR"),
  language: words("en-GB", "de"),
  kind: fc.constantFrom(DeviceType.UNSPECIFIED, DeviceType.MOBILE, DeviceType.DESKTOP),
  method: words("GET"),
  destination: words("https://example.com/?a=1", "https://example.com/menu#top"),
  rule: words("german"),
  redirectUs: fc.constantFrom(0, 150, 151, 900, 2_500),
  reason: fc.oneof({ weight: 5, arbitrary: fc.constant("") }, fc.constantFrom("isbot", "prefetch")),
  talked: fc.boolean(),
});
const given = fc.record({
  scans: fc.array(scan, { minLength: 1, maxLength: 40, size: "max" }),
  isMerged: fc.boolean(),
});

let run = 0;

/** Runs a check over random scans, each time in a workspace of its own. */
export async function overScans(
  ground: AnalyticsGround,
  { numRuns, check }: { numRuns: number; check: (scans: Scans) => Promise<void> },
): Promise<void> {
  const property = fc.asyncProperty(given, async ({ scans, isMerged }) => {
    run += 1;
    const workspace = `scans-${process.pid}-${run}`;
    await check(await write(ground, { workspace, isMerged, scans: scans.map((one, n) => ({ ...one, id: `s${n}` })) }));
  });
  await fc.assert(property, { numRuns, endOnFailure: true, interruptAfterTimeLimit: 40_000 });
}

interface Given {
  workspace: string;
  isMerged: boolean;
  scans: readonly Omit<Scan, "visitor">[];
}

async function write(ground: AnalyticsGround, { workspace, isMerged, scans }: Given): Promise<Scans> {
  const touches = scans.map((one) => touchIn(workspace, one));
  const late = Math.floor(touches.length / 3);
  await ground.append(touches.slice(late));
  if (late > 0) await ground.append(touches.slice(0, late));
  await tagLinks(ground, workspace);
  await ground.settle();
  const by = ground.by({ workspace });
  const owner = new Map<string, string>(isMerged ? await merge(ground, { scans, by }) : []);
  const all = [...scans.slice(late), ...scans.slice(0, late)].map((one) => ({
    ...one,
    visitor: owner.get(one.device) ?? one.device,
  }));
  return { workspace, by, all, people: all.filter(({ reason }) => reason === ""), names: new Set(owner.values()) };
}

/** A destination with the id of the scan, as codes with a parameter of their own have it, for half of the scans. */
function touchIn(workspace: string, { id, destination, ...one }: Omit<Scan, "visitor">) {
  const [place = "", fragment] = destination.split("#");
  const told = `${place}${place.includes("?") ? "&" : "?"}lbid=${Buffer.from(id).toString("base64url")}`;
  const isTold = destination !== "" && Number(id.slice(1)) % 2 === 0;
  return touchOf({
    ...{ id, workspaceId: workspace, codeId: one.link, deviceId: one.device, at: one.at },
    verdict: one.reason === "" ? Verdict.HUMAN : Verdict.BOT,
    verdictReason: one.reason,
    place: { country: one.country },
    device: { language: one.language, type: one.kind },
    destination: isTold ? `${told}${fragment === undefined ? "" : `#${fragment}`}` : destination,
    ...{ rule: one.rule, method: one.method, redirectUs: one.redirectUs },
    ...{ conversationStarted: one.talked, conversationMessages: one.talked ? 2 : 0 },
  });
}

/** The links that are known get their tags; resolves when statements see them. */
export async function tagLinks(ground: AnalyticsGround, workspace: string): Promise<void> {
  const links = Object.entries(TAGS);
  ground.targets.push(
    ...links.map(([codeId, tags]) =>
      create(TargetSchema, {
        ...{ codeId, workspaceId: workspace, purpose: Purpose.MARKETING, status: TargetStatus.ACTIVE },
        ...{ name: `Name of ${codeId}`, shortId: `short-${codeId}`, tags: [...tags] },
      }),
    ),
  );
  await tellChanged(
    ground,
    links.map(([codeId]) => codeId),
    workspace,
  );
}

/** Tells that links have changed; resolves when statements see it. */
export async function tellChanged(ground: AnalyticsGround, links: readonly string[], workspace: string): Promise<void> {
  const records = links.map((objectId) => {
    const payload = toBinary(ObjectChangedSchema, create(ObjectChangedSchema, { workspaceId: workspace, objectId }));
    return { subject: "codes.changed" as const, key: objectId, payload };
  });
  const position = await ground.log.append(records, crypto.randomUUID());
  await until(() => (ground.gauges()["analytics.position"] ?? -1) >= position);
}

/** The devices `a` and `b` give one address, where both have been here: whose each is then. */
async function merge(ground: AnalyticsGround, { scans, by }: Pick<Given, "scans"> & { by: CallOptions }) {
  const firsts = ["a", "b"].map((device) => scans.find((one) => one.device === device && one.reason === ""));
  if (firsts.includes(undefined)) return [];
  for (const one of firsts) {
    const lbid = Buffer.from(one?.id ?? "").toString("base64url");
    await ground.client(VisitorService).identifyVisitor({ lbid, visitor: { data: { $email: "ann@example.com" } } }, by);
  }
  return [
    ["a", "a"],
    ["b", "a"],
  ] as const;
}

/** How many different visitors, nobody left out. */
export function uniques(scans: readonly Scan[]): number {
  return new Set(scans.map(({ visitor }) => visitor).filter((visitor) => visitor !== "")).size;
}

/** To two decimals, in percent; 0 of nothing. */
export function percent(part: number, whole: number): number {
  return whole === 0 ? 0 : Math.round((10_000 * part) / whole) / 100;
}

/** What the clocks of a zone say. */
export function clock(at: number, zone: string): Temporal.ZonedDateTime {
  return Temporal.Instant.fromEpochMilliseconds(at).toZonedDateTimeISO(zone);
}
