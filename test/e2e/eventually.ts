import { setTimeout as delay } from "node:timers/promises";
import { vi } from "vitest";

/** Waits until the check no longer throws and answers with what it gave; after 15 seconds its last failure is the test's. */
export function eventually<T>(check: () => T | Promise<T>): Promise<T> {
  return vi.waitFor(check, { timeout: 15_000, interval: 25 });
}

const DAY_MS = 86_400_000;

/** Resolves at once, but shortly before UTC midnight only after it: for tests of periods that end today. */
export async function clearOfMidnight(): Promise<void> {
  const left = DAY_MS - (Date.now() % DAY_MS);
  if (left < 25_000) await delay(left + 50);
}

/** Midnight in UTC of the day so many days before today. */
export function dayBefore(days: number): Date {
  return new Date((Math.floor(Date.now() / DAY_MS) - days) * DAY_MS);
}

/** "2026-03-01" */
export function dateOf(time: Date): string {
  return time.toISOString().slice(0, 10);
}
