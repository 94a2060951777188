import { timestampMs } from "@bufbuild/protobuf/wkt";
import bowser from "bowser";
import { LRUCache } from "lru-cache";
import type { Routing, RoutingCondition, RoutingShare } from "#gen/waymark/codes/v1/directory_pb.ts";

/** Days of a routing condition, Sunday first. */
export const DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"] as const;

/** Kinds of devices that a routing condition can ask for. */
export const DEVICE_KINDS = ["mobile", "tablet", "desktop", "unknown"] as const;

/** A kind of device. */
export type DeviceKind = (typeof DEVICE_KINDS)[number];

/** What is known of a scan. Each fact is read only when a rule asks for it, so a dear one may be a getter. */
export interface RouteFacts {
  /** ISO 3166-1 alpha-2; empty: unknown, and no list of countries holds it. */
  country: string;
  device: DeviceKind;
  /** The language that the browser asks for first, "en-GB"; empty: unknown. */
  language: string;
  /** Milliseconds since 1970. */
  at: number;
  scansTotal: number;
  /** What a split sticks to. Empty: the scan is spread by its time, so unknown devices do not all go one way. */
  deviceKey: string;
}

/** Where a scan leads, and the rule that chose: its name, or its index when it has none. */
export interface Route {
  rule: string | number | undefined;
  /** Undefined: the code has no destination; a page says its welcome message. */
  destination: string | undefined;
}

/**
 * Evaluates the routing of a code. The first rule that matches wins; none: the code's own destination. A split sends the
 * same deviceKey to the same share for as long as the rule keeps its place and weights. Never throws.
 */
export function route(target: { routing?: Routing; destination: string | undefined }, facts: RouteFacts): Route {
  for (const [index, rule] of (target.routing?.rules ?? []).entries()) {
    if (rule.when !== undefined && !matches(rule.when, facts)) continue;
    const destination = rule.destination || share(rule.split, index, facts);
    if (destination) return { rule: rule.name || index, destination };
  }
  return { rule: undefined, destination: target.destination || undefined };
}

function matches(when: RoutingCondition, facts: RouteFacts): boolean {
  if (when.scansBelow !== undefined && facts.scansTotal >= Number(when.scansBelow)) return false;
  if (when.after !== undefined && facts.at < timestampMs(when.after)) return false;
  if (when.before !== undefined && facts.at >= timestampMs(when.before)) return false;
  if (when.country.length > 0 && !when.country.includes(facts.country.toUpperCase())) return false;
  if (when.language.length > 0 && !speaks(when.language, facts.language)) return false;
  if (when.device.length > 0 && !when.device.includes(facts.device)) return false;
  return inHours(when, facts.at);
}

/** "en" matches "en" and "en-GB"; "en-GB" does not match "en". */
function speaks(wanted: readonly string[], language: string): boolean {
  const spoken = language.toLowerCase();
  return wanted.some((tag) => {
    const prefix = tag.toLowerCase();
    return spoken === prefix || spoken.startsWith(`${prefix}-`);
  });
}

/**
 * A window over midnight belongs to the day on which it begins: fri with 22:00-06:00 holds Saturday 02:00 and not
 * Friday 02:00.
 */
function inHours({ days, hours, timezone }: RoutingCondition, at: number): boolean {
  if (days.length === 0 && !hours) return true;
  const local = clock(timezone || "UTC", at);
  const window = hours ? parseHours(hours) : { from: 0, to: 1440 };
  if (local === undefined || window === undefined) return false;
  const overnight = window.to <= window.from;
  const late = overnight && local.minute < window.to;
  const open = overnight
    ? late || local.minute >= window.from
    : local.minute >= window.from && local.minute < window.to;
  const day = DAYS[(local.day + (late ? 6 : 0)) % 7] as string;
  return open && (days.length === 0 || days.includes(day));
}

/** Reads hours as "09:00-17:00" or "22:00-06:00" into minutes of the day; the end is outside and may be 24:00. */
export function parseHours(hours: string): { from: number; to: number } | undefined {
  const match = /^([01]\d|2[0-3]):([0-5]\d)-(?:([01]\d|2[0-3]):([0-5]\d)|24:00)$/.exec(hours);
  if (match === null) return undefined;
  const from = Number(match[1]) * 60 + Number(match[2]);
  return { from, to: match[3] === undefined ? 1440 : Number(match[3]) * 60 + Number(match[4]) };
}

const clocks = new LRUCache<string, Intl.DateTimeFormat>({ max: 500 });

/** True when the zone is an IANA name that this machine knows. */
export function isTimezone(zone: string): boolean {
  return /^[A-Za-z]/.test(zone) && clockOf(zone) !== undefined;
}

function clockOf(zone: string): Intl.DateTimeFormat | undefined {
  const known = clocks.get(zone);
  if (known !== undefined) return known;
  try {
    const options = { timeZone: zone, hourCycle: "h23", weekday: "short", hour: "2-digit", minute: "2-digit" } as const;
    const made = new Intl.DateTimeFormat("en-GB", options);
    clocks.set(zone, made);
    return made;
  } catch {
    return undefined;
  }
}

/** Weekday and minute of the day on the wall at that time. Undefined for a zone that is not known. */
function clock(zone: string, at: number): { day: number; minute: number } | undefined {
  const parts = clockOf(zone)?.formatToParts(at);
  if (parts === undefined) return undefined;
  const part = (type: string): string => parts.find((piece) => piece.type === type)?.value ?? "";
  const day = DAYS.indexOf(part("weekday").toLowerCase() as (typeof DAYS)[number]);
  return { day, minute: Number(part("hour")) * 60 + Number(part("minute")) };
}

function share(split: readonly RoutingShare[], index: number, facts: RouteFacts): string | undefined {
  const total = split.reduce((sum, { weight }) => sum + Math.max(0, weight), 0);
  let rest = fraction(`${facts.deviceKey || facts.at}/${index}`) * total;
  for (const { weight, destination } of split) {
    if (weight <= 0) continue;
    rest -= weight;
    if (rest < 0) return destination;
  }
  return undefined;
}

/** A stable number in [0, 1): FNV-1a, then murmur3's finalizer, because FNV alone leaves the high bits of short keys uneven. */
function fraction(key: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32;
}

const kinds = new LRUCache<string, DeviceKind>({ max: 10_000 });

/**
 * The kind of device that a user agent names, by bowser's tables: about 20 µs for a new user agent and a look into an LRU of
 * 10,000 after that. Televisions, bots and programs are "unknown". Only the first 512 characters are looked at.
 */
export function deviceKind(userAgent: string): DeviceKind {
  if (userAgent === "") return "unknown";
  const text = userAgent.slice(0, 512);
  let kind = kinds.get(text);
  if (kind === undefined) {
    const type = bowser.getParser(text).getPlatformType(true);
    kind = DEVICE_KINDS.find((known) => known === type) ?? "unknown";
    kinds.set(text, kind);
  }
  return kind;
}
