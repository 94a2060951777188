import { describe, expect, it } from "vitest";
import { DAY_MS } from "../rules.ts";
import { dateOf, localOf, offsetsOf } from "./zone.ts";

const at = (time: string) => Date.parse(time);

describe("the clocks of a zone", () => {
  it.each(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Pacific/Apia", "Africa/Casablanca"])(
    "in %s show what Intl says",
    (zone) => {
      const [start, end] = [at("2025-01-01T00:00Z"), at("2026-12-31T00:00Z")];
      const offsets = offsetsOf(zone, { start, end });
      const days = new Intl.DateTimeFormat("sv-SE", { timeZone: zone, dateStyle: "short", timeStyle: "medium" });
      for (let time = start; time <= end; time += 7 * 3_600_000 + 900_000) {
        const shown = new Date(localOf(offsets, time)).toISOString().slice(0, 19).replace("T", " ");
        expect(shown).toBe(days.format(time));
      }
    },
  );
});

it("a day counted from 1970 has its date", () => {
  expect(dateOf(at("2026-11-20") / DAY_MS)).toBe("2026-11-20");
});
