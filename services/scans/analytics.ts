import { type Buckets, bucketsOf, type Granularity, midnight } from "./calendar.ts";
import type { CountryDoc, DayDoc, TotalDoc, TouchDoc } from "./model.ts";
import { DAY_SLOTS, HOUR_MS, SLOT_MS } from "./scope.ts";

/** What analytics are asked for. */
export interface Question {
  /** Calendar days with today; undefined: since the first scan. */
  days: number | undefined;
  granularity: Granularity;
  zone: string;
  now: number;
  /** Nothing older is shown. */
  floorDays: number | undefined;
}

/** The time that is asked for. */
export interface Period {
  buckets: Buckets;
  /** Slot from which on scans count. */
  firstSlot: number;
  /** Everything there is: nothing has to be left out. */
  isWhole: boolean;
}

/** The period of a question; undefined: there is no scan since which it could be asked. */
export function periodOf(
  { days, granularity, zone, now, floorDays }: Question,
  total: TotalDoc | undefined,
): Period | undefined {
  const floor = floorDays === undefined ? Number.NEGATIVE_INFINITY : midnight(now, zone, floorDays - 1);
  if (days === undefined && total?.first === undefined) return undefined;
  const start =
    days === undefined
      ? Math.max(floor, midnight(Math.min(total?.first ?? now, now), zone))
      : midnight(now, zone, days - 1);
  const buckets = bucketsOf({ start, now, zone, granularity });
  const isWhole = days === undefined && start > floor;
  return { buckets, firstSlot: Math.max(start, floor) / SLOT_MS, isWhole };
}

/** The numbers of a period. */
export interface Numbers {
  scans: number;
  devices: number;
  conversations: number;
  messages: number;
  /** By bucket. */
  series: { scans: number; conversations: number }[];
  /** By reason. */
  filtered: Record<string, number>;
}

/** Adds up the days of a code. */
export function addUp(days: readonly DayDoc[], { buckets, firstSlot }: Period): Numbers {
  const numbers: Numbers = { scans: 0, devices: 0, conversations: 0, messages: 0, series: [], filtered: {} };
  for (const _ of buckets.starts) numbers.series.push({ scans: 0, conversations: 0 });
  const starts = buckets.starts.map((start) => start / SLOT_MS);
  for (const { day, scans, devices, conversations, messages, filtered } of days) {
    const each = slotsFrom(firstSlot, day * DAY_SLOTS);
    each(scans, (count, slot) => {
      numbers.scans += count;
      (numbers.series[bucketAt(starts, slot)] as { scans: number }).scans += count;
    });
    each(conversations, (count, slot) => {
      numbers.conversations += count;
      (numbers.series[bucketAt(starts, slot)] as { conversations: number }).conversations += count;
    });
    each(devices, (count) => {
      numbers.devices += count;
    });
    each(messages, (count) => {
      numbers.messages += count;
    });
    for (const reason in filtered) {
      each(filtered[reason], (count) => {
        if (count !== 0) numbers.filtered[reason] = (numbers.filtered[reason] ?? 0) + count;
      });
    }
  }
  return numbers;
}

/** Goes through the slots of a day that are not before `firstSlot`. */
function slotsFrom(firstSlot: number, base: number) {
  return (slots: Readonly<Record<string, number>> | undefined, each: (count: number, slot: number) => void): void => {
    for (const key in slots) {
      const slot = base + Number(key);
      if (slot >= firstSlot) each(slots[key] as number, slot);
    }
  };
}

/** The last bucket that begins at or before the slot. */
function bucketAt(starts: readonly number[], slot: number): number {
  let low = 0;
  let high = starts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((starts[middle] as number) <= slot) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** Scans by country; "" is unknown. */
export type ByCountry = Map<string, number>;

/** Scans by country of everything. */
export function countriesOfTotal({ countries = {} }: TotalDoc): ByCountry {
  const found: ByCountry = new Map();
  for (const name in countries) add(found, name, countries[name] as number);
  return found;
}

/** Scans by country from the first whole hour of a period on. */
export function countriesOfDays(days: readonly CountryDoc[], firstHour: number): ByCountry {
  const found: ByCountry = new Map();
  for (const { day, countries } of days) {
    for (const name in countries) {
      const hours = countries[name] as Record<string, number>;
      for (const hour in hours) if (day * 24 + Number(hour) >= firstHour) add(found, name, hours[hour] as number);
    }
  }
  return found;
}

/** Adds scans one by one: those of the part of an hour that a half-hour time zone cuts off. */
export function addCountries(found: ByCountry, scans: readonly TouchDoc[]): void {
  for (const { country = "-" } of scans) add(found, country, 1);
}

function add(found: ByCountry, name: string, scans: number): void {
  if (scans === 0) return; // all of them were found to be programs
  const country = name === "-" ? "" : name;
  found.set(country, (found.get(country) ?? 0) + scans);
}

/** The part of an hour before the first whole one of a period; undefined when there is none. */
export function cutHour({ firstSlot }: Period): { from: number; until: number } | undefined {
  const from = firstSlot * SLOT_MS;
  const until = firstHourOf(firstSlot) * HOUR_MS;
  return from < until ? { from, until } : undefined;
}

/** The first whole hour from a slot on, counted from 1970. */
export function firstHourOf(firstSlot: number): number {
  return Math.ceil((firstSlot * SLOT_MS) / HOUR_MS);
}

const TOP_COUNTRIES = 10;

/** The countries with the most scans; ties by code, unknown last among them. */
export function topCountries(found: ByCountry): { country: string | undefined; scans: number }[] {
  const order = (code: string) => code || "~"; // after every letter
  return [...found]
    .filter(([, scans]) => scans > 0)
    .sort(([a, scansOfA], [b, scansOfB]) => scansOfB - scansOfA || (order(a) < order(b) ? -1 : 1))
    .slice(0, TOP_COUNTRIES)
    .map(([country, scans]) => ({ country: country || undefined, scans }));
}

/** A share or an average, rounded half up; 0 of nothing. */
export function ratio(part: number, whole: number, decimals: number): number {
  if (whole === 0) return 0;
  const unit = 10 ** decimals;
  return Math.round((part * unit) / whole) / unit;
}
