import { create, toJson } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import {
  Action,
  DeviceActor,
  DeviceType,
  EventSchema,
  HttpMethod,
  VisitorSchema,
  VisitType,
} from "#gen/waymark/analytics/v1/analytics_pb.ts";
import { Purpose, type Touch, Verdict } from "#gen/waymark/events/v1/touches_pb.ts";
import { NOW, PUBLIC_URL } from "./test-ground.ts";

/** Entries in the order of the log. */
export type Written = readonly { touches: readonly Touch[]; recordedAt: number }[];

/** A touch that counts, in plain values. */
export interface Event {
  touch: Touch;
  at: number;
  recordedAt: number;
  /** Counts up in the order of the log. */
  arrival: number;
}

/** Of all that was written: what counts, each id once in its workspace over all purposes, marketing alone. */
export function counted(written: Written): Event[] {
  const seen = new Set<string>();
  const events: Event[] = [];
  for (const { touches, recordedAt } of written) {
    for (const touch of touches) {
      const key = `${touch.workspaceId}/${touch.id}`;
      if (seen.has(key)) continue;
      seen.add(key);
      if (touch.purpose === Purpose.MARKETING && touch.scannedAt !== undefined)
        events.push({ touch, at: timestampMs(touch.scannedAt), recordedAt, arrival: events.length });
    }
  }
  return events;
}

/** Whom a question is by, and what it narrows. */
export interface Asked {
  workspace: string;
  test: boolean;
  linkId?: string;
  device?: string;
  start?: number;
  end?: number;
}

/** What a key sees of the events, oldest first, ties by id. */
export function seen(events: readonly Event[], asked: Asked): Event[] {
  const { workspace, test, linkId, device, start, end } = asked;
  const floor = test ? NOW - 30 * 86_400_000 : Number.NEGATIVE_INFINITY;
  return events
    .filter(({ touch }) => touch.workspaceId === workspace && touch.test === test && touch.verdict === Verdict.HUMAN)
    .filter(({ at }) => at >= floor && at >= (start ?? at) && at <= (end ?? at))
    .filter(({ touch }) => touch.codeId === (linkId ?? touch.codeId) && touch.deviceId === (device ?? touch.deviceId))
    .toSorted(inOrder);
}

/** By time, then by id. */
export function inOrder(one: Event, other: Event): number {
  return one.at - other.at || (one.touch.id < other.touch.id ? -1 : 1);
}

/** First or returning, among all events that the key sees; of two at the same time the first to arrive is the first. */
export function visitType(event: Event, all: readonly Event[]): VisitType | undefined {
  const { deviceId, codeId } = event.touch;
  if (deviceId === "") return undefined;
  const same = all.filter(({ touch }) => touch.deviceId === deviceId && touch.codeId === codeId);
  const first = same.toSorted((one, other) => one.at - other.at || one.arrival - other.arrival)[0];
  return first === event ? VisitType.FIRST : VisitType.RETURNING;
}

/** What a visitor adds up to. */
export interface VisitorSums {
  device: string;
  visits: number;
  links: number;
  first: number;
  last: number;
}

/** The visitors of a key; `events` are all that it sees, oldest first. */
export function visitors(events: readonly Event[]): VisitorSums[] {
  const known = events.filter(({ touch }) => touch.deviceId !== "");
  return [...Map.groupBy(known, ({ touch }) => touch.deviceId)].map(([device, mine]) => ({
    device,
    visits: mine.length,
    links: new Set(mine.map(({ touch }) => touch.codeId)).size,
    first: mine[0]?.at ?? 0,
    last: mine.at(-1)?.at ?? 0,
  }));
}

/** The visitor as JSON, without includes. */
export function visitorJson({ device, visits, links, first, last }: VisitorSums) {
  return toJson(
    VisitorSchema,
    create(VisitorSchema, {
      id: `vis_${device}`,
      visitCount: BigInt(visits),
      qrcodeCount: BigInt(links),
      deviceCount: 1n,
      createdAt: timestampFromMs(first),
      updatedAt: timestampFromMs(last),
    }),
  );
}

/** By the bytes of UTF-8. */
export function byBytes(one: string, other: string): number {
  return Buffer.compare(Buffer.from(one), Buffer.from(other));
}

/** The most frequent value; among equals the first by its bytes. */
export function top(values: readonly string[]): string | undefined {
  const counts = [...Map.groupBy(values, (value) => value)].map(([value, all]) => ({ value, count: all.length }));
  return counts.toSorted((a, b) => b.count - a.count || byBytes(a.value, b.value))[0]?.value;
}

/** Kinds of devices by the numbers that touches have. */
export const KINDS = [DeviceType.UNKNOWN, DeviceType.MOBILE, DeviceType.TABLET, DeviceType.DESKTOP] as const;

/** Methods that the API has words for. */
export const METHODS: Readonly<Record<string, HttpMethod>> = {
  GET: HttpMethod.GET,
  POST: HttpMethod.POST,
  HEAD: HttpMethod.HEAD,
};

/** The event as JSON, with device and visitor included; `all` are the events that the key sees, oldest first. */
export function eventJson(event: Event, all: readonly Event[]) {
  const { touch, at, recordedAt } = event;
  const [scannedAt, createdAt] = [timestampFromMs(at), timestampFromMs(recordedAt)];
  const { id, workspaceId, codeId: linkId } = touch;
  const visitorId = touch.deviceId === "" ? undefined : `vis_${touch.deviceId}`;
  const destination = touch.destination || undefined;
  const owner = { workspaceId, linkId, visitorId, createdAt, updatedAt: createdAt };
  const trace = { id: `${id}.redirect`, eventId: id, ...owner, stepKind: "redirect", completedAt: scannedAt };
  return toJson(
    EventSchema,
    create(EventSchema, {
      ...owner,
      id,
      deviceId: touch.deviceId || undefined,
      action: Action.SCAN,
      visitType: visitType(event, all),
      httpMethod: METHODS[touch.method],
      entrypoint: touch.shortId === "" ? "" : `${PUBLIC_URL}/s/${touch.shortId}`,
      destination,
      scannedAt,
      visitor: visitorId === undefined ? undefined : { id: visitorId },
      device: visitorId === undefined ? undefined : { ...deviceInit(touch), lastUsedAt: scannedAt },
      traces: destination === undefined ? [] : [{ ...trace, destination, rule: touch.rule || undefined }],
    }),
  );
}

function deviceInit({ place, device, deviceId, ip, userAgent }: Touch) {
  return {
    id: deviceId,
    country: place?.country || undefined,
    region: place?.region || undefined,
    state: place?.region || undefined,
    city: place?.city || undefined,
    timezone: place?.timezone || undefined,
    isp: place?.isp || undefined,
    asn: place?.asn ? BigInt(place.asn) : undefined,
    ipAddress: ip || undefined,
    userAgent: userAgent || undefined,
    browserName: device?.browser || undefined,
    browserVersion: device?.browserVersion || undefined,
    browserLanguage: device?.language || undefined,
    platformName: device?.platform || undefined,
    platformVersion: device?.platformVersion || undefined,
    deviceBrand: device?.brand || undefined,
    deviceType: KINDS[device?.type ?? 0],
    deviceActor: DeviceActor.HUMAN,
  };
}
