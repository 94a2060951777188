import { type Doc, defineModel } from "#runtime/model.ts";

/** A touch of any purpose, as far as lists show it. */
export interface TouchDoc extends Doc {
  /** Purpose and test, see wallOf. */
  wall: string;
  /** The wall, and whether a person's; see shelfOf. */
  shelf: string;
  codeId: string;
  shortId?: string;
  scannedAt: number;
  /** Why it is not counted; absent for people. */
  reason?: string;
  country?: string;
  region?: string;
  city?: string;
  /** Number of the DeviceType. */
  device: number;
  deviceId?: string;
  started: boolean;
  messages: number;
  metadata?: Record<string, unknown>;
  /** What lists do not show, see rest.ts; marketing touches only. */
  rest?: Readonly<Record<string, string | number>>;
  /** Position on the log that made it. */
  position: number;
  /** Position of the last update of its conversation, and what was before the step that had it: a repetition counts the same again. */
  talkPosition?: number;
  talkBefore?: Talk;
  /**
   * Devices that it was of before, by the position that decided it again; empty: none was known. With it a repetition of the
   * step counts the same again, and it is known whose touch it was when somebody was forgotten.
   */
  formerDevices?: Readonly<Record<string, string>>;
  /** Position of the last revision, and why the touch was filtered before the step that had it; empty: a person's. */
  revisedPosition?: number;
  reasonBefore?: string;
}

/** How far a conversation is. */
export interface Talk {
  started: boolean;
  messages: number;
}

export const touchModel = defineModel<TouchDoc>({
  name: "scans.touches",
  fields: {
    wall: { kind: "string", required: true },
    shelf: { kind: "string", required: true },
    codeId: { kind: "string", required: true },
    shortId: { kind: "string" },
    scannedAt: { kind: "number", required: true },
    reason: { kind: "string" },
    country: { kind: "string" },
    region: { kind: "string" },
    city: { kind: "string" },
    device: { kind: "number", required: true },
    deviceId: { kind: "string" },
    started: { kind: "boolean", required: true },
    messages: { kind: "number", required: true },
    metadata: { kind: "object" },
    rest: { kind: "object" },
    position: { kind: "number", required: true },
    talkPosition: { kind: "number" },
    talkBefore: { kind: "object" },
    formerDevices: { kind: "object" },
    revisedPosition: { kind: "number" },
    reasonBefore: { kind: "string" },
  },
  indexes: [
    { name: "by_time", fields: ["shelf", "scannedAt"] },
    { name: "by_code", fields: ["codeId", "shelf", "scannedAt"] },
  ],
});

/** When a device last scanned a code. Id: scope/device. */
export interface DeviceDoc extends Doc {
  /** Slot of its last scan, counted from 1970; NO_SLOT when none of its scans is a person's any more. */
  slot: number;
  /** The slot before the step that moved it here; absent when there was none. */
  before?: number;
  /** No scan of it by a person is before this slot; absent: that is not known. */
  first?: number;
  /** Position on the log that moved it here. */
  position: number;
}

/** Stands before every slot: no scan. */
export const NO_SLOT = Number.MIN_SAFE_INTEGER;

export const deviceModel = defineModel<DeviceDoc>({
  name: "scans.devices",
  fields: {
    slot: { kind: "number", required: true },
    before: { kind: "number" },
    first: { kind: "number" },
    position: { kind: "number", required: true },
  },
  indexes: [],
});

/** Numbers by slot of the day, 0–95. */
export type BySlot = Record<string, number>;

/** What happened on one day (UTC) in one scope. Id: scope/day. */
export interface DayDoc extends Doc {
  scope: string;
  /** Days since 1970. */
  day: number;
  /** Scans of people. */
  scans?: BySlot;
  /** Scans of programs, by reason. */
  filtered?: Record<string, BySlot>;
  /** Conversations and their messages, by the time of the scan. */
  conversations?: BySlot;
  messages?: BySlot;
  /** Devices whose last scan was then. */
  devices?: BySlot;
  /** Last position on the log that is in it. */
  position: number;
}

export const dayModel = defineModel<DayDoc>({
  name: "scans.days",
  fields: {
    scope: { kind: "string", required: true },
    day: { kind: "number", required: true },
    scans: { kind: "object" },
    filtered: { kind: "object" },
    conversations: { kind: "object" },
    messages: { kind: "object" },
    devices: { kind: "object" },
    position: { kind: "number", required: true },
  },
  indexes: [{ name: "by_day", fields: ["scope", "day"] }],
});

/** Scans of people by country on one day (UTC) of one code. Id: scope/day. */
export interface CountryDoc extends Doc {
  scope: string;
  day: number;
  /** By country, "-" for unknown, and hour of the day. */
  countries?: Record<string, Record<string, number>>;
  position: number;
}

export const countryModel = defineModel<CountryDoc>({
  name: "scans.countries",
  fields: {
    scope: { kind: "string", required: true },
    day: { kind: "number", required: true },
    countries: { kind: "object" },
    position: { kind: "number", required: true },
  },
  indexes: [{ name: "by_day", fields: ["scope", "day"] }],
});

/** Everything of one scope, of all time. Id: scope. */
export interface TotalDoc extends Doc {
  scans?: number;
  filtered?: Record<string, number>;
  /** Time of the first scan of a person. After revisions it is exact for codes; the sums of a workspace are not asked for it. */
  first?: number;
  countries?: Record<string, number>;
  position: number;
}

export const totalModel = defineModel<TotalDoc>({
  name: "scans.totals",
  fields: {
    scans: { kind: "number" },
    filtered: { kind: "object" },
    first: { kind: "number" },
    countries: { kind: "object" },
    position: { kind: "number", required: true },
  },
  indexes: [],
});

/** What became of the touches that arrived in one hour through one partition of the log. Id: book/hour/partition. */
export interface LedgerDoc extends Doc {
  /** "live" or "test". */
  book: string;
  /** Beginning of the hour. */
  hour: number;
  partition: number;
  accepted?: number;
  counted?: number;
  filtered?: Record<string, number>;
  duplicate?: number;
  rejected?: Record<string, number>;
  shed?: number;
  position: number;
}

export const ledgerModel = defineModel<LedgerDoc>({
  name: "scans.ledger",
  fields: {
    book: { kind: "string", required: true },
    hour: { kind: "number", required: true },
    partition: { kind: "number", required: true },
    accepted: { kind: "number" },
    counted: { kind: "number" },
    filtered: { kind: "object" },
    duplicate: { kind: "number" },
    rejected: { kind: "object" },
    shed: { kind: "number" },
    position: { kind: "number", required: true },
  },
  indexes: [{ name: "by_hour", fields: ["book", "hour"] }],
});

/** Everything that the service stores. */
export const scansModels = [touchModel, deviceModel, dayModel, countryModel, totalModel, ledgerModel] as const;
