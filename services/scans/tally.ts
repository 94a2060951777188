import { Counters } from "./counters.ts";
import {
  type CountryDoc,
  countryModel,
  type DayDoc,
  dayModel,
  type LedgerDoc,
  ledgerModel,
  type TotalDoc,
  totalModel,
} from "./model.ts";
import { bookOf, DAY_MS, DAY_SLOTS, HOUR_MS, SLOT_MS } from "./scope.ts";

/** Version of the rules below; analytics say it in `explain`. */
export const COUNTING_RULES = "1";

/** All numbers that one step of the projection changes in one workspace. `days` is whole when devices and conversations are written. */
export interface Tally {
  days: Counters<DayDoc>;
  countries: Counters<CountryDoc>;
  totals: Counters<TotalDoc>;
  ledger: Counters<LedgerDoc>;
}

export function newTally(): Tally {
  return {
    days: new Counters(dayModel),
    countries: new Counters(countryModel),
    totals: new Counters(totalModel),
    ledger: new Counters(ledgerModel),
  };
}

/** A number that goes into a slot of a scope's day. `path` is the field: "scans", "filtered.isbot". */
export interface Count {
  scope: string;
  slot: number;
  path: string;
  by: number;
  position: number;
}

/** Adds to a slot. */
export function countInSlot({ days }: Tally, { scope, slot, path, by, position }: Count): void {
  const day = Math.floor(slot / DAY_SLOTS);
  days.add(
    { id: `${scope}/${day}`, made: { scope, day } },
    { position, path: `${path}.${slot - day * DAY_SLOTS}`, by },
  );
}

/** A scan of a person, or of a program for a `reason`. */
export interface CountedScan {
  scope: string;
  scannedAt: number;
  reason: string;
  country: string;
  position: number;
  /** 1; -1 takes it out again. */
  by: number;
}

/** Counts a scan in its scope, for all time and for its slot. */
export function countScan(tally: Tally, { scope, scannedAt, reason, position, by }: CountedScan): void {
  const path = reason === "" ? "scans" : `filtered.${wordOf(reason)}`;
  const total = { id: scope, made: {} };
  tally.totals.add(total, { position, path, by });
  if (reason === "" && by > 0) tally.totals.least(total, "first", scannedAt);
  countInSlot(tally, { scope, slot: slotOf(scannedAt), path, by, position });
}

/** Counts a scan in the country it came from, for all time and for its hour. */
export function countCountry(tally: Tally, { scope, scannedAt, country, position, by }: CountedScan): void {
  const name = /^[A-Z]{2}$/.test(country) ? country : "-";
  const day = Math.floor(scannedAt / DAY_MS);
  const hour = Math.floor(scannedAt / HOUR_MS) - day * 24;
  tally.totals.add({ id: scope, made: {} }, { position, path: `countries.${name}`, by });
  const counter = { id: `${scope}/${day}`, made: { scope, day } };
  tally.countries.add(counter, { position, path: `countries.${name}.${hour}`, by });
}

/** Where something arrived. */
export interface Arrival {
  test: boolean;
  arrivedAt: number;
  partition: number;
  position: number;
}

/** Books what arrived: "accepted", "counted", "duplicate", "shed", "filtered.isbot", "rejected.CODE_NOT_FOUND". */
export function book(
  { ledger }: Tally,
  { test, arrivedAt, partition, position }: Arrival,
  { path, by }: { path: string; by: number },
): void {
  const hour = Math.floor(arrivedAt / HOUR_MS) * HOUR_MS;
  const name = bookOf(test);
  const made = { book: name, hour, partition };
  ledger.add({ id: `${name}/${hour}/${partition}`, made }, { position, path, by });
}

/** The slot of a time, counted from 1970. */
export function slotOf(atMs: number): number {
  return Math.floor(atMs / SLOT_MS);
}

/** A reason as a step of a path. */
export function wordOf(reason: string): string {
  return /^[A-Za-z_]{1,40}$/.test(reason) ? reason : "other";
}
